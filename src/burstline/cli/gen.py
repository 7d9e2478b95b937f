"""`burstline gen OUT`: write a capture of generated flows."""

from __future__ import annotations

import argparse
import sys
import time

from burstline.cli.progress import ProgressLine
from burstline.engine.report import in_units
from burstline.ports.capture_writer import STANDARD_OUTPUT
from burstline.ports.generator_file import write_traffic
from burstline.ports.traffic import PARAMETERS, traffic_of

EPILOG = """Numbers can be written 1e6, 10k, 2.5M or 1G, and shares 0.2 or 20%. A run takes the same traffic from
`gen:packets=1e6,flows=10k` without a file."""
_WORDS = {
    "mean": "BYTES",
    "rate": "PPS",
    "ipv6": "SHARE",
    "vlan": "SHARE",
    "snaplen": "BYTES",
    "zipf": "S",
    "flows": "F",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "out", metavar="OUT", help="the file, pcap when its name ends so, else pcapng; - is standard output"
    )
    for name, rule in PARAMETERS.items():
        default = f"{rule.default:,}" if rule.is_whole else f"{rule.default:g}"
        parser.add_argument(f"--{name}", metavar=_WORDS.get(name, "N"), help=f"{rule.meaning} (default {default})")


def run(args: argparse.Namespace) -> int:
    given = {name: getattr(args, name) for name in PARAMETERS if getattr(args, name) is not None}
    traffic = traffic_of(given, lambda name: f"--{name}")
    line = ProgressLine()
    started = time.perf_counter()
    try:
        size = write_traffic(
            traffic, args.out, (lambda done, _: line(done, traffic.packets, done)) if line.enabled else None
        )
    finally:
        line.clear()
    seconds = time.perf_counter() - started
    flows = f"{traffic.flows:,}" if traffic.packets >= traffic.flows else f"up to {traffic.packets:,}"
    to_pipe = args.out == STANDARD_OUTPUT
    print(
        f"{'standard output' if to_pipe else args.out}: {traffic.packets:,} packets of {flows} flows, "
        f"{in_units(size, 'B')} in {seconds:.1f} s ({in_units(traffic.packets / seconds, 'packets/s')})",
        file=sys.stderr if to_pipe else sys.stdout,
    )
    return 0
