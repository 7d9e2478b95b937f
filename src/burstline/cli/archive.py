"""`burstline archive APP CAPTURES...`: a pipeline over many captures, in many processes, with one result."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
from pathlib import Path

from burstline.archive.archive import ArchiveRun
from burstline.archive.captures import find_captures
from burstline.archive.tables import places_of, write_tables
from burstline.engine.app import Application
from burstline.engine.config import load
from burstline.engine.threads import usable_cores
from burstline.errors import BurstlineError, UsageError

MOST_SHOWN = 20  # captures that were not done


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", metavar="APP", help="a Python file with a pipeline; FILE:NAME picks one of several")
    parser.add_argument(
        "captures", metavar="CAPTURES", nargs="+", help="captures, directories of them, or patterns like 'day-*.pcap'"
    )
    parser.add_argument(
        "--out", "-o", type=Path, metavar="OUT", help="flow tables as Parquet: a file, or a directory for several"
    )
    parser.add_argument("--jobs", "-j", type=int, metavar="N", help="processes (default: one for each core)")
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="remember what is done, so that it can be gone on with"
    )
    parser.add_argument("--dask", metavar="ADDRESS", help="run on the Dask cluster of this scheduler: tcp://host:8786")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: burstline.toml beside the app)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON; the app prints to stderr")


def run(args: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cores = len(usable_cores())
    if args.jobs is not None and not 1 <= args.jobs <= 1024:
        raise UsageError(f"--jobs {args.jobs} is out of range", "give 1 to 1024 processes")
    if args.jobs is not None and args.dask:
        raise UsageError("a cluster has as many workers as it has", "leave --jobs out")
    captures = find_captures(args.captures)
    config = load(args.config, Path(args.app.partition(":")[0]))
    with contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext():
        archive = ArchiveRun(
            Application(args.app), captures, config, jobs=args.jobs or cores, dask=args.dask, state=args.state, say=_say
        )
        places = places_of(archive.pipeline, args.out) if args.out else {}
        try:
            report = archive.run()
        except KeyboardInterrupt:
            _say(
                f"{archive.progress.finished:,} of {len(captures):,} captures were done; "
                + ("the same command goes on" if args.state else "with --state DIR they would not be done again")
            )
            raise
        write_tables(places)
    for warning in report.warnings:
        print(f"burstline: warning: {warning}", file=sys.stderr)
    if args.json:
        failed = [{"capture": path, "error": error} for path, (error, _) in archive.failures.items()]
        about = {"captures": len(captures), "resumed": archive.resumed, "failed": failed}
        print(json.dumps({**report.as_json(), **about}))
    else:
        resumed = f", {archive.resumed:,} of them done before" if archive.resumed else ""
        print(f"{len(captures):,} captures{resumed}, {sum(c.size for c in captures):,} bytes")
        print("\n".join(report.lines()))
    if archive.failures:
        _fail(archive, len(captures))
    return 0


def _say(line: str) -> None:
    print(f"burstline: {line}", file=sys.stderr, flush=True)


def _fail(archive: ArchiveRun, captures: int) -> None:
    shown = list(archive.failures.items())[:MOST_SHOWN]
    more = len(archive.failures) - len(shown)
    lines = [f"  {path}: {message}" for path, (message, _) in shown] + ([f"  and {more:,} more"] if more else [])
    what = f"{len(archive.failures):,} of {captures:,} captures were not done to their end:\n" + "\n".join(lines)
    hint = "what is before the damage counts" + ("; the same command tries them again" if archive.state else "")
    raise BurstlineError(what, hint)
