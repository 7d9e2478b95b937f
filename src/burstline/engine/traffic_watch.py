"""What a worker of a live run notes of its packets for the steering controller: heavy flows, packets by bucket of the
hash, and how busy it was. It alone writes that; the controller reads it meanwhile, without a lock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.pipeline.needs import Needs
from burstline.state.heavy_hitters import LONGEST, SHORTEST, HeavyHitters
from burstline.state.region import Block, Region
from burstline.state.rule_set import RESULTS
from burstline.state.toeplitz import Toeplitz

REPORTED = 64  # heavy flows, at most
ENOUGH = 4096  # packets of a worker that are hashed from one look to the next; of more, one in so many is drawn
MOST_EVERY = 64
HASHED = ("present", "l3", "l4", "proto")  # columns that the Toeplitz hash is made from


class TrafficWatch(Struct):
    """One worker's."""

    sketch: i64  # address of its heavy-hitter sketch
    buckets: i64  # address of packets by bucket, 64 bits each
    mask: i64  # of a hash: its bucket
    trusted: i64  # 1: hashes in mbufs are those that the RETA looks at
    toeplitz: i64  # address of a ToeplitzHead
    hashes: i64  # its results
    drawn: i64  # address of a list of the packets of a burst that were drawn
    every: i64  # one packet of so many is drawn; the controller's thread sets it
    next: i64  # packets until the one that is drawn next
    rest: i64  # packets of its group from that one on, itself included
    stands: i64  # for how many packets it stands: those of its group
    chance: i64  # state of the random numbers
    busy: i64  # cycles from polls that found packets until these were seen to


def watched_needs(needs: Needs) -> Needs:
    """What a watched worker needs of packets beside what stages do."""
    return replace(needs, columns=tuple(sorted({*needs.columns, *HASHED})), keys=True)


class TrafficWatches:
    """Of all workers. `key` is that of the hash, `buckets` the size of the RETA, a power of two; `trusted` says that
    ports write the hash into mbufs. `window` are the seconds that rates of flows are of."""

    def __init__(self, workers: int, key: bytes, buckets: int, *, trusted: bool = False, window: float = 0.01) -> None:
        self.sketch = HeavyHitters(REPORTED, window=min(LONGEST, max(SHORTEST, window)))
        self._hash = Toeplitz(key)
        self._buckets = [Region(8 * buckets) for _ in range(workers)]
        self._drawn = [Region(8 + 2 * RESULTS) for _ in range(workers)]
        self.blocks = [Block(TrafficWatch.layout, 128) for _ in range(workers)]
        self._size = buckets
        self._now = self._latest = 0
        for k, block in enumerate(self.blocks):
            block.set(
                sketch=self.sketch.address(k), buckets=self._buckets[k].address, mask=buckets - 1, trusted=int(trusted),
                toeplitz=self._hash.address(k), hashes=self._hash.results(k), drawn=self._drawn[k].address,
                every=1, rest=1, stands=1, chance=k,
            )  # fmt: skip

    @property
    def size(self) -> int:
        """Buckets."""
        return self._size

    def bucket(self, data: bytes) -> int:
        """Of a packet with these addresses and ports, as they lie in it."""
        from burstline.state.toeplitz import toeplitz

        return toeplitz(self._hash.key, data) & self._size - 1

    def busy(self) -> list[int]:
        """Cycles, by worker."""
        return [block.get("busy") for block in self.blocks]

    def by_bucket(self) -> Any:
        """Packets since the start, by worker and bucket: int64, (workers, buckets). Where packets are drawn, each
        counts as the group that it was drawn of, which is right on average."""
        import numpy as np

        return np.array([region.numpy("i8", self._size) for region in self._buckets])

    def draw(self, packets: list[int]) -> None:
        """Have workers that had so many packets since the look before draw as many as are enough."""
        for block, count in zip(self.blocks, packets, strict=True):
            block.set(every=min(MOST_EVERY, max(1, count // ENOUGH)))

    def flows(self, elapsed: float) -> Iterator[tuple[bytes, list[float]]]:
        """Heavy flows, the heaviest first: key, and packets/s at each worker. `elapsed`: seconds since this was asked
        last."""
        readers = list(self.sketch.readers())
        latest = max(reader.sketch.get("time") for reader in readers)
        # Where no packet came, time goes on nevertheless, but by no other clock than theirs.
        self._now = max(self._now, latest) if latest != self._latest else self._now + round(elapsed * 1e9)
        self._latest = latest
        found: dict[bytes, list[float]] = {}
        scale = 1e9 / self.sketch.window
        for k, reader in enumerate(readers):
            for hash, amount in reader.amounts(self._now).items():
                rates = found.setdefault(reader.keys[hash], [0.0] * len(readers))
                rates[k] += amount * scale
        yield from sorted(found.items(), key=lambda one: (-sum(one[1]), one[0]))[:REPORTED]
