"""What a network interface says of itself: its number, its receive queues, whether it takes out VLAN tags."""

from __future__ import annotations

import fcntl
import socket
import struct
from ctypes import addressof, create_string_buffer

from burstline.errors import UsageError

SIOCETHTOOL = 0x8946
GET_FLAGS, GET_CHANNELS = 0x25, 0x3C  # include/uapi/linux/ethtool.h
FLAG_RXVLAN = 1 << 8


def index_of(name: str) -> int:
    """Raises UsageError where there is none of this name."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        names = ", ".join(sorted(n for _, n in socket.if_nameindex())) or "none"
        raise UsageError(f"there is no interface {name!r} in this network namespace", f"there are {names}") from None


def rx_queues(name: str) -> int:
    """How many receive queues are in use; 1 where the driver does not say."""
    asked = struct.pack("<9I", GET_CHANNELS, *[0] * 8)
    answer = _ethtool(name, asked)
    if answer is None:
        return 1
    _, _, _, _, _, received, _, _, combined = struct.unpack("<9I", answer)
    return max(int(received) + int(combined), 1)


def strips_tags(name: str) -> bool:
    """Whether VLAN tags come beside the packet (`rx-vlan-offload`), where an XDP program does not see them."""
    answer = _ethtool(name, struct.pack("<II", GET_FLAGS, 0))
    return answer is not None and bool(struct.unpack("<II", answer)[1] & FLAG_RXVLAN)


def _ethtool(name: str, command: bytes) -> bytes | None:
    held = create_string_buffer(command, len(command))
    request = struct.pack("<16sQ16x", name.encode(), addressof(held))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            fcntl.ioctl(any_socket, SIOCETHTOOL, request)
        except OSError:
            return None
    return held.raw
