"""Our flow table over keys that lie behind each other, and the keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import burstline as bl
from burstline.native.fieldtypes import i64
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct
from burstline.state.region import Block, Region

KEY = ("proto", "tcp.sport", "tcp.dport", "ipv4.src", "ipv4.dst")  # 16 bytes


class Flow(bl.Record):
    packets: bl.u64
    bytes: bl.u64
    last: bl.u64
    first: bl.u64


class Context(Struct):
    table: i64
    keys: i64
    lengths: i64
    hashes: i64
    order: i64
    count: i64


_update = Kernel("benchmarks.harness.flow_loop_kernel:update_flows", Context)
_update_sorted = Kernel("benchmarks.harness.flow_loop_kernel:update_sorted", Context)


def flow_keys(count: int) -> Any:
    """Keys of so many flows, none twice: rows of two words, the first with a protocol and ports in six bytes."""
    import numpy as np

    words = np.empty((count, 2), "<u8")
    x = np.arange(count, dtype="<u8") * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64: one to one
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    words[:, 1] = x ^ (x >> np.uint64(31))
    words[:, 0] = (words[:, 1] * np.uint64(0xD6E8FEB86659FD93) >> np.uint64(16)) & np.uint64(
        0xFFFFFFFF0000
    ) | np.uint64(6)
    return words


class OurTable:
    """A table that has all the flows already."""

    def __init__(self, keys: Any) -> None:
        import numpy as np

        self.table = bl.FlowTable(Flow, capacity=len(keys), key=KEY)
        self._address = self.table.attach()
        self._hashes, self._order = Region(8 * 256), Region(4 * 256)
        update = self.runner(keys, np.zeros(len(keys), "<u4"))
        update()

    def runner(self, keys: Any, lengths: Any, in_order_of_flows: bool = False) -> Callable[[], float]:
        """ns a key, and the update of its record."""
        update = _update_sorted if in_order_of_flows else _update
        context = Block(Context.layout)
        context.set(table=self._address, keys=keys.ctypes.data, lengths=lengths.ctypes.data,
                    hashes=self._hashes.address, order=self._order.address, count=len(keys))  # fmt: skip

        def run() -> float:
            assert len(keys) == len(lengths)  # they live as long as this function
            start = time.perf_counter_ns()
            update(context.address)
            return (time.perf_counter_ns() - start) / len(keys)

        return run

    def totals(self) -> tuple[int, int, int]:
        rows = self.table.to_numpy()
        mixed = int((rows["last"] * (rows["packets"] - 1)).sum())
        return int(rows["packets"].sum()) - len(rows), int(rows["bytes"].sum()), mixed

    @property
    def bytes_each(self) -> float:
        """Bytes of memory a flow: the entries that were given out, and the index that is in use."""
        (copy,) = self.table._workers
        used = copy.head.get("used") * self.table.geometry.stride + copy.head.get("buckets") * 64
        return used / len(self.table)
