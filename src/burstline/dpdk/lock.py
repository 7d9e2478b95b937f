"""One process per device: a lock that the kernel gives back however the process ends.

DPDK would let two processes poll one interface, and each would forward every packet. The lock is a listening socket
in the abstract namespace (unix(7)): it leaves no file, belongs to the network namespace that the interface is in, and
says which process holds it.
"""

from __future__ import annotations

import os
import socket
import struct

from burstline.dpdk.device import Device
from burstline.errors import BurstlineError


def lock(device: Device) -> socket.socket | None:
    """Hold the device until the result is closed; None for devices of which there can be any number.

    Raises BurstlineError naming the process that has it.
    """
    if device.bus == "vdev":
        if device.driver == "net_pcap" or device.interface is None:
            return None
        what = device.interface
    else:
        what = device.name
    name = f"\0burstline/{what}"
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


def _owner(name: str) -> int | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(0.2)
        try:
            client.connect(name)
            pid, _, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        except OSError:
            return None
        return int(pid)
