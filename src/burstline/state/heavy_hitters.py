"""Which flows are the heaviest now, of very many, in memory that stays in the caches.

Each flow that is counted has a place in one of many sets of sixteen, and is counted exactly there: the tags of a set
are compared at once. A new flow is admitted in place of the one with least of its set, by chance, so that flows that
send little do no harm: Ben Basat, Einziger, Friedman, Kassner, "Randomized admission policy for efficient top-k and
frequency estimation", INFOCOM 2017. (Space-Saving, Metwally, Agrawal, El Abbadi, ICDT 2005, lets all in; HeavyKeeper,
Gong and others, ATC 2018, lets counts decay; Elastic Sketch, Yang and others, SIGCOMM 2018, keeps those that lost in a
second sketch; NitroSketch, Liu and others, SIGCOMM 2019, counts few packets.) Counts are of windows of time, of which
the last two are kept: what a flow had in both guards its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from burstline.errors import UsageError
from burstline.packet.flow_key import flow_hash, tuple_of
from burstline.packet.packet import Packet, key_of
from burstline.state.base import State
from burstline.state.heavy_head import Sketch, places
from burstline.state.heavy_plain import PlainSketch
from burstline.state.heavy_read import Reader

SECOND = 1_000_000_000
LEAST_FLOWS, MOST_FLOWS = 256, 1 << 20
SHARE = 32  # of the flows that are counted, one in so many can be asked for
LISTED = 5  # times as many listings as flows asked for, at least, raise the count that lists a flow
SHORTEST, LONGEST = 0.0001, 0.05  # seconds of a window; a core can add 2**30 bytes in a longer one


class Elephant(NamedTuple):
    """A heavy flow. Addresses are texts; without IP they are None, and the source port is the EtherType."""

    src: str | None
    dst: str | None
    sport: int
    dport: int
    proto: int
    amount: float  # what was added for it in the last window's time: packets, or bytes
    rate: float  # the same, per second
    key: bytes  # the flow key (`packet/flow_key.py`)
    hash: int  # of the key, without a sign


class HeavyHitters(State):
    """`elephants = HeavyHitters()`; in a stage `elephants.add(pkt)` counts packets, `elephants.add(pkt, pkt.length)`
    bytes, or other numbers from 0 to 1,048,575 (more counts as that); it gives what the flow has in this window. In
    Python `elephants.top(n)` lists the heaviest flows over all workers, `elephants.new()` those that became heavy since
    it was called last.

    `top` is how many heaviest flows are to be found; `window` the time in seconds, 0.0001 to 0.05, that rates are of;
    `flows` how many are counted at once, a power of two. A flow is one direction of a 5-tuple. The clock is that of the
    packets; each worker has a sketch, of 154 kB with these defaults. Raises UsageError.
    """

    def __init__(self, top: int = 100, *, window: float = 0.01, flows: int = 8192) -> None:
        if type(flows) is not int or not LEAST_FLOWS <= flows <= MOST_FLOWS or flows & (flows - 1):
            hint = f"give a power of two, {LEAST_FLOWS} to {MOST_FLOWS:,}"
            raise UsageError(f"flows is {flows!r}: so many flows cannot be counted at once", hint)
        if type(top) is not int or not 1 <= top <= flows // SHARE:
            hint = f"give 1 to {flows // SHARE:,} with flows={flows:,}, or more flows"
            raise UsageError(f"top is {top!r}: so many flows cannot be found", hint)
        if not isinstance(window, (int, float)) or not SHORTEST <= window <= LONGEST:
            raise UsageError(f"window is {window!r}", f"give seconds, {SHORTEST} to {LONGEST}")
        self.most, self.flows, self.window = top, flows, round(window * SECOND)
        self.ring = 2 << (LISTED * top - 1).bit_length()
        self._readers: list[Reader] = []
        self._own: tuple[PlainSketch, Reader] | None = None

    def _sketch(self) -> Sketch:
        return Sketch(self.flows, self.ring, self.window)

    def add(self, pkt: Packet, n: int = 1) -> int:
        """Add n for the packet's flow; returns what it was given since the window began, as far as this worker knows:
        0 while it is not among those that are counted."""
        if self._own is None:
            sketch = self._sketch()
            self._own = PlainSketch(sketch), Reader(sketch)
        key = key_of(pkt)
        hash = flow_hash(key)
        self._own[0].add_many([hash], [key], [n], pkt.time)
        return self._own[0].count(hash)

    def readers(self) -> Iterator[Reader]:
        """Of all workers; the interpreted one, too."""
        yield from ([self._own[1]] if self._own else [])
        yield from self._readers

    def new(self) -> list[bytes]:
        """Keys of flows that became heavy, and were not known to be; cheap enough to be asked for each millisecond."""
        return [reader.keys[hash] for reader in self.readers() for hash in reader.drain()]

    def top(self, n: int | None = None, now: int | None = None) -> list[Elephant]:
        """The n heaviest flows, or as many as the sketch is made for, the heaviest first: what each had in the time of
        one window before `now`, ns, a time of the packets' clock; without it, that of the packet that came last."""
        amounts, keys = dict[int, float](), dict[int, bytes]()
        readers = list(self.readers())
        if now is None:
            now = max((reader.sketch.get("time") for reader in readers), default=0)
        for reader in readers:
            for hash, amount in reader.amounts(now).items():
                amounts[hash] = amounts.get(hash, 0) + amount
                keys[hash] = reader.keys[hash]
        ranked = sorted(amounts, key=lambda hash: (-amounts[hash], keys[hash]))
        return [self._elephant(hash, keys[hash], amounts[hash]) for hash in ranked[: self.most if n is None else n]]

    def _elephant(self, hash: int, key: bytes, amount: float) -> Elephant:
        flow = tuple_of(key)
        src, dst = (None if address is None else str(address) for address in (flow.src, flow.dst))
        return Elephant(src, dst, flow.sport, flow.dport, flow.proto, amount, amount * SECOND / self.window, key, hash)

    def __repr__(self) -> str:
        return f"HeavyHitters(the top {self.most} of {self.flows:,} flows, by windows of {self.window / SECOND:g} s)"

    def about(self) -> str:
        return f"the top {self.most} of {self.flows:,} flows, {self.size:,} bytes"

    @property
    def size(self) -> int:
        """Bytes a worker."""
        return places(self.flows, self.ring)["end"]

    def signature(self) -> tuple[Any, ...]:
        return ()

    def attach(self) -> int:
        self._readers.append(Reader(self._sketch()))
        return self._readers[-1].sketch.address

    def addresses(self) -> list[int]:
        return [reader.sketch.address for reader in self._readers]

    def adopt(self, old: HeavyHitters) -> bool:
        if (self.most, self.flows, self.window) != (old.most, old.flows, old.window):
            return False
        self._own, self._readers = old._own, old._readers
        return True

    def reset(self) -> None:
        self._own, self._readers = None, []
