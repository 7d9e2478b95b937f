"""`burstline move worker0 --cpu 5`: have a worker of a running pipeline go on on another core, with its memory."""

from __future__ import annotations

import argparse
import json
import re

from burstline.errors import UsageError

EPILOG = """Packets flow meanwhile; tables, memory, code and stack of the worker move to the node of the CPU. Buffers of
packets cannot move, and it is told where they stay. With the CPU that the worker is on, its memory follows it there.
  burstline move worker0 --cpu 5
  burstline move worker0 --cpu 5 bridge.py"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "worker", metavar="WORKER", help="worker0, worker1, ..., as `burstline stats --workers` has them"
    )
    parser.add_argument("which", metavar="RUN", nargs="?", help="a process or an application, where several run")
    parser.add_argument("--cpu", type=int, required=True, metavar="N", help="the CPU that it is to go to")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    from burstline.view.attached import attach

    match = re.fullmatch(r"(?:worker\s*)?(\d+)", args.worker)
    if match is None:
        raise UsageError(
            f"{args.worker} is no worker", "write worker0, and the run behind it: burstline move worker0 RUN"
        )
    attached = attach(args.which)
    try:
        done = attached.ask("move", worker=int(match[1]), cpu=args.cpu)
    finally:
        attached.close()
    print(json.dumps(done, indent=2) if args.json else done["text"])
    return 0
