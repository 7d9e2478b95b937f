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


class Interface:
    """One of the network namespace that the calling thread is in; any thread may ask it. Raises UsageError where
    there is none of this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            self.index = socket.if_nametoindex(name)
        except OSError:
            names = ", ".join(sorted(n for _, n in socket.if_nameindex())) or "none"
            raise UsageError(
                f"there is no interface {name!r} in this network namespace", f"there are {names}"
            ) from None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # it stays in the namespace
        self.rx_queues = self._rx_queues()

    def _rx_queues(self) -> int:
        """How many receive queues are in use; 1 where the driver does not say."""
        answer = self._ethtool(struct.pack("<9I", GET_CHANNELS, *[0] * 8))
        if answer is None:
            return 1
        _, _, _, _, _, received, _, _, combined = struct.unpack("<9I", answer)
        return max(int(received) + int(combined), 1)

    def strips_tags(self) -> bool:
        """Whether VLAN tags come beside the packet (`rx-vlan-offload`), where an XDP program does not see them."""
        answer = self._ethtool(struct.pack("<II", GET_FLAGS, 0))
        return answer is not None and bool(struct.unpack("<II", answer)[1] & FLAG_RXVLAN)

    def close(self) -> None:
        self._socket.close()

    def _ethtool(self, command: bytes) -> bytes | None:
        held = create_string_buffer(command, len(command))
        try:
            fcntl.ioctl(self._socket, SIOCETHTOOL, struct.pack("<16sQ16x", self.name.encode(), addressof(held)))
        except OSError:
            return None
        return held.raw
