"""The numbers of the pcap and pcapng formats, and what can be wrong with a capture file: for all readers and writers.

pcap: draft-ietf-opsawg-pcap. pcapng: draft-ietf-opsawg-pcapng ("NG" below, by the section's name). Link types:
www.tcpdump.org/linktypes.html. All numbers are as they read in the byte order of the file's writer.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from burstline.errors import BurstlineError

# pcap, "General File Structure": the magic tells the byte order and the unit of the fraction of a second.
PCAP_MAGIC_US = 0xA1B2C3D4
PCAP_MAGIC_NS = 0xA1B23C4D
PCAP_HEADER = 24  # magic u32, major u16, minor u16, reserved u32 x 2, snaplen u32, link type u32
PCAP_RECORD = 16  # seconds u32, fraction u32, captured u32, length u32
PCAP_VERSION = (2, 4)
PCAP_LINKTYPE_MASK = 0xFFFF  # the bits above tell of a frame check sequence

# NG "General Block Structure": type u32, total length u32, body padded to 4 bytes, total length u32 again.
BLOCK_MIN = 12
BLOCK_MAX = 16 << 20  # of any type; libpcap draws the line at the same place
SECTION_HEADER = 0x0A0D0D0A  # a palindrome: the same in both byte orders
INTERFACE_DESCRIPTION = 1
OBSOLETE_PACKET = 2  # NG "Packet Block (obsolete!)"
SIMPLE_PACKET = 3
ENHANCED_PACKET = 6

# Sizes of the fixed parts of bodies: what lies between the first total length and the options or the packet.
SECTION_BODY = 16  # byte-order magic u32, major u16, minor u16, section length i64
INTERFACE_BODY = 8  # link type u16, reserved u16, snaplen u32
OBSOLETE_BODY = 20  # interface u16, drops u16, ticks u32 (high), u32 (low), captured u32, length u32
SIMPLE_BODY = 4  # length u32
ENHANCED_BODY = 20  # interface u32, ticks u32 (high), u32 (low), captured u32, length u32
BYTE_ORDER_MAGIC = 0x1A2B3C4D
PCAPNG_VERSION = (1, 0)

# NG "Options": code u16, length u16, value padded to 4 bytes.
OPTION_END = 0
IF_TSRESOL = 9
IF_TSOFFSET = 14
DEFAULT_TSRESOL = 6  # microseconds, where an interface has no if_tsresol

# A packet that claims more bytes than this is garbage. Offloads hand over up to 512 KiB (Linux "BIG TCP").
MAX_CAPTURED = 1 << 20

# What a compressed file starts with: RFC 1952 section 2.3.1, RFC 8878 sections 3.1.1 and 3.1.2 (skippable frames:
# pzstd starts its files with one).
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_SKIPPABLE = tuple(bytes((0x50 + k, 0x2A, 0x4D, 0x18)) for k in range(16))

LINKTYPE_NULL = 0  # BSD loopback: the address family, u32 in the byte order of the machine that captured
LINKTYPE_ETHERNET = 1
LINKTYPE_RAW = 101  # bare IPv4 or IPv6
LINKTYPE_RAW_BSD = 12  # DLT_RAW's value on most systems, and
LINKTYPE_RAW_OPENBSD = 14  # on OpenBSD: some writers put these into files instead of 101
LINKTYPE_LOOP = 108  # OpenBSD loopback: the address family, u32 big-endian
LINKTYPE_LINUX_SLL = 113  # Linux "cooked" capture: the `any` device
LINKTYPE_IPV4 = 228
LINKTYPE_IPV6 = 229
LINKTYPE_LINUX_SLL2 = 276


class Resolution(NamedTuple):
    """The unit of an interface's timestamps: `ticks` a second, and `offset`, seconds to add."""

    ticks: int = 1_000_000
    offset: int = 0

    def nanoseconds(self, stamp: int) -> int:
        """Nanoseconds since the epoch, rounded down; as int64, so what lies beyond the year 2262 wraps."""
        exact = stamp * 1_000_000_000 // self.ticks + self.offset * 1_000_000_000
        return ((exact + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)


def ticks_a_second(tsresol: int) -> int:
    """What the byte of if_tsresol means: a negative power of 10, or of 2 when the top bit is set."""
    power = tsresol & 0x7F
    return 1 << power if tsresol & 0x80 else int(10**power)


class Fault(IntEnum):
    """What is wrong with a capture file, at the offset where the record or block with the fault starts; 0: nothing."""

    EMPTY = 1
    NOT_A_CAPTURE = 2  # value: the first four bytes, big-endian
    CUT_HEADER = 3
    CUT_RECORD = 4
    CAPTURED = 5  # value: the captured length
    BLOCK_LENGTH = 6  # value: the block's total length
    BLOCK_TRAILER = 7  # value: the total length at the block's end
    BLOCK_SHORT = 8  # value: the block's total length
    BYTE_ORDER = 9  # value: the byte-order magic, big-endian
    VERSION = 10  # value: the major version
    INTERFACE = 11  # value: the interface's number
    OPTIONS = 12
    COMPRESSED = 13  # `detail` says what the decompressor found; the offset counts decompressed bytes


_WHAT = {
    Fault.EMPTY: "is empty",
    Fault.NOT_A_CAPTURE: "is neither pcap nor pcapng: it starts with 0x{value:08x}",
    Fault.CUT_HEADER: "ends inside the file's header",
    Fault.CUT_RECORD: "ends inside a record",
    Fault.CAPTURED: "has a packet of {value} captured bytes, more than the 1 MiB that any capture holds",
    Fault.BLOCK_LENGTH: "has a pcapng block of {value} bytes, which is not a multiple of 4 between 12 and 16 MiB",
    Fault.BLOCK_TRAILER: "has a pcapng block whose length at its end is another than at its start: {value}",
    Fault.BLOCK_SHORT: "has a pcapng block of {value} bytes that does not hold what it should",
    Fault.BYTE_ORDER: "has a pcapng section with an unknown byte-order magic: 0x{value:08x}",
    Fault.VERSION: "is written in an unknown major version of its format: {value}",
    Fault.INTERFACE: "has a packet of an interface that the section does not describe: {value}",
    Fault.OPTIONS: "has an interface description with broken options",
    Fault.COMPRESSED: "cannot be decompressed: {detail}",
}
_FORMATS = "captures are pcap or pcapng, plain or compressed by gzip or zstd; `editcap IN out.pcapng` converts others"
_HINT = {
    Fault.EMPTY: "a capture without packets still has a header; was it written to its end?",
    Fault.NOT_A_CAPTURE: _FORMATS,
    Fault.VERSION: _FORMATS,
    Fault.CUT_HEADER: "the file was not written to its end",
    Fault.CUT_RECORD: "the packets before it were read; the capture was not written to its end",
    Fault.COMPRESSED: "the packets before it were read; was the file copied to its end?",
}
_GARBAGE = "the packets before it were read; what follows is damaged or not a capture"


class CaptureError(BurstlineError):
    """A capture file that ends early or holds garbage; `offset` is where in the (decompressed) file, in bytes."""

    def __init__(self, name: str, offset: int, fault: Fault, value: int = 0, detail: str = "") -> None:
        what = _WHAT[fault].format(value=value, detail=detail)
        at = "" if fault is Fault.EMPTY else f", at byte {offset}"
        super().__init__(f"{name} {what}{at}", _HINT.get(fault, _GARBAGE))
        self.offset = offset
        self.fault = fault
