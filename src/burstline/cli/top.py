"""`burstline top [RUN]`: a running pipeline in the terminal, by views."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from burstline.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "keys: 1 to 7 or tab change the view; m measures cycles and edges; / searches flows, s sorts them; "
        "p pauses, q quits"
    )
    parser.add_argument(
        "which", metavar="RUN", nargs="?", help="a process or an application; asked for when several run"
    )
    parser.add_argument("--period", metavar="SECONDS", type=float, default=1.0, help="between two looks (default 1)")
    parser.add_argument(
        "--recorded", metavar="FILE", type=Path, help="look at a copy of a run's statistics file instead"
    )


def run(args: argparse.Namespace) -> int:
    if not 0.1 <= args.period <= 60:
        raise UsageError(f"--period {args.period} is out of range", "give 0.1 to 60 seconds")
    if not sys.stdout.isatty():
        raise UsageError("`burstline top` draws into a terminal", "use `burstline stats --watch`, which prints lines")
    from burstline.engine.stats_reader import RunFile, open_runs
    from burstline.view.attached import Attached, attach
    from burstline.view.terminal.app import Top

    if args.recorded:
        Top(Attached(RunFile(args.recorded)), args.period).run()
        return 0
    if args.which is None and len(runs := [Attached(run) for run in open_runs()]) > 1:
        from burstline.view.terminal.choose import Choose

        chosen = Choose([each.name for each in runs]).run()
        if chosen is None:
            return 0
        args.which = str(runs[chosen].pid)
        for each in runs:
            each.close()
    Top(attach(args.which), args.period).run()
    return 0
