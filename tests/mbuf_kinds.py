"""mbufs of every kind, made by writing their fields: what tests need and nothing offers."""

from __future__ import annotations

import ctypes
import itertools
from typing import Any

from burstline.dpdk.binding import native
from burstline.dpdk.pool import Pool
from burstline.offload import mbuf as m

FREE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
WIDTHS: dict[int, Any] = {1: ctypes.c_uint8, 2: ctypes.c_uint16, 4: ctypes.c_uint32, 8: ctypes.c_uint64}


def get(mbuf: int, field: int, width: int) -> int:
    return int(WIDTHS[width].from_address(mbuf + field).value)


def put(mbuf: int, field: int, width: int, value: int) -> None:
    WIDTHS[width].from_address(mbuf + field).value = value


class SharedInfo(ctypes.Structure):
    """rte_mbuf_ext_shared_info."""

    _fields_ = [("free", FREE), ("argument", ctypes.c_void_p), ("refcnt", ctypes.c_uint16)]


class External:
    """Memory that is no mbuf's, as a driver or an application brings it."""

    def __init__(self, data: bytes) -> None:
        self.freed = 0
        self.memory = ctypes.create_string_buffer(bytes(64) + data, 64 + max(len(data), 1))
        self.callback = FREE(self._free)
        self.info = SharedInfo(self.callback, None, 1)

    def _free(self, address: int, argument: int) -> None:
        self.freed += 1

    def mbuf(self, pool: Pool, size: int) -> int:
        """As rte_pktmbuf_attach_extbuf makes it."""
        made = pool.new(b"")
        put(made, m.BUF_ADDR, 8, ctypes.addressof(self.memory))
        put(made, m.BUF_ADDR + 8, 8, 0x1000)  # buf_iova, which nobody looks at
        put(made, m.BUF_LEN, 2, min(65535, 64 + size))
        put(made, m.SHINFO, 8, ctypes.addressof(self.info))
        put(made, m.DATA_OFF, 2, 64)
        put(made, m.OL_FLAGS, 8, m.EXTERNAL)
        set_size(made, size)
        return made


def indirect(pool: Pool, owner: int) -> int:
    """An mbuf that shares the data of another, whose only reference it has from now on."""
    made = pool.new(b"")
    for field, width in ((m.BUF_ADDR, 8), (m.BUF_ADDR + 8, 8), (m.BUF_LEN, 2), (m.DATA_OFF, 2), (m.PRIV_SIZE, 2)):
        put(made, field, width, get(owner, field, width))
    put(made, m.OL_FLAGS, 8, m.INDIRECT)
    set_size(made, get(owner, m.DATA_LEN, 2))
    return made


def set_size(mbuf: int, size: int) -> None:
    put(mbuf, m.DATA_LEN, 2, size)
    put(mbuf, m.PKT_LEN, 4, size)


def chain(mbufs: list[int]) -> int:
    """The first of them, with the others behind it."""
    for one, following in itertools.pairwise(mbufs):
        put(one, m.NEXT, 8, following)
    put(mbufs[0], m.NB_SEGS, 2, len(mbufs))
    put(mbufs[0], m.PKT_LEN, 4, sum(get(one, m.DATA_LEN, 2) for one in mbufs))
    return mbufs[0]


def parts(mbuf: int) -> list[int]:
    found = []
    while mbuf:
        found.append(mbuf)
        mbuf = get(mbuf, m.NEXT, 8)
    return found


def all_fields(mbuf: int) -> list[bytes]:
    return [ctypes.string_at(part, m.SIZE) for part in parts(mbuf)]


def hold(mbuf: int) -> None:
    """One reference more to each of its mbufs, as if somebody else sent it, too."""
    for part in parts(mbuf):
        put(part, m.REFCNT, 2, get(part, m.REFCNT, 2) + 1)


def free(mbufs: list[int]) -> None:
    native.free(mbufs)
