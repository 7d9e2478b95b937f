"""What mbufs say of packets, for the interpreter: as compiled code has it (offload/segments_kernel.py)."""

from __future__ import annotations

import ctypes

from burstline.offload import mbuf as m
from burstline.offload.headers import find_headers
from burstline.packet.packet import AS_IT_IS, Came


def read_marks(mbuf: int, data: bytes | bytearray, length: int) -> Came:
    """Of a packet of `length` bytes, which begins with `data`."""
    from burstline.dpdk.binding import native

    marks = native.mbuf_marks(mbuf)
    flags = marks["ol_flags"]
    l4, ip = flags & m.RX_L4_CKSUM_NONE, flags & m.RX_IP_CKSUM_NONE
    size = marks["tx_offload"] >> m.SEGSZ_SHIFT & m.SEGSZ_MASK if flags & m.RX_LRO else 0
    partial = l4 == m.RX_L4_CKSUM_NONE
    mark = ctypes.c_uint32.from_address(mbuf + m.MARK).value if flags & m.RX_FDIR_ID else 0
    if not size and not l4:
        return AS_IT_IS._replace(mark=mark)
    segments = -(-(length - find_headers(data, len(data))[5]) // size) if size else 1
    right = partial or (bool(l4 & m.RX_L4_CKSUM_GOOD) and ip != m.RX_IP_CKSUM_BAD)
    return Came(segments, size, right, partial, mark)


def write_marks(mbuf: int, segment_size: int, partial: bool) -> None:
    """How a packet is to be cut, and whether its transport's checksum is left out."""
    from burstline.dpdk.binding import native

    marks = native.mbuf_marks(mbuf)
    offload = marks["tx_offload"] & ~(m.SEGSZ_MASK << m.SEGSZ_SHIFT) | segment_size << m.SEGSZ_SHIFT
    flags = marks["ol_flags"] & ~m.RX_LRO
    flags |= m.RX_LRO | m.RX_L4_CKSUM_NONE if segment_size else m.RX_L4_CKSUM_NONE if partial else 0
    native.mbuf_mark(mbuf, flags, offload, marks["packet_type"], marks["vlan_tci"])
