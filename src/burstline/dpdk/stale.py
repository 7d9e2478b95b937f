"""Sockets in the file system that a killed process left behind: DPDK listens on one only when nothing lies there.

(lib/vhost/socket.c: "The user must ensure that the socket does not exist".)
"""

from __future__ import annotations

import socket
import stat
from pathlib import Path

from burstline.dpdk.device import Device
from burstline.errors import BurstlineError


def socket_of(device: Device) -> Path | None:
    """Where a virtual device will listen, if it does so in the file system."""
    driver, argument = device.driver, device.argument
    if driver in ("net_vhost", "eth_vhost") and argument("client") in ("", "0"):
        return Path(argument("iface")) if argument("iface") else None
    if driver == "net_virtio_user" and argument("server") == "1":
        return Path(argument("path")) if argument("path") else None
    is_server = argument("role") in ("master", "server") and argument("socket-abstract") == "no"
    if driver == "net_memif" and is_server:
        return Path(argument("socket") or "/run/memif.sock")
    return None


def clear(device: Device) -> None:
    """Remove a socket that nobody listens on any more. Raises BurstlineError when somebody does."""
    place = socket_of(device)
    if place is None:
        return
    try:
        if not stat.S_ISSOCK(place.lstat().st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(0.2)
            client.connect(str(place))
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        place.unlink(missing_ok=True)
        return
    except OSError:  # another kind of socket, or one that is too busy to answer: DPDK will say
        return
    raise BurstlineError(
        f"{place} is in use by another process", "stop that process first, or choose another path for the socket"
    )
