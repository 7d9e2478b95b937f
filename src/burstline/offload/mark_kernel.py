"""The mark in an mbuf: a rule of the port wrote it, or the software director did (rte_flow's action MARK)."""

from __future__ import annotations

from burstline.native.memory import load32, load64, store32, store64
from burstline.offload.mbuf import MARK, OL_FLAGS, RX_FDIR, RX_FDIR_ID


def mark_of(mbuf: int) -> int:
    """0 for none."""
    return load32(mbuf + MARK) if load64(mbuf + OL_FLAGS) & RX_FDIR_ID else 0


def put_mark(mbuf: int, mark: int) -> None:
    """Without one, no flag says that there is."""
    flags = load64(mbuf + OL_FLAGS) & ~(RX_FDIR | RX_FDIR_ID)
    if mark != 0:
        store32(mbuf + MARK, mark)
        flags |= RX_FDIR | RX_FDIR_ID
    store64(mbuf + OL_FLAGS, flags)
