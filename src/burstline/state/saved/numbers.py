"""Saving what counts: Counter, Histogram, ByteHistogram, CountMin, HyperLogLog, Meter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from burstline.state.byte_histogram import TABLES, VALUES, ByteHistogram
from burstline.state.count_min import HEAD, CountMin
from burstline.state.counter import Counter, Held
from burstline.state.histogram import COUNTS_AT, Histogram
from burstline.state.hyper_log_log import HyperLogLog
from burstline.state.meter import NEVER, Meter
from burstline.state.saved.kind import Copy, Joinable, Kind, sparse, summed, total


class Counters(Joinable[Counter]):
    def parameters(self, state: Counter) -> list[Any]:
        return []

    def save(self, state: Counter) -> list[Copy]:
        import numpy as np

        return [{"value": np.array(state.value, "i8")}]

    def join(self, state: Counter, copies: Sequence[Copy]) -> list[Copy]:
        return [{"value": total(copies, "value")}]

    def put(self, state: Counter, worker: int, copies: Sequence[Copy]) -> None:
        state.held = Held(state.held.settled + int(total(copies, "value")), state.held.places)


class Histograms(Joinable[Histogram]):
    def parameters(self, state: Histogram) -> list[Any]:
        return [state.bits]

    def save(self, state: Histogram) -> list[Copy]:
        import numpy as np

        return [
            {**sparse(r.numpy("i8", state.buckets, COUNTS_AT)), "sum": np.frombuffer(r.read(0, 16), "u1")}
            for r in state._regions
        ]

    def join(self, state: Histogram, copies: Sequence[Copy]) -> list[Copy]:
        import numpy as np

        places, counts = summed(copies)
        whole = sum(int.from_bytes(copy["sum"].tobytes(), "little", signed=True) for copy in copies)
        sums = np.frombuffer(whole.to_bytes(16, "little", signed=True), "u1")
        return [{"places": places, "counts": counts, "sum": sums}]

    def put(self, state: Histogram, worker: int, copies: Sequence[Copy]) -> None:
        region = state._regions[worker]
        before = int.from_bytes(region.read(0, 16), "little", signed=True)
        for copy in self.join(state, copies):
            region.numpy("i8", state.buckets, COUNTS_AT)[copy["places"]] += copy["counts"]
            more = int.from_bytes(copy["sum"].tobytes(), "little", signed=True)
            region.write(0, (before + more).to_bytes(16, "little", signed=True))


class ByteHistograms(Joinable[ByteHistogram]):
    def parameters(self, state: ByteHistogram) -> list[Any]:
        return []

    def save(self, state: ByteHistogram) -> list[Copy]:
        return [{"counts": r.numpy("i8", VALUES * TABLES).reshape(TABLES, VALUES).sum(axis=0)} for r in state._regions]

    def join(self, state: ByteHistogram, copies: Sequence[Copy]) -> list[Copy]:
        return [{"counts": total(copies, "counts")}]

    def put(self, state: ByteHistogram, worker: int, copies: Sequence[Copy]) -> None:
        state._regions[worker].numpy("i8", VALUES)[:] += total(copies, "counts")


class CountMins(Joinable[CountMin]):
    """The sum of sketches is the sketch of the sum; of conservative ones, no estimate is below what was added."""

    def parameters(self, state: CountMin) -> list[Any]:
        return [state.width, state.depth, state.conservative]

    def save(self, state: CountMin) -> list[Copy]:
        import numpy as np

        size = state.depth * state.width
        return [{**sparse(r.numpy("i8", size, HEAD)), "total": np.array(r.i64(8), "i8")} for r in state._regions]

    def join(self, state: CountMin, copies: Sequence[Copy]) -> list[Copy]:
        places, counts = summed(copies)
        return [{"places": places, "counts": counts, "total": total(copies, "total")}]

    def put(self, state: CountMin, worker: int, copies: Sequence[Copy]) -> None:
        region = state._regions[worker]
        for copy in self.join(state, copies):
            region.numpy("i8", state.depth * state.width, HEAD)[copy["places"]] += copy["counts"]
            region.set_i64(8, region.i64(8) + int(copy["total"]))


class HyperLogLogs(Joinable[HyperLogLog]):
    def parameters(self, state: HyperLogLog) -> list[Any]:
        return [state.precision]

    def save(self, state: HyperLogLog) -> list[Copy]:
        return [{"ranks": r.numpy("u1", 1 << state.precision).copy()} for r in state._regions]

    def join(self, state: HyperLogLog, copies: Sequence[Copy]) -> list[Copy]:
        import numpy as np

        return [{"ranks": np.max([copy["ranks"] for copy in copies], axis=0)}]

    def put(self, state: HyperLogLog, worker: int, copies: Sequence[Copy]) -> None:
        import numpy as np

        ranks = state._regions[worker].numpy("u1", 1 << state.precision)
        for copy in copies:
            np.maximum(ranks, copy["ranks"], out=ranks)


class Meters(Kind[Meter]):
    """Tokens are kept by worker; those of workers that are no more are lost, what they let pass is not."""

    FIELDS = ("level", "last", "parts", "allowed", "exceeded")

    def parameters(self, state: Meter) -> list[Any]:
        return [state.rate, state.burst, state.unit]

    def save(self, state: Meter) -> list[Copy]:
        import numpy as np

        return [{name: np.array(block.get(name), "i8") for name in self.FIELDS} for block in state._blocks]

    def put(self, state: Meter, worker: int, copies: Sequence[Copy]) -> None:
        block, first = state._blocks[worker], copies[0]
        if int(first["last"]) != NEVER:
            level = int(first["level"]) * block.get("parts") // int(first["parts"])
            block.set(level=level, last=int(first["last"]))
        block.set(
            allowed=block.get("allowed") + int(total(copies, "allowed")),
            exceeded=block.get("exceeded") + int(total(copies, "exceeded")),
        )
