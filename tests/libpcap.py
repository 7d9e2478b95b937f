"""libpcap itself, as the oracle of filters: compiled as for a savefile of a link layer, run over single packets."""

from __future__ import annotations

import ctypes
import ctypes.util
import struct
import tempfile
from pathlib import Path
from typing import Any

from burstline.packet.parser import LINK_ETHERNET, LINK_NULL, LINK_RAW, LINK_SLL, LINK_SLL2

LINKTYPES = {LINK_ETHERNET: 1, LINK_RAW: 101, LINK_NULL: 0, LINK_SLL: 113, LINK_SLL2: 276}
UNKNOWN_NETMASK = 0xFFFFFFFF


class _Program(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint), ("instructions", ctypes.c_void_p)]


class _Header(ctypes.Structure):
    _fields_ = [
        ("seconds", ctypes.c_long),
        ("microseconds", ctypes.c_long),
        ("captured", ctypes.c_uint),
        ("length", ctypes.c_uint),
    ]


class Libpcap:
    """Raises OSError where the library is missing."""

    def __init__(self) -> None:
        library: Any = ctypes.CDLL(ctypes.util.find_library("pcap") or "libpcap.so.0.8")
        library.pcap_open_offline.restype = ctypes.c_void_p
        library.pcap_geterr.restype = ctypes.c_char_p
        library.pcap_geterr.argtypes = [ctypes.c_void_p]
        pointer, integer = ctypes.POINTER(_Program), ctypes.c_uint
        library.pcap_compile.argtypes = [ctypes.c_void_p, pointer, ctypes.c_char_p, ctypes.c_int, integer]
        library.pcap_offline_filter.argtypes = [pointer, ctypes.POINTER(_Header), ctypes.c_char_p]
        library.pcap_freecode.argtypes = [pointer]
        self._library = library
        self._files = {}
        with tempfile.TemporaryDirectory() as directory:
            for link, linktype in LINKTYPES.items():
                path = Path(directory, "empty.pcap")
                path.write_bytes(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, linktype))
                self._files[link] = library.pcap_open_offline(str(path).encode(), ctypes.create_string_buffer(300))

    def filter(self, expression: str, link: int, optimise: bool = False) -> Filter | str:
        """A compiled filter, or the message why there is none."""
        program = _Program()
        handle = self._files[link]
        if self._library.pcap_compile(handle, program, expression.encode(), int(optimise), UNKNOWN_NETMASK):
            message: bytes = self._library.pcap_geterr(handle)
            return message.decode()
        return Filter(self._library, program)


class Filter:
    def __init__(self, library: Any, program: _Program) -> None:
        self._library, self._program = library, program

    def __call__(self, packet: bytes, length: int) -> bool:
        header = _Header(0, 0, len(packet), length)
        return bool(self._library.pcap_offline_filter(self._program, header, packet))

    def __del__(self) -> None:
        self._library.pcap_freecode(self._program)
