"""The sum of a payload whose headers go: a good checksum says what all of it adds up to, and the headers are here.

Who cuts the merged packet again (`gso/restore_kernel.py`) need not read the payload then. Sums are of words as they lie
in memory (RFC 1071 section 2.B).
"""

from __future__ import annotations

from typing import Any

from burstline.native.memory import load16, load32, load64, store16, store64, swap16
from burstline.native.struct_type import struct_address
from burstline.offload.checksums.sum_kernel import folded, halves
from burstline.offload.gro.forms import Form
from burstline.offload.gro.gro import IMAGE, Held
from burstline.offload.gro.transport_kernel import TCP, UDP
from burstline.offload.mbuf import HASH, OL_FLAGS, RX_L4_CKSUM_GOOD, RX_L4_CKSUM_NONE


def keep_payload_sum(flag: int, held: Held, form: Form, mbuf: int, data: Any, header: int, payload: int) -> None:
    """In the place of the hash, of which nobody asks behind the first mbuf; `flag` says that it is there. A packet that
    is partial has no such sum."""
    flags = load64(mbuf + OL_FLAGS)
    if held.count == 1:
        held.common = common_sum(struct_address(held) + IMAGE, form, header)
    if flags & RX_L4_CKSUM_NONE == RX_L4_CKSUM_GOOD:
        total = held.common + own_sum(data, form) + swap16(payload + header - form.l4)
        store16(mbuf + HASH, swap16(0xFFFF - folded(total)))  # with the payload it is all ones
        store64(mbuf + OL_FLAGS, flags | flag)


def common_sum(headers: Any, form: Form, size: int) -> int:
    """Of the transport header and the pseudo header, without what differs from packet to packet: less than 2**32."""
    total = swap16(TCP if form.sequence else UDP) - own_sum(headers, form)
    if form.ident:
        total += halves(load64(headers + form.l3 + 12))
    else:
        for at in range(form.l3 + 8, form.l3 + 40, 8):
            total += halves(load64(headers + at))
    for at in range(form.l4, size, 4):
        total += load32(headers + at)
    return folded(total)


def own_sum(headers: Any, form: Form) -> int:
    """Of the sequence number, the flags and the checksum, or of the length and the checksum."""
    if form.sequence:
        return load32(headers + form.l4 + 4) + load16(headers + form.l4 + 12) + load16(headers + form.l4 + 16)
    return load32(headers + form.l4 + 4)
