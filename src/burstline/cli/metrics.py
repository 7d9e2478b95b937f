"""`burstline metrics [RUN]`: a running pipeline's metrics, printed, served to Prometheus, or sent by OpenTelemetry."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from burstline.cli.serve import address
from burstline.errors import BurstlineError, UsageError

if TYPE_CHECKING:
    from burstline.engine.service.privileges import User
    from burstline.view.attached import Attached

PERIOD = 10.0  # seconds between two exports
LOOK = 0.5  # between looks whether the run goes on
PATIENCE = 300.0  # seconds that --wait waits: the pipeline is compiled first


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "which", metavar="RUN", nargs="?", help="a process or an application; the only run when left out"
    )
    parser.add_argument("--listen", metavar="HOST:PORT", help="serve them at /metrics until the run ends")
    parser.add_argument("--otlp", metavar="URL", help="send them there, e.g. http://localhost:4318/v1/metrics")
    parser.add_argument(
        "--period",
        metavar="SECONDS",
        type=float,
        default=PERIOD,
        help=f"between two that are sent (default {PERIOD:g})",
    )
    parser.add_argument("--user", metavar="NAME", help="become this user as soon as it listens")
    parser.add_argument("--wait", action="store_true", help="wait for the run to begin")
    parser.add_argument("--alerts", action="store_true", help="print alert rules for Prometheus")
    parser.add_argument("--dashboard", action="store_true", help="print a dashboard for Grafana")


def run(args: argparse.Namespace) -> int:
    from burstline.view.monitoring import ALERTS, DASHBOARD

    if args.alerts or args.dashboard:
        sys.stdout.write((ALERTS if args.alerts else DASHBOARD).read_text(encoding="utf-8"))
        return 0
    if not args.period > 0:
        raise UsageError(f"--period {args.period} is no time to wait", "write a number of seconds, such as 10")
    listen = address(args.listen) if args.listen else None
    user = _user(args.user) if args.user else None
    attached = _attached(args.which, args.wait)
    if listen is None and args.otlp is None:
        from burstline.view.prometheus import exposition

        sys.stdout.write(exposition(attached.snapshot())[0].decode())
        return 0
    _go_on(attached, listen, args.otlp, args.period, user)
    return 0


def _user(name: str) -> User:
    from burstline.engine.service import privileges

    found = privileges.user_of(name)
    privileges.begin()
    return found


def _attached(which: str | None, wait: bool) -> Attached:
    from burstline.view.attached import attach

    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return attach(which)
        except BurstlineError:
            if not wait or time.monotonic() > deadline:
                raise
            time.sleep(LOOK)


def _go_on(
    attached: Attached, listen: tuple[str, int] | None, otlp: str | None, period: float, user: User | None
) -> None:
    """Until the run ends, or Ctrl-C."""
    server = provider = None
    said = []
    try:
        if listen is not None:
            from burstline.view.metrics_server import serve

            server = serve(attached, *listen)
            said.append(f"{attached.name}: http://{server.where}/metrics")
        if otlp is not None:
            from burstline.view.telemetry import otlp as export

            provider = export(attached.snapshot, otlp, period)
            said.append(f"{attached.name}: to {otlp} every {period:g} s")
        if user is not None:
            from burstline.engine.service.privileges import drop

            drop(user, ())
        print("\n".join(said), file=sys.stderr, flush=True)
        while attached.over is None:
            time.sleep(LOOK)
            attached.snapshot()
    except KeyboardInterrupt:
        pass
    finally:
        if provider is not None:
            provider.shutdown()
        if server is not None:
            server.close()
