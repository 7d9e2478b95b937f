"""One process per device: a lock that the kernel gives back however the process ends.

DPDK would let two processes poll one interface, and each would forward every packet. The lock is a listening socket
in the abstract namespace (unix(7)): it leaves no file, belongs to the network namespace that the interface is in, and
says which process holds it.
"""

from __future__ import annotations

import os
import socket
import struct
from hashlib import blake2b

from burstline.dpdk.device import Device
from burstline.dpdk.stale import socket_of
from burstline.errors import BurstlineError

MOST = 90  # bytes of what is locked, in a name: struct sockaddr_un has 108


def lock(device: Device) -> socket.socket | None:
    """Hold the device until the result is closed; None for devices of which there can be any number.

    Raises BurstlineError naming the process that has it.
    """
    what = device.name if device.bus != "vdev" else _exclusive(device)
    if what is None:
        return None
    name = f"\0burstline/{what}" if len(what) <= MOST else f"\0burstline/{blake2b(what.encode()).hexdigest()[:32]}"
    held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        held.bind(name)
        held.listen(1)
    except OSError:
        held.close()
        owner = _owner(name)
        if owner == os.getpid():
            raise BurstlineError(f"{what} is open already", "name each device once") from None
        raise BurstlineError(
            f"{what} is in use by another burstline process" + (f" (pid {owner})" if owner else ""),
            "stop that process first, or choose another device",
        ) from None
    return held


def _exclusive(device: Device) -> str | None:
    """What a virtual device has for itself: an interface of the kernel, or a socket that it listens on. Of two that
    wanted the same socket, the one that DPDK refuses would remove it."""
    if device.driver != "net_pcap" and device.interface:
        return device.interface
    place = socket_of(device)
    return str(place.absolute()) if place else None


def _owner(name: str) -> int | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(0.2)
        try:
            client.connect(name)
            pid, _, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        except OSError:
            return None
        return int(pid)
