"""`heavy_hitters_kernel.py` in plain Python, over the same memory: after the same packets it holds the same bytes, but
for the levels, which only spare work."""

from __future__ import annotations

from collections.abc import Sequence

from burstline.packet.flow_key import SECRET_1, SECRET_2, WORD, mix
from burstline.state.heavy_head import CHUNK, ENTRY, MOST_ADDED, MOST_COUNT, MOST_TIME, MOST_TOTAL, WAYS, Sketch
from burstline.state.key_hash import signed

LOW = 0xFFFFFFFF


class PlainSketch:
    """Adds to a sketch."""

    def __init__(self, sketch: Sketch) -> None:
        self.sketch = sketch
        words = {name: sketch.region.numpy("u4", sketch.flows, sketch.at[name]).data for name in ("counts", "before")}
        self._tags = sketch.region.numpy("u4", sketch.flows, sketch.at["tags"]).data
        self._by_address = {sketch.address + sketch.at[name]: words[name] for name in words}

    def add_many(self, hashes: Sequence[int], keys: Sequence[bytes], amounts: Sequence[int], time: int) -> None:
        """What each packet's flow is given, at a time."""
        time = min(time, MOST_TIME)
        for at in range(0, len(hashes), CHUNK):
            chunk = slice(at, at + CHUNK)
            self._add_chunk(hashes[chunk], keys[chunk], amounts[chunk], time)

    def count(self, hash: int) -> int:
        """What a flow has in this window, or 0 if it has no place."""
        slot = self._slot(hash)
        return 0 if slot is None else self._by_address[self.sketch.get("counts")][slot]

    def _add_chunk(self, hashes: Sequence[int], keys: Sequence[bytes], amounts: Sequence[int], time: int) -> None:
        head = self.sketch
        if time >= head.get("end"):
            self._turn(time)
        head.set("time", time)
        if head.get("total") > MOST_TOTAL:
            return
        amounts = [min(max(n, 0), MOST_ADDED) for n in amounts]
        head.set("total", head.get("total") + sum(amounts))
        counts, missed = self._by_address[head.get("counts")], []
        for i, (hash, n) in enumerate(zip(hashes, amounts, strict=True)):
            slot = self._slot(hash)
            if slot is None:
                missed.append(i)
                continue
            was, now = counts[slot], counts[slot] + n
            counts[slot] = now
            again = head.get("doubled") != head.get("listed_before") and was ^ now > was
            if now >= head.get("least") and (was < head.get("least") or again):
                self._list(hash, keys[i])
        for i in missed:
            chance = head.get("chance") + SECRET_1 & WORD
            head.set("chance", signed(chance))
            if self._slot(hashes[i]) is None:
                more = sum(n for other, n in zip(hashes[i + 1 :], amounts[i + 1 :], strict=True) if other == hashes[i])
                self._admit(mix(chance, chance ^ SECRET_2 & WORD) >> 32, hashes[i], amounts[i], more, keys[i])

    def _places(self, hash: int) -> range:
        first = (hash & WORD) >> self.sketch.get("shift")
        return range(first * WAYS, first * WAYS + WAYS)

    def _slot(self, hash: int) -> int | None:
        return next((k for k in self._places(hash) if self._tags[k] == hash & LOW), None)

    def _admit(self, drawn: int, hash: int, n: int, more: int, key: bytes) -> None:
        head = self.sketch
        counts, before = (self._by_address[head.get(name)] for name in ("counts", "before"))
        least, slot = min((counts[k] + before[k], k) for k in self._places(hash))
        if least * drawn >= n * ((1 << 32) - drawn):
            return
        self._tags[slot], before[slot], counts[slot] = hash & LOW, 0, min(least + n + more, MOST_COUNT)
        if counts[slot] >= head.get("least"):
            self._list(hash, key)

    def _turn(self, time: int) -> None:
        head = self.sketch
        at, old = head.get("counts"), head.get("before")
        counts, before = self._by_address[at], self._by_address[old]
        before[:] = type(before)(bytes(before.nbytes)).cast("I")
        passed = (time - head.get("end")) // head.get("window")
        if passed > 0:
            counts[:] = before
            head.set("least", 1)
        elif head.get("listed") - head.get("listed_before") < head.get("target") >> 1:
            head.set("least", max(1, head.get("least") >> 1))
        head.set("counts", old)
        head.set("before", at)
        head.set("end", head.get("end") + (passed + 1) * head.get("window"))
        head.set("total", 0)
        head.set("listed_before", head.get("listed"))
        head.set("doubled", head.get("listed"))
        head.set("turns", head.get("turns") + 1)

    def _list(self, hash: int, key: bytes) -> None:
        head = self.sketch
        listed = head.get("listed")
        place = head.at["ring"] + ENTRY * (listed & head.get("ring_mask"))
        head.region.write(place, (hash & WORD).to_bytes(8, "little") + key)
        head.set("listed", listed + 1)
        if listed + 1 - head.get("doubled") >= head.get("target"):
            head.set("least", head.get("least") * 2)
            head.set("doubled", listed + 1)
