"""Capture files to test readers with, put together byte by byte: sound ones, and one for each fault."""

from __future__ import annotations

import io
import struct

from burstline.ports import capture_format as form
from burstline.ports.capture_format import CaptureError, Fault
from burstline.ports.capture_reader import CapturedPacket, read_capture


def read_until_fault(data: bytes) -> tuple[list[CapturedPacket], CaptureError | None]:
    packets = []
    try:
        for packet in read_capture(io.BytesIO(data), "test.pcap"):
            packets.append(packet)
    except CaptureError as error:
        return packets, error
    return packets, None


def pcap_header(order: str, magic: int = form.PCAP_MAGIC_NS, linktype: int = 1) -> bytes:
    return struct.pack(order + "IHHIIII", magic, 2, 4, 0, 0, 65535, linktype)


def record(order: str, seconds: int, fraction: int, data: bytes, length: int | None = None) -> bytes:
    return struct.pack(order + "IIII", seconds, fraction, len(data), len(data) if length is None else length) + data


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def block(order: str, kind: int, body: bytes) -> bytes:
    size = struct.pack(order + "I", len(padded(body)) + 12)
    return struct.pack(order + "I", kind) + size + padded(body) + size


def section(order: str, major: int = 1) -> bytes:
    return block(order, form.SECTION_HEADER, struct.pack(order + "IHHq", form.BYTE_ORDER_MAGIC, major, 0, -1))


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(order + "HH", code, len(value)) + padded(value)


def interface(order: str, linktype: int = 1, snaplen: int = 0, options: bytes = b"") -> bytes:
    return block(order, 1, struct.pack(order + "HHI", linktype, 0, snaplen) + options)


def tsresol(order: str, value: int) -> bytes:
    return option(order, form.IF_TSRESOL, bytes([value])) + option(order, form.OPTION_END, b"")


def enhanced(
    order: str, number: int, stamp: int, data: bytes, length: int | None = None, options: bytes = b""
) -> bytes:
    size = len(data) if length is None else length
    head = struct.pack(order + "IIIII", number, stamp >> 32, stamp & 0xFFFFFFFF, len(data), size)
    return block(order, 6, head + padded(data) + options)


def simple(order: str, length: int, data: bytes) -> bytes:
    return block(order, 3, struct.pack(order + "I", length) + data)


# What is wrong: the file, the fault, and where it is found.
HEAD = section("<") + interface("<")
FAULTS = {
    "empty": (b"", Fault.EMPTY, 0),
    "text": (b"hello, world, this is no capture", Fault.NOT_A_CAPTURE, 0),
    "one byte": (b"\xd4", Fault.CUT_HEADER, 0),
    "pcap version": (pcap_header("<")[:4] + b"\x03" + pcap_header("<")[5:], Fault.VERSION, 0),
    "captured": (pcap_header("<") + struct.pack("<IIII", 1, 2, (1 << 20) + 1, 60), Fault.CAPTURED, 24),
    "byte order": (section("<")[:8] + b"\1\2\3\4" + section("<")[12:], Fault.BYTE_ORDER, 0),
    "pcapng version": (section("<", major=2), Fault.VERSION, 0),
    "length": (HEAD + struct.pack("<II", 6, 33) + bytes(25), Fault.BLOCK_LENGTH, len(HEAD)),
    "length 0": (HEAD + struct.pack("<II", 6, 0) + bytes(25), Fault.BLOCK_LENGTH, len(HEAD)),
    "short section": (struct.pack("<III", form.SECTION_HEADER, 12, form.BYTE_ORDER_MAGIC), Fault.BLOCK_LENGTH, 0),
    "section without its body": (
        struct.pack("<IIII", form.SECTION_HEADER, 16, form.BYTE_ORDER_MAGIC, 16),
        Fault.BLOCK_SHORT,
        0,
    ),
    "huge block": (HEAD + struct.pack("<II", 99, (16 << 20) + 4), Fault.BLOCK_LENGTH, len(HEAD)),
    "trailer": (HEAD + block("<", 99, b"")[:-4] + b"\x10\0\0\0", Fault.BLOCK_TRAILER, len(HEAD)),
    "short block": (HEAD + block("<", 6, bytes(16)), Fault.BLOCK_SHORT, len(HEAD)),
    "captured beyond the block": (
        HEAD + block("<", 6, struct.pack("<IIIII", 0, 0, 0, 5, 5) + b"four"),
        Fault.BLOCK_SHORT,
        len(HEAD),
    ),
    "captured garbage": (HEAD + block("<", 6, struct.pack("<IIIII", 0, 0, 0, 1 << 31, 5)), Fault.CAPTURED, len(HEAD)),
    "no such interface": (HEAD + enhanced("<", 1, 0, b""), Fault.INTERFACE, len(HEAD)),
    "no interface": (section("<") + simple("<", 0, b""), Fault.INTERFACE, 28),
    "interfaces end with their section": (HEAD + section("<") + enhanced("<", 0, 0, b""), Fault.INTERFACE, 76),
    "long option": (section("<") + interface("<", options=struct.pack("<HH", 2, 5)), Fault.OPTIONS, 28),
    "odd resolution": (section("<") + interface("<", options=option("<", 9, b"\x06\x06")), Fault.OPTIONS, 28),
    "odd offset": (section("<") + interface("<", options=option("<", 14, b"\x06")), Fault.OPTIONS, 28),
}


# Sound files in pieces; every piece but the first ends with one more packet.
PIECES = {
    "pcap": [pcap_header("<"), record("<", 1, 2, b"first"), record("<", 3, 4, b""), record("<", 5, 6, b"the last")],
    "pcapng": [
        section(">") + interface(">"),
        enhanced(">", 0, 1, b"first"),
        block(">", 99, b"unknown") + simple(">", 4, b"next"),
        enhanced(">", 0, 3, b"the last", options=option(">", 1, b"comment")),
    ],
}
