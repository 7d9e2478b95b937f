"""What time a port's stamps mean: a line through readings of its clock and of the system's."""

from __future__ import annotations

import ctypes
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.offload.mbuf import OL_FLAGS
from burstline.state.region import Block, Region

BEFORE = 60 * 10**9  # ns: how much older than the newest reading a stamp may be, or newer
READINGS = 64  # that the clock's rate is worked out from: those of the last minute, when there is one a second
TRIES = 5  # to read both clocks close to each other
FIRST_GAP = 0.01  # seconds between the first two readings


class Stamps(Struct):
    """Not written any more once a worker may read it."""

    flag: i64  # of ol_flags: the port has stamped the packet
    place: i64  # of the stamp, in bytes from the beginning of the mbuf
    base: i64  # a stamp,
    time: i64  # its time in nanoseconds since the epoch,
    scale: i64  # and nanoseconds in 2**32 counts
    most: i64  # counts after `base` that a stamp may be


class Reading(NamedTuple):
    counter: int
    ns: int


class StampLine:
    """The Stamps of a port, made anew with each reading of its clock; the address of the valid one is at `address`.

    `read` gives the clock's count now; None: stamps are microseconds of the epoch. `place` and `flag` are as DPDK has
    them.
    """

    def __init__(
        self,
        place: int,
        flag: int,
        read: Callable[[], int] | None,
        now: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._read, self._now, self._place, self._flag = read, now, place, flag
        # A worker reads the address at each burst; the block that it has then is written to at the next but one.
        self._blocks, self._turn, self._cell = (Block(Stamps.layout), Block(Stamps.layout)), 0, Region(64)
        self._readings: deque[Reading] = deque(maxlen=READINGS)
        if read is None:
            self._show(base=0, ns=0, scale=1000 << 32, most=1 << 62)
        else:
            self._readings.append(self._reading(read))
            sleep(FIRST_GAP)
            self.follow()

    @property
    def address(self) -> int:
        return self._cell.address

    def follow(self) -> None:
        """Read the clock again: it does not run as the system's does."""
        if self._read is None:
            return
        self._readings.append(self._reading(self._read))
        first, last = self._readings[0], self._readings[-1]
        if last.counter <= first.counter or last.ns <= first.ns:  # one of them was set
            self._readings.clear()
            self._readings.append(last)
            return
        scale = ((last.ns - first.ns) << 32) // (last.counter - first.counter)
        back = (BEFORE << 32) // scale
        self._show(base=last.counter - back, ns=last.ns - BEFORE, scale=scale, most=2 * back)

    def time_of(self, mbuf: int) -> int:
        """For the interpreter: as stamp_kernel.stamped."""
        of = self._blocks[self._turn]
        if not ctypes.c_int64.from_address(mbuf + OL_FLAGS).value & of.get("flag"):
            return 0
        count = ctypes.c_int64.from_address(mbuf + of.get("place")).value - of.get("base")
        return of.get("time") + (count * of.get("scale") >> 32) if 0 <= count <= of.get("most") else 0

    def _reading(self, read: Callable[[], int]) -> Reading:
        best, width = Reading(0, 0), 1 << 62
        for _ in range(TRIES):
            before = self._now()
            count = read()
            after = self._now()
            if after - before < width:
                best, width = Reading(count, (before + after) // 2), after - before
        return best

    def _show(self, base: int, ns: int, scale: int, most: int) -> None:
        self._turn = 1 - self._turn
        block = self._blocks[self._turn]
        block.set(flag=self._flag, place=self._place, base=base, time=ns, scale=scale, most=most)
        self._cell.set_i64(0, block.address)
