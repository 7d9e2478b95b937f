"""What goes on beside a run while packets flow: its application is loaded again, when it is saved or by SIGHUP; state
is kept; privileges are given up."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burstline.cli.run_log import RunLog
from burstline.engine.app import Application
from burstline.engine.config import Config
from burstline.errors import BurstlineError, UsageError

if TYPE_CHECKING:
    from burstline.engine.watch import Watch


def begin(config: Config, args: argparse.Namespace) -> None:
    """Before the application is loaded, whose packages may begin threads: no thread will have new privileges where they
    are to be given up. Raises BurstlineError."""
    if config.service.user and _is_live(args):
        from burstline.engine.service import privileges

        privileges.begin()


def _is_live(args: argparse.Namespace) -> bool:
    return all(source.startswith("dpdk:") for source in args.source)


def beside(
    app: Application, runner: Any, config: Config, log: RunLog, args: argparse.Namespace
) -> contextlib.AbstractContextManager[object]:
    """To be entered around the run. Compiled runs have it done by their `service`, which first becomes another user
    where that is asked for. Raises UsageError."""
    settings = config.service
    if settings.user and not _is_live(args):
        raise UsageError("a run over a file needs no privileges to give up", "start it as the user that it is to be")
    hangup = is_service() and not Path(args.source[0]).is_file()
    watch = watch_of(app, runner, log, args.debug, looks=args.watch) if args.watch or hangup else None
    if watch and hangup:
        reload_on_hangup(watch)
    if args.interpret:
        if settings.user or settings.state:
            raise UsageError("interpreted runs keep no state, and stay the user that they are", "leave --interpret out")
        return watch or contextlib.nullcontext()
    if watch or settings.user or settings.state or "NOTIFY_SOCKET" in os.environ:
        from burstline.engine.service.service import Service

        runner.service = Service(settings, log.said)
        if watch:
            runner.service.beside.append(lambda: watch)
    return contextlib.nullcontext()


def watch_of(app: Application, runner: Any, log: RunLog, debug: bool, *, looks: bool) -> Watch:
    from burstline.cli.main import internal
    from burstline.cli.main import report as show
    from burstline.engine.service import notify
    from burstline.engine.watch import Watch

    def said(line: str) -> None:
        log.said(line)
        notify.ready(line)

    def failed(error: Exception) -> None:
        notify.ready("the application could not be loaded again")
        if log.as_json:
            log.refused(error)
            return
        log.clear()
        if isinstance(error, BurstlineError):
            show(error.message, error.hint, error.exit_code, debug)
        else:
            internal(error, debug)
        log.said("the pipeline runs on as it was")

    return Watch(app, runner, said, failed, getattr(runner, "rehearse", lambda: None), looks=looks)


def is_service() -> bool:
    """Whether this process has no terminal of its own, whose end would be told by SIGHUP: as under systemd, in a
    container, after setsid(1)."""
    if not hasattr(signal, "SIGHUP"):
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return True
    return False


def reload_on_hangup(watch: Watch) -> None:
    from burstline.engine.service import notify

    def asked(signum: int, frame: object) -> None:
        notify.reloading()
        watch.ask()

    signal.signal(signal.SIGHUP, asked)
