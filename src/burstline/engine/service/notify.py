"""Word to the service manager: sd_notify(3), a datagram to the socket that `NOTIFY_SOCKET` names."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress


def notify(**fields: str) -> bool:
    """Say e.g. READY="1"; False where nobody is to be told, or nobody listens."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return False
    address = f"\0{place[1:]}" if place[0] == "@" else place
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
        to.connect(address)
        to.sendall("\n".join(f"{name}={value}" for name, value in fields.items()).encode())
        return True
    return False


def ready(status: str) -> None:
    notify(READY="1", STATUS=status)


def reloading() -> None:
    notify(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))


def stopping() -> None:
    notify(STOPPING="1", STATUS="stopping")
