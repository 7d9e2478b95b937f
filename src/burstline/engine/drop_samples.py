"""Samples of the packets that stages drop on ports: while somebody asks for them, each worker keeps one in so many.

A worker writes to slots of its own, in turn; a slot bears its number in the order of writing, and none while it is
written (as a seqlock, Documentation/locking/seqlock.rst of Linux), so that who reads it knows whether it is whole.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.state.region import Block, Region

SLOTS, SLOT, HEAD, KEPT = 64, 256, 64, 192  # of a worker; bytes of a slot, of its head, and of the packet
WANTED = 20  # samples of a worker in a second, about
PATIENCE = 15.0  # seconds after which nobody asks any more
UNKNOWN = 1 << 20  # packets between two samples until a rate is known
EVERY = 0.5  # seconds between two looks at how many packets are dropped


class DropRing(Struct):
    """One worker's."""

    left: i64  # packets that are dropped until the next sample
    every: i64  # one in so many; the control thread sets it
    written: i64
    slots: i64  # address


@dataclass(frozen=True)
class DropSample:
    """`time` in ns since the epoch; `stands` is how many drops it is one of, about: 0 where that is not known yet."""

    worker: int
    number: int
    time: int
    reason: str
    port: int
    length: int
    stands: int
    data: bytes


class DropSamples:
    """Of the workers with these contexts. `reason` gives the name of a number in the version whose Entry has this
    address; `dropped` how many packets the workers dropped so far."""

    def __init__(
        self, contexts: Sequence[Block], reason: Callable[[int, int], str], dropped: Callable[[], int]
    ) -> None:
        self._contexts, self._reason, self._dropped = contexts, reason, dropped
        self._rings: list[tuple[Block, Region]] = []
        self._asked = self._looked = -1e9
        self._before = 0
        self._switching = threading.Lock()  # several may ask at once, and workers write to the rings
        self.is_on = False

    def read(self) -> list[DropSample]:
        """Those that are there, the newest last; from now on there are new ones, as long as somebody reads."""
        self._asked = time.monotonic()
        with self._switching:
            if not self.is_on:
                self._begin()
        found = [sample for worker in range(len(self._rings)) for sample in self._of(worker)]
        return sorted(found, key=lambda sample: sample.time)

    def step(self) -> None:
        """Now and then: as many are sampled as is meant, and none where nobody asks."""
        with self._switching:
            self._step()

    def _step(self) -> None:
        now = time.monotonic()
        if not self.is_on or now - self._looked < EVERY:
            return
        if now - self._asked > PATIENCE:
            self.is_on = False
            for context in self._contexts:
                context.set(samples=0)
            return
        dropped = self._dropped()
        grown = dropped - self._before
        rate = grown / (now - self._looked) / len(self._contexts)
        self._before, self._looked = dropped, now
        if grown < 0:  # another version of the pipeline, which counts anew
            return
        every = min(max(1, int(rate / WANTED)), UNKNOWN - 1)
        for ring, _ in self._rings:
            ring.set(every=every)
            if ring.get("left") > every:  # of a flood that is over, or before a rate was known
                ring.set(left=every)

    def _begin(self) -> None:
        if not self._rings:
            self._rings = [(Block(DropRing.layout, 128), Region(SLOTS * SLOT)) for _ in self._contexts]
            for ring, slots in self._rings:
                ring.set(left=1, every=UNKNOWN, slots=slots.address)
        self._before, self._looked, self.is_on = self._dropped(), time.monotonic(), True
        for context, (ring, _) in zip(self._contexts, self._rings, strict=True):
            context.set(samples=ring.address)

    def _of(self, worker: int) -> Iterator[DropSample]:
        slots = self._rings[worker][1]
        for k in range(SLOTS):
            number = slots.i64(k * SLOT)
            copy = slots.read(k * SLOT, SLOT)
            if number == 0 or slots.i64(k * SLOT) != number:
                continue
            _, ns, reason, entry, port, length, kept, stands = struct.unpack_from("=8q", copy)
            name = self._reason(entry, reason)
            known = stands if stands < UNKNOWN else 0
            yield DropSample(worker, number, ns, name, port, length, known, copy[HEAD : HEAD + kept])
