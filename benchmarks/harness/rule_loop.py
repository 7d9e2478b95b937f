"""Three ways to find the first rule of each tuple: ours, C, and DPDK's ACL library. Each gives ns a packet."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.rules import Rules
from burstline.native.fieldtypes import i64
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct
from burstline.state.region import Block
from burstline.state.rule_set import RuleSet

NEEDED = 512  # huge pages of 2 MiB, for DPDK
Run = Callable[[], float]


class Context(Struct):
    table: i64
    tuples: i64
    packets: i64
    found: i64


_match = Kernel("benchmarks.harness.rule_loop_kernel:match_tuples", Context)


def ours(rules: Rules, tuples: Any, found: Any) -> Run:
    """Our kernel, sixteen tuples at a time."""
    from burstline.state.rule_set import RuleSetHead, RuleSetTables

    held = RuleSet(rules.as_rules(), overlaps="allow")
    head = held.attach()
    tables = ctypes.c_int64.from_address(head + RuleSetHead.layout.offset("tables")).value
    v4 = ctypes.c_int64.from_address(tables + RuleSetTables.layout.offset("v4")).value
    context = Block(Context.layout)
    context.set(table=v4, tuples=tuples.ctypes.data, packets=len(tuples), found=found.ctypes.data)

    def run() -> float:
        assert len(held) == len(rules)  # it lives as long as this function
        start = time.perf_counter_ns()
        _match(context.address)
        return (time.perf_counter_ns() - start) / len(tuples)

    return run


def scalar_c(library: Path, rules: Rules, tuples: Any, found: Any) -> Run:
    """`benchmarks/c/rules.c`."""
    match = ctypes.CDLL(str(library)).match_rules
    kind = np.dtype([
        ("src", ">u4"), ("src_mask", ">u4"), ("dst", ">u4"), ("dst_mask", ">u4"), ("sport", "<u2", 2),
        ("dport", "<u2", 2), ("proto", "u1"), ("proto_mask", "u1"), ("rest", "u2"),
    ])  # fmt: skip
    table = np.zeros(len(rules), kind)
    table["src"], table["src_mask"] = rules.src, 0xFFFFFFFF << (32 - rules.src_length) & 0xFFFFFFFF
    table["dst"], table["dst_mask"] = rules.dst, 0xFFFFFFFF << (32 - rules.dst_length) & 0xFFFFFFFF
    table["sport"], table["dport"] = rules.sport, rules.dport
    table["proto"], table["proto_mask"] = rules.proto, rules.proto_mask
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (table, tuples, found)]
    counts = ctypes.c_uint32(len(rules)), ctypes.c_uint32(len(tuples))

    def run() -> float:
        assert len(table) == len(rules)
        start = time.perf_counter_ns()
        match(pointers[0], counts[0], pointers[1], counts[1], pointers[2])
        return (time.perf_counter_ns() - start) / len(tuples)

    return run


class Acl:
    """`benchmarks/c/acl.c`: the library is started once in a process."""

    def __init__(self, library: Path, core: int) -> None:
        self._c = ctypes.CDLL(str(library))
        self._c.build.restype = ctypes.c_void_p
        free = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
        self.huge = free.exists() and int(free.read_text()) >= NEEDED
        if self._c.start(str(core).encode(), int(self.huge)) < 0:
            raise OSError("DPDK's EAL does not start")

    @property
    def name(self) -> str:
        return "rte_acl, AVX-512" if self._c.is_widest() else "rte_acl, its default"

    def run_of(self, rules: Rules, tuples: Any, found: Any) -> Run:
        """It numbers rules from 1; 0 is none. Raises OSError where it does not build its tries."""
        columns = (
            rules.src, rules.src_length, rules.dst, rules.dst_length, *rules.sport.T, *rules.dport.T, rules.proto,
            rules.proto_mask,
        )  # fmt: skip
        table = np.ascontiguousarray(np.column_stack(columns).astype("u4"))
        made = self._c.build(ctypes.c_void_p(table.ctypes.data), ctypes.c_uint32(len(rules)))
        if not made:
            raise OSError("rte_acl does not build these rules")
        data = tuples.ctypes.data + 16 * np.arange(len(tuples), dtype="u8")
        pointers = ctypes.c_void_p(made), ctypes.c_void_p(data.ctypes.data), ctypes.c_void_p(found.ctypes.data)

        def run() -> float:
            assert len(data) == len(tuples)
            start = time.perf_counter_ns()
            self._c.classify(pointers[0], pointers[1], ctypes.c_uint32(len(tuples)), pointers[2])
            return (time.perf_counter_ns() - start) / len(tuples)

        return run
