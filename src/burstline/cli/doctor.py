"""`burstline doctor`: what this machine offers, and the command that mends what is missing."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from burstline.cli.main import version
from burstline.engine.config import Config, load
from burstline.engine.probes import GROUPS, PROBES, Finding, Outcome, Probe
from burstline.engine.probes.finding import count
from burstline.errors import BurstlineError, UsageError

_SIGNS = {Outcome.YES: "✓", Outcome.NO: "✗", Outcome.UNKNOWN: "?"}
_ASCII_SIGNS = {Outcome.YES: "+", Outcome.NO: "x", Outcome.UNKNOWN: "?"}
_COLOURS = {Outcome.YES: "\x1b[32m", Outcome.NO: "\x1b[31m", Outcome.UNKNOWN: "\x1b[33m"}
_RESET = "\x1b[0m"
_MOST_COLUMNS = 120


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "ports", metavar="dpdk:DEVICE", nargs="*", help="ports to open, and tell how they would receive"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings for the ports")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the table")
    parser.add_argument(
        "--fix", action="store_true", help="reserve hugepages, and bind the named PCI ports to vfio-pci"
    )
    parser.add_argument("--dry-run", action="store_true", help="with --fix: only say what would be done")
    parser.add_argument("--pages", type=int, metavar="N", help="with --fix: hugepages in all (default: 1 GiB of them)")
    parser.epilog = "The exit code is 1 when not even capture files can be processed, and 0 otherwise."


def run(args: argparse.Namespace) -> int:
    if args.fix:
        from burstline.cli.doctor_fix import fix

        return fix(args.ports, args.pages, dry=args.dry_run)
    if args.dry_run or args.pages is not None:
        raise UsageError("--dry-run and --pages say how to mend", "write --fix, too")
    ports = [*examine_ports(args.ports, load(args.config))] if args.ports else []
    found = examine()
    works = offline_works(found)
    runs = [*examine_runs()]
    if args.json:
        print(json.dumps({**as_json(found), "ports": ports, "runs": runs}, indent=2))
    else:
        print_table(found, sys.stdout)
        for port in ports:
            print(f"\n{port['device']} ({port['driver']})\n  {port['text']}")
        for one in runs:
            print("\n" + "\n".join(run_lines(one)))
    return 0 if works else 1


def examine_ports(sources: Sequence[str], config: Config) -> Iterator[dict[str, Any]]:
    """How each port would receive, and the arithmetic of its rings; the devices are opened and closed again. Raises
    BurstlineError for one that cannot be had."""
    from burstline import dpdk
    from burstline.engine.live_ports import LivePorts

    other = next((source for source in sources if not source.startswith("dpdk:")), None)
    if other is not None:
        raise UsageError(f"{other} is no port", "write dpdk: and a device, as for `burstline run`")
    dpdk.require()
    ports = LivePorts([source.removeprefix("dpdk:") for source in sources], None, config, config.engine.workers)
    ports.start_eal()
    plans = ports.planned()
    for source, can, port in zip(sources, plans.found, plans.ports, strict=True):
        text = "\n  ".join([str(port), *plans.footprint.lines()])
        yield {"device": source, "driver": can.driver, "receive": port.as_json(), "text": text}


def examine_runs() -> Iterator[dict[str, Any]]:
    """The pipelines that run between ports now, and what of each is not where it belongs."""
    from burstline.engine.placement.irqs import network_irqs
    from burstline.engine.stats_reader import open_runs
    from burstline.numa.find import find_topology
    from burstline.numa.placement_check import Where, misplaced

    try:
        going = open_runs()
    except (BurstlineError, OSError):  # none, or none that this user may read
        return
    for each in going:
        try:
            told = each.read().directory
        finally:
            each.close()
        if placement := told.get("placement"):
            where = replace(Where.of(placement["where"]), irqs=tuple(network_irqs()))
            wrong = [one.as_json() for one in misplaced(find_topology(), where)]
            yield {"pid": told["pid"], "app": told["app"], "source": told["source"], "misplaced": wrong}


def run_lines(told: Mapping[str, Any]) -> list[str]:
    """For a terminal."""
    lines = [f"{told['app']} over {told['source']} (process {told['pid']})"]
    for each in told["misplaced"]:
        lines += [f"  {each['what']}", f"    mend: {each['fix']}"]
    return lines if told["misplaced"] else [*lines, "  threads, memory and interrupts are where they belong"]


def examine(root: Path = Path("/")) -> list[tuple[Probe, Finding]]:
    """Ask every probe; nothing is changed on the machine."""
    return [(probe, probe.ask(root)) for probe in PROBES]


def offline_works(found: Iterable[tuple[Probe, Finding]]) -> bool:
    """Whether nothing that capture files need is known to be missing."""
    return not any(probe.essential and finding.outcome is Outcome.NO for probe, finding in found)


def as_json(found: list[tuple[Probe, Finding]]) -> dict[str, object]:
    """What `--json` prints: outcomes are yes, no or unknown; `facts` differ from probe to probe."""
    return {
        "burstline": version(),
        "system": system(),
        "offline_works": offline_works(found),
        "probes": [
            {
                "group": probe.group,
                "name": probe.name,
                "outcome": finding.outcome.value,
                "detail": finding.detail,
                "mend": finding.mend,
                "facts": dict(finding.facts),
            }
            for probe, finding in found
        ],
    }


def print_table(found: list[tuple[Probe, Finding]], out: TextIO) -> None:
    """The findings by group, aligned, in colour where `out` is a terminal that wants it."""
    signs = _SIGNS if encodes(out, "".join(_SIGNS.values())) else _ASCII_SIGNS
    colours = _COLOURS if wants_colour(out) else {}
    width = max(len(probe.name) for probe, _ in found)
    columns = min(shutil.get_terminal_size().columns, _MOST_COLUMNS) if out.isatty() else _MOST_COLUMNS
    indent = " " * (width + 6)
    print(f"burstline {version()} on {system()}", file=out)
    for group, title in GROUPS.items():
        print(f"\n{title}", file=out)
        for probe, finding in found:
            if probe.group != group:
                continue
            colour = colours.get(finding.outcome, "")
            sign = f"{colour}{signs[finding.outcome]}{_RESET if colour else ''}"
            detail = textwrap.wrap(printable(finding.detail, out), max(20, columns - len(indent))) or [""]
            print(f"  {sign} {probe.name:{width}}  " + f"\n{indent}".join(detail), file=out)
            if finding.mend:
                # Never wrapped: it is there to be copied.
                print(f"{indent}mend: {printable(finding.mend, out)}", file=out)
    print(f"\n{summary(found)}", file=out)


def summary(found: list[tuple[Probe, Finding]]) -> str:
    of = {outcome: [probe.name for probe, finding in found if finding.outcome is outcome] for outcome in Outcome}
    numbers = f"{len(of[Outcome.YES])} yes, {len(of[Outcome.NO])} no, {len(of[Outcome.UNKNOWN])} could not tell"
    lacking = [probe.name for probe, finding in found if probe.essential and finding.outcome is Outcome.NO]
    state = f"Capture files cannot be processed without {', '.join(lacking)}" if lacking else "Capture files: ready"
    return f"{state}. {count(len(found), 'probe')}: {numbers}."


def system() -> str:
    return f"{platform.system()} {platform.release()} {platform.machine()}"


def wants_colour(out: TextIO) -> bool:
    """A terminal, and no NO_COLOR (https://no-color.org: any value that is not empty)."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def encodes(out: TextIO, text: str) -> bool:
    try:
        text.encode(out.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def printable(text: str, out: TextIO) -> str:
    """The text as `out` can show it: a path may hold letters that its encoding has not."""
    return text.encode(out.encoding or "ascii", "backslashreplace").decode(out.encoding or "ascii")
