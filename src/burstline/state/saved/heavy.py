"""Saving HeavyHitters: a worker's sketch as its memory, without the addresses in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from burstline.packet.flow_key import KEY_SIZE
from burstline.state.heavy_head import HeavyHead
from burstline.state.heavy_hitters import HeavyHitters
from burstline.state.heavy_read import Reader
from burstline.state.saved.kind import Copy, Joinable

PLACES = ("tags", "counts", "before", "levels", "ring")  # fields that are addresses


class HeavySketches(Joinable[HeavyHitters]):
    """What is heavy is so in the last two windows: of several captures, those count whose windows lie at the end."""

    def parameters(self, state: HeavyHitters) -> list[Any]:
        return [state.most, state.flows, state.window]

    def save(self, state: HeavyHitters) -> Sequence[Copy]:
        import numpy as np

        found = []
        for reader in state._readers:
            reader.drain()
            hashes = np.array(list(reader.keys), "u8")
            keys = np.frombuffer(b"".join(reader.keys.values()), "u1").reshape(-1, KEY_SIZE)
            sketch = reader.sketch
            turned = sketch.get("counts") != sketch.address + sketch.at["counts"]
            memory = sketch.region.numpy("u1", sketch.region.size).copy()
            found.append({"memory": memory, "turned": np.array(turned), "time": np.array(sketch.get("time"), "i8"),
                          "hashes": hashes, "keys": keys})  # fmt: skip
        return found

    def join(self, state: HeavyHitters, copies: Sequence[Copy]) -> list[Copy]:
        last = max(int(copy["time"]) for copy in copies)
        return [copy for copy in copies if int(copy["time"]) > last - 3 * state.window]

    def put(self, state: HeavyHitters, worker: int, copies: Sequence[Copy]) -> None:
        """The first one is what the worker goes on with; the others are only read."""
        self._fill(state._readers[worker], copies[0])
        for copy in copies[1:]:
            state._readers.append(Reader(state._sketch()))
            self._fill(state._readers[-1], copy)

    def _fill(self, reader: Reader, copy: Copy) -> None:
        sketch = reader.sketch
        sketch.region.write(0, copy["memory"].tobytes())
        at = {name: sketch.address + sketch.at[name] for name in PLACES}
        if bool(copy["turned"]):
            at["counts"], at["before"] = at["before"], at["counts"]
        for name, address in at.items():
            sketch.set(name, address)
        assert HeavyHead.layout.size <= sketch.at["tags"]
        keys = [key.tobytes() for key in copy["keys"]]
        reader.keys = dict(zip(copy["hashes"].tolist(), keys, strict=True))
        reader._read = sketch.get("listed")
