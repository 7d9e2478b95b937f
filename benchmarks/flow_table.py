"""Flow tables: a lookup and an update of the record found, for keys of 16 bytes and records of 32; ns a packet, less is
better.

4 million packets over 10 thousand, a million and ten million flows that are there already, each as likely as another
(uniform), or by Zipf's law with exponent 1; on one core, beside C (c/flow_table.c): `rte_hash_lookup_bulk_data` of DPDK
in bulks of 64, with its CRC32 hash, on huge pages; and our own design written in C. All must end with the same records.
Also the bytes of memory a flow.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.harness.install import shared_library
from benchmarks.harness.process import measuring_core
from burstline.cli.bench import Options, Row, alternate
from burstline.errors import BurstlineError

PACKETS = 1 << 22
FLOWS = {"10 k": 10_000, "1 M": 1_000_000, "10 M": 10_000_000}


def run(options: Options) -> Iterator[Row]:
    from benchmarks.harness.flow_loop import flow_keys

    library = shared_library("flow_table", options.cache, needs="libdpdk")
    if library is None:
        options.lacks("DPDK's hash table", "apt-get install clang libdpdk-dev pkg-config")
        return
    c = ctypes.CDLL(str(library))
    usable, core = os.sched_getaffinity(0), measuring_core()
    if c.start(str(core).encode(), 1) < 0 and c.start(str(core).encode(), 0) < 0:
        options.fails("rte_hash", BurstlineError("DPDK does not start", "look at `burstline doctor`"))
        return
    os.sched_setaffinity(0, {core})
    try:
        for name, flows in FLOWS.items():
            keys = flow_keys(flows // 64 if options.quick else flows)
            yield from _measure(options, c, name, keys)
    finally:
        os.sched_setaffinity(0, usable)


def _measure(options: Options, c: Any, name: str, keys: Any) -> Iterator[Row]:
    import numpy as np

    from benchmarks.harness.flow_loop import OurTable

    packets, runs = PACKETS // 64 if options.quick else PACKETS, options.runs(5)
    chance = np.random.default_rng(1)
    lengths = chance.integers(64, 1514, packets, "<u4")
    for kind in ("uniform", "Zipf"):
        drawn = np.ascontiguousarray(keys[_draw(kind, len(keys), packets, chance)])
        for peer, prefix in (("rte_hash_lookup_bulk_data", "dpdk"), ("C, same design", "own")):
            theirs = Yardstick(c, prefix, keys)
            ours = OurTable(keys)
            mine, other = ours.runner(drawn, lengths), theirs.runner(drawn, lengths)
            pairs = [(mine(), other()) for _ in range(runs + 1)][1:]
            same = ours.totals() == theirs.totals()
            theirs.free()
            if not same:
                options.fails(peer, BurstlineError("it ends with other records", "mend one of the two"))
                continue
            a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
            yield Row("flow_table", f"{name} flows, {kind}", peer, a, b, "ns/packet", runs)
        ours = OurTable(keys)
        a, b = alternate(ours.runner(drawn, lengths), ours.runner(drawn, lengths, in_order_of_flows=True), runs)
        yield Row("flow_table", f"{name} flows, {kind}", "ours, bursts sorted by flow", a, b, "ns/packet", runs)
    yield Row("flow_table", f"{name} flows, memory", "72 bytes", ours.bytes_each, 72, "bytes/flow", 1)


def _draw(kind: str, flows: int, packets: int, chance: Any) -> Any:
    """Which flow each packet is of."""
    import numpy as np

    if kind == "uniform":
        return chance.integers(0, flows, packets)
    share = np.cumsum(1 / np.arange(1, flows + 1))
    return chance.permutation(flows)[np.searchsorted(share, chance.random(packets) * share[-1])]


class Yardstick:
    """One of the tables of c/flow_table.c, with all flows in it."""

    def __init__(self, c: Any, prefix: str, keys: Any) -> None:
        make, self._run = getattr(c, f"{prefix}_make"), getattr(c, f"{prefix}_run")
        self._totals, self._free = getattr(c, f"{prefix}_totals"), getattr(c, f"{prefix}_free")
        make.restype = ctypes.c_void_p
        self._table = ctypes.c_void_p(make(ctypes.c_void_p(keys.ctypes.data), ctypes.c_uint32(len(keys))))
        if not self._table:
            raise BurstlineError(f"{prefix}: no memory for {len(keys):,} flows", "give it more huge pages")

    def runner(self, keys: Any, lengths: Any) -> Callable[[], float]:
        arguments = self._table, ctypes.c_void_p(keys.ctypes.data), ctypes.c_void_p(lengths.ctypes.data), len(keys)

        def run() -> float:
            assert len(lengths) == len(keys)  # they live as long as this function
            start = time.perf_counter_ns()
            self._run(*arguments)
            return (time.perf_counter_ns() - start) / len(keys)

        return run

    def totals(self) -> tuple[int, int, int]:
        found = [ctypes.c_uint64() for _ in range(3)]
        self._totals(self._table, *(ctypes.byref(each) for each in found))
        return found[0].value, found[1].value, found[2].value

    def free(self) -> None:
        self._free(self._table)
