"""SIGHUP to a run: its application is loaded again, and takes the running pipeline's place."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from burstline.engine.service import notify

if TYPE_CHECKING:
    from burstline.engine.watch import Watch


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
    def asked(signum: int, frame: object) -> None:
        notify.reloading()
        watch.ask()

    signal.signal(signal.SIGHUP, asked)
