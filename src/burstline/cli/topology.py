"""`burstline topology`: the machine as a NUMA graph, of this machine or of another one."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from burstline.errors import UsageError
from burstline.numa.find import find_topology, names

EPILOG = """MACHINE is one that comes with burstline (--list), a description as hwloc's, a file of TOML, a file
that lstopo wrote (machine.xml), or a directory with a copy of /sys below it. Without it, this machine.
  burstline topology epyc-7763-2s-nps4
  burstline topology "pack:4 numa:1(memory=64GB) l3:1(size=32MB) core:16 pu:2" --svg machine.svg"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("machine", metavar="MACHINE", nargs="?", help="another machine than this one")
    parser.add_argument("--topology", "--from", dest="given", metavar="MACHINE", help="the same, as for `plan`")
    parser.add_argument("--overlay", type=Path, metavar="FILE", help="TOML with what firmware does not tell")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw it into this file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--list", action="store_true", help="name the machines that come with burstline")


def run(args: argparse.Namespace) -> int:
    if args.list:
        print(json.dumps(names(), indent=2) if args.json else "\n".join(names()))
        return 0
    if args.machine and args.given:
        raise UsageError(f"{args.machine} and {args.given} are two machines", "name one")
    machine = find_topology(args.machine or args.given, args.overlay)
    if args.svg:
        from burstline.numa.draw_svg import draw_svg

        args.svg.write_text(draw_svg(machine), encoding="utf-8")
    if args.json:
        from burstline.numa.interconnect import with_assumed_links

        print(json.dumps(with_assumed_links(machine).as_json(), indent=2))
    else:
        from burstline.numa.draw_text import draw_text

        print("\n".join(draw_text(machine)))
    return 0
