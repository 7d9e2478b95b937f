"""Our Toeplitz hash over tuples that lie behind each other."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Any

from burstline.native.fieldtypes import i64
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct
from burstline.state.region import Block
from burstline.state.toeplitz import Toeplitz, ToeplitzHead


class Context(Struct):
    tables: i64
    tuples: i64
    count: i64
    found: i64


_hash = Kernel("benchmarks.harness.hash_loop_kernel:hash_tuples", Context)


def ours(key: bytes, tuples: Any, found: Any) -> Callable[[], float]:
    """ns a tuple; tuples are rows of twelve bytes, a multiple of sixteen of them."""
    held = Toeplitz(key)
    tables = ctypes.c_int64.from_address(held.attach() + ToeplitzHead.layout.offset("tables")).value
    context = Block(Context.layout)
    context.set(tables=tables, tuples=tuples.ctypes.data, count=len(tuples), found=found.ctypes.data)

    def run() -> float:
        assert held.addresses()  # it lives as long as this function
        start = time.perf_counter_ns()
        _hash(context.address)
        return (time.perf_counter_ns() - start) / len(tuples)

    return run
