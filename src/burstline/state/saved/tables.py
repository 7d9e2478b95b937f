"""Saving `Set` and `Map`: their keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from burstline.state.hash_buckets import Buckets
from burstline.state.hash_table import HashTable
from burstline.state.map import Map
from burstline.state.saved.kind import Copy, Joinable, total


class HashTables(Joinable[HashTable]):
    def parameters(self, state: HashTable) -> list[Any]:
        """The capacity is not among them: what there is no room for is counted."""
        merge = state.merge if isinstance(state, Map) else ""
        return [state.key.name, merge, sorted([str(key), str(value)] for key, value in state._given.items())]

    def save(self, state: HashTable) -> Sequence[Copy]:
        import numpy as np

        found = []
        for table in state._workers:
            keys, values = table.read()
            found.append({"keys": keys, "values": values, "refused": np.array(table.head.get("refused"), "i8")})
        return found

    def join(self, state: HashTable, copies: Sequence[Copy]) -> list[Copy]:
        import numpy as np

        values = np.concatenate([copy["values"] for copy in copies])
        keys, which = state._distinct(np.concatenate([copy["keys"] for copy in copies]))
        merged = np.zeros(len(keys), "i8")
        if isinstance(state, Map) and state.merge == "max":
            merged[:] = np.iinfo("i8").min
            np.maximum.at(merged, which, values)
        elif isinstance(state, Map):
            np.add.at(merged, which, values)
            if state._given:  # each copy began with it
                given = np.array([state._given.get(number, 0) for number in state._numbers(keys)], "i8")
                merged -= given * (np.bincount(which, minlength=len(keys)) - 1)
        return [{"keys": keys, "values": merged, "refused": total(copies, "refused")}]

    def put(self, state: HashTable, worker: int, copies: Sequence[Copy]) -> None:
        """What Python gave is there as the copies say: with another value, or not any more."""
        import numpy as np

        table = state._workers[worker]
        joined = self.join(state, copies)[0]
        numbers = state._numbers(joined["keys"])
        kept = dict(list(zip(numbers, joined["values"].tolist(), strict=True))[: state.capacity])
        table.region.numpy("u1", table.region.size)[:] = np.uint8(0)
        table.head.set(used=0)
        table.fill(kept)
        table.head.set(refused=int(joined["refused"]) + len(numbers) - len(kept))

    def show(self, state: HashTable, copy: Copy) -> None:
        """Have Python read this, of any number of keys, and nothing else."""
        numbers = state._numbers(copy["keys"])
        table = Buckets(max(state.capacity, len(numbers)), state.words, int(state.has_values))
        table.fill(dict(zip(numbers, copy["values"].tolist(), strict=True)))
        table.head.set(refused=int(copy["refused"]))
        state._workers = [table]
