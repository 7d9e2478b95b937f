"""`burstline filter EXPRESSION SOURCE`: keep the packets of a capture that match a pcap filter."""

from __future__ import annotations

import argparse
import json
import signal
import sys

from burstline.cli.progress import ProgressLine
from burstline.engine.filter_run import FilterRun
from burstline.errors import BurstlineError, UsageError
from burstline.filter.program import FilterProgram

EPILOG = """The expression is that of tcpdump, pcap-filter(7), with the meaning that libpcap gives it:
  burstline filter "tcp port 443 and src net 10.0.0.0/8" in.pcapng -o web.pcapng
  zcat in.pcap.gz | burstline filter "icmp or arp" - -o - | tcpdump -r -
Without -o, matches are counted. The report goes to stderr when packets go to standard output."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("expression", metavar="EXPRESSION", help="a pcap filter, as one argument")
    parser.add_argument("source", metavar="SOURCE", help="a capture, plain or compressed by gzip or zstd; - is stdin")
    parser.add_argument("--out", "-o", metavar="FILE", help="where matching packets go: pcap by its name, else pcapng")
    parser.add_argument("--count", "-c", type=int, default=0, metavar="N", help="stop after N packets that match")
    parser.add_argument("--invert", "-v", action="store_true", help="keep the packets that do not match")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    if args.count < 0:
        raise UsageError(f"--count {args.count} is less than nothing", "give the number of packets to stop after")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    progress = ProgressLine()
    filtering = FilterRun(
        FilterProgram(args.expression), args.source, args.out, most=args.count, invert=args.invert,
        progress=progress if progress.enabled else None,
    )  # fmt: skip
    failure: BurstlineError | None = None
    try:
        filtering.run()
    except BurstlineError as error:
        failure = error
    progress.clear()
    report = filtering.report
    if failure is None or report.received.packets:
        error_text = None if failure is None else failure.message
        lines = [json.dumps({**report.as_json(), "error": error_text})] if args.json else report.lines()
        print("\n".join(lines), file=sys.stderr if args.out == "-" else sys.stdout)
    if failure:
        raise failure
    return 0
