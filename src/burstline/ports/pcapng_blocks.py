"""Blocks of pcapng that are no packets: what a file and its interfaces are, and what became of packets there.

draft-ietf-opsawg-pcapng ("NG" by the section's name); little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from burstline.ports import capture_format as form

NANOSECONDS = 9  # if_tsresol
INTERFACE_STATISTICS = 5
# NG "Section Header Block", "Interface Description Block", "Interface Statistics Block": codes of options.
SHB_USERAPPL = 4
IF_NAME, IF_FILTER = 2, 11
ISB_STARTTIME, ISB_ENDTIME, ISB_IFRECV, ISB_IFDROP, ISB_FILTERACCEPT, ISB_OSDROP, ISB_USRDELIV = range(2, 9)


@dataclass(frozen=True)
class InterfaceCounts:
    """Packets of an interface: received, of those dropped for want of room in its queue or of buffers, for which the
    writer had no room, and in the file."""

    received: int = 0
    missed: int = 0
    lost: int = 0
    written: int = 0


def section_header(application: str = "") -> bytes:
    """NG "Section Header Block" of a length that is not told."""
    body = struct.pack("<IHHq", form.BYTE_ORDER_MAGIC, *form.PCAPNG_VERSION, -1)
    return block(form.SECTION_HEADER, body + (options((SHB_USERAPPL, application.encode())) if application else b""))


def interface_description(linktype: int, *, name: str = "", snaplen: int = 0, filter: str = "") -> bytes:
    """NG "Interface Description Block" with timestamps in nanoseconds; `snaplen` 0 for packets of any size."""
    found = [(IF_NAME, name.encode())] if name else []
    found += [(form.IF_TSRESOL, bytes((NANOSECONDS,)))]
    found += [(IF_FILTER, b"\0" + filter.encode())] if filter else []  # 0: a string of libpcap
    return block(form.INTERFACE_DESCRIPTION, struct.pack("<HHI", linktype, 0, snaplen) + options(*found))


def interface_statistics(number: int, begin: int, end: int, counts: InterfaceCounts) -> bytes:
    """NG "Interface Statistics Block" of the time from `begin` to `end`, in nanoseconds since the epoch. Accepted by
    the filter is what was delivered and what was then lost."""
    values = {
        ISB_STARTTIME: _time(begin),
        ISB_ENDTIME: _time(end),
        ISB_IFRECV: counts.received + counts.missed,
        ISB_IFDROP: counts.missed,
        ISB_FILTERACCEPT: counts.written + counts.lost,
        ISB_OSDROP: counts.lost,
        ISB_USRDELIV: counts.written,
    }
    told = options(*((code, struct.pack("<Q", value)) for code, value in values.items()))
    return block(INTERFACE_STATISTICS, struct.pack("<I", number) + struct.pack("<Q", _time(end)) + told)


def _time(stamp: int) -> int:
    """The upper half of a timestamp comes first, in any byte order."""
    return (stamp >> 32 & 0xFFFF_FFFF) | (stamp & 0xFFFF_FFFF) << 32


def options(*found: tuple[int, bytes]) -> bytes:
    """NG "Options", with their end."""
    each = (struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4) for code, value in found)
    return b"".join(each) + struct.pack("<HH", form.OPTION_END, 0)


def block(kind: int, body: bytes) -> bytes:
    """NG "General Block Structure"; the body is padded."""
    body += bytes(-len(body) % 4)
    length = struct.pack("<I", len(body) + form.BLOCK_MIN)
    return struct.pack("<I", kind) + length + body + length
