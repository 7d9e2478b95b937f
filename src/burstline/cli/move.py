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
    from burstline.engine.control_socket import ask
    from burstline.engine.stats_reader import open_runs

    match = re.fullmatch(r"(?:worker\s*)?(\d+)", args.worker)
    if match is None:
        raise UsageError(
            f"{args.worker} is no worker", "write worker0, and the run behind it: burstline move worker0 RUN"
        )
    runs = open_runs(args.which)
    try:
        told = [each.read().directory for each in runs]
        if len(runs) > 1:
            names = ", ".join(f"{each['app']} ({each['pid']})" for each in told)
            raise UsageError(
                f"several pipelines are running: {names}", "name one by its number: burstline move worker0 PID"
            )
        done = ask(told[0]["pid"], runs[0].path.parent, "move", {"worker": int(match[1]), "cpu": args.cpu})
    finally:
        for each in runs:
            each.close()
    print(json.dumps(done, indent=2) if args.json else done["text"])
    return 0
