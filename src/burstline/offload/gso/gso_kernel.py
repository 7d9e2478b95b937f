"""Segmentation of one packet; to be compiled, and linked with DPDK's symbols."""

from __future__ import annotations

from typing import Any

from burstline.native.struct_type import reference
from burstline.offload.gso.copy_kernel import copy_all
from burstline.offload.gso.gso import Cut
from burstline.offload.gso.headers_kernel import read_headers
from burstline.offload.gso.restore_kernel import can_restore, restore
from burstline.offload.gso.share_kernel import share
from burstline.offload.gso.template_kernel import make_template

cut_at = reference(Cut)


def segment(state: Any, mbuf: int, out: int, room: int) -> int:
    """Cut the packet, write the addresses of its segments to `out`, which has room for so many, and return their
    number. The packet is theirs or was given back then. Or return 0 and leave it as it is, and count why."""
    cut = cut_at(state.work)
    if not read_headers(state, cut, mbuf):
        state.refused += 1
        return 0
    if cut.segments > room:
        state.no_room += 1
        return 0
    make_template(state, cut, mbuf)
    if can_restore(cut, mbuf, out):
        restore(state, cut, out)
    elif not (share(state, cut, mbuf, out) if state.multi_segment else copy_all(state, cut, mbuf, out)):
        return 0
    state.packets += 1
    state.segments += cut.segments
    state.bytes += cut.payload + cut.segments * cut.size
    state.lowered += cut.lowered
    return cut.segments
