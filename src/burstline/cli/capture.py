"""`burstline capture PORT -o DIR/`: write what comes to live ports into capture files, as fast as the disk takes it."""

from __future__ import annotations

import argparse
import json
import re
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burstline.cli.core_list import cores_of
from burstline.cli.progress import ProgressLine
from burstline.errors import BurstlineError, UsageError

if TYPE_CHECKING:
    from burstline.pipeline.pipeline import Pipeline
    from burstline.ports.capture_files import CaptureOptions

EPILOG = """  burstline capture eth0 -o captures/ --rotate 1GB --rotate 60s --files 100 --compress zstd
  burstline capture dpdk:0000:3b:00.0 -o web.pcapng --filter "tcp port 443" --snaplen 128
A name without dpdk: is an interface of the kernel, of which it gets copies (AF_PACKET). A directory gets files named
after when they began, in UTC. What ports had no room for, and what the disk did not take in time, is told in each file
(pcapng's interface statistics): where it happened, and at its end. `burstline run APP follow:captures/` reads along."""

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
LEVELS = {"zstd": 22, "gzip": 9}  # the slowest
SECONDS = {"s": 1, "min": 60, "h": 3600}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("port", metavar="PORT", nargs="+", help="dpdk:... or an interface of the kernel")
    parser.add_argument("--out", "-o", metavar="OUT", required=True, help="a directory, with a / behind it, or a file")
    parser.add_argument(
        "--rotate",
        action="append",
        default=[],
        metavar="SIZE|TIME",
        help="begin a new file after 1GB, or 60s, 5min, 1h",
    )
    parser.add_argument("--files", type=int, default=0, metavar="N", help="keep the last N files")
    parser.add_argument("--compress", choices=("none", "zstd", "gzip"), help="default: as the name of the file ends")
    parser.add_argument("--level", type=int, metavar="N", help="of compression: 1 is the fastest (default)")
    parser.add_argument("--filter", "-f", metavar="EXPRESSION", help="a pcap filter: what else comes is dropped")
    parser.add_argument("--snaplen", "-s", type=int, metavar="BYTES", help="keep so much of each packet")
    parser.add_argument("--buffer", default="64MiB", metavar="SIZE", help="between each worker and the disk (64MiB)")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="stop after this time")
    parser.add_argument("--workers", "-w", type=int, metavar="N", help="worker threads, one core each (default 1)")
    parser.add_argument("--cores", metavar="LIST", help="cores for the workers, e.g. 2,3")
    parser.add_argument("--no-huge", action="store_true", help="keep packet buffers out of huge pages")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: burstline.toml here)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    from burstline.engine.config import load
    from burstline.engine.live import LiveRun
    from burstline.engine.publisher import LIVE_ROUNDS, Publisher

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: stop, flush, report
    options = options_of(args)
    pipeline = pipeline_of(args.filter)
    config = load(args.config, Path("capture")).with_overrides(
        workers=args.workers, duration=args.duration, cores=cores_of(args.cores),
        hugepages=False if args.no_huge else None,
    )  # fmt: skip
    config.engine.use_simd()
    devices = [device_of(name) for name in args.port]
    interval = config.engine.stats_interval
    publisher = Publisher("capture", " ".join(args.port), interval, LIVE_ROUNDS) if interval else None
    progress = ProgressLine()
    live = LiveRun(
        pipeline, devices, args.out, config, progress=progress if progress.enabled else None, publisher=publisher,
        capture=options,
    )  # fmt: skip
    failure: BurstlineError | None = None
    try:
        live.run()
    except BurstlineError as error:
        failure = error
    progress.clear()
    if failure is None or live.report.received.packets:
        show(live, args.json, failure, sys.stderr if args.out == "-" else sys.stdout)
    if failure:
        raise failure
    return 0


def show(live: Any, as_json: bool, failure: BurstlineError | None, to: Any) -> None:
    report, files = live.report, live.capture.files
    for warning in report.warnings:
        print(f"burstline: warning: {warning}", file=sys.stderr)
    if as_json:
        told = {
            **report.as_json(), "files": [str(path) for path in files.closed],
            "most_waiting": live.capture.most_waiting,
            "error": None if failure is None else failure.message,
        }  # fmt: skip
        print(json.dumps(told), file=to)
        return
    print("\n".join(report.lines()), file=to)
    if files.closed:
        several = f"{len(files.closed)} files, the last " if len(files.closed) > 1 else ""
        print(f"{several}{files.closed[-1]}", file=to)


def options_of(args: argparse.Namespace) -> CaptureOptions:
    """Raises UsageError."""
    from burstline.ports.capture_files import CaptureOptions, compression_of
    from burstline.ports.capture_format import MAX_CAPTURED

    size, seconds = 0, 0.0
    for text in args.rotate:
        if (found := _amount(text, SECONDS)) is not None:
            seconds = found
        else:
            size = bytes_of("--rotate", text)
    if args.snaplen is not None and not 0 < args.snaplen <= MAX_CAPTURED:
        raise UsageError(f"--snaplen {args.snaplen} keeps nothing of packets", f"give 1 to {MAX_CAPTURED} bytes")
    if args.files < 0:
        raise UsageError(f"--files {args.files} is less than nothing", "give the number of files to keep")
    if args.files and not (size or seconds):
        raise UsageError(
            "--files keeps the last of several files, and there is one", "add --rotate 1GB or --rotate 60s"
        )
    compress = args.compress or compression_of(args.out)
    if args.level is not None and compress == "none":
        raise UsageError("--level is of compression, and there is none", "add --compress zstd")
    if args.level is not None and not 1 <= args.level <= LEVELS[compress]:
        raise UsageError(f"--level {args.level} is none of {compress}'s", f"give 1 to {LEVELS[compress]}")
    return CaptureOptions(
        size=size, seconds=seconds, files=args.files, compress=compress,
        level=1 if args.level is None else args.level, snaplen=args.snaplen or MAX_CAPTURED,
        filter=args.filter or "", buffer=bytes_of("--buffer", args.buffer),
    )  # fmt: skip


def bytes_of(option: str, text: str) -> int:
    """Of `1GB`, `64MiB`, `500k`. Raises UsageError."""
    amount = _amount(text.removesuffix("B").removesuffix("b").lower(), UNITS)
    if amount is None or amount < 1 << 16:
        raise UsageError(f"{option} {text} is no size of 64 KiB or more", f"write {option} 1GB, or 64MiB")
    return int(amount)


def _amount(text: str, units: dict[str, int]) -> float | None:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text)
    if match is None or match[2] not in units:
        return None
    return float(match[1]) * units[match[2]] or None


def device_of(name: str) -> str:
    """What DPDK is asked for. Raises UsageError."""
    if name.startswith("dpdk:"):
        return name.removeprefix("dpdk:")
    if name not in [known for _, known in socket.if_nameindex()]:
        raise UsageError(
            f"there is no interface {name}",
            "name one of `ip link`, or a port: dpdk:0000:3b:00.0; `burstline ports` has them",
        )
    return f"net_af_packet,iface={name}"


def pipeline_of(expression: str | None) -> Pipeline:
    """All packets pass that match."""
    from burstline.pipeline.match import match
    from burstline.pipeline.pipeline import Pipeline
    from burstline.pipeline.stage import stage
    from burstline.pipeline.verdict import PASS

    @stage
    def everything(pkt: Any) -> Any:
        return PASS

    return Pipeline(match(expression) if expression else everything)
