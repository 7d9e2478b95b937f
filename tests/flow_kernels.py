"""Functions of a flow table by themselves, for tests: records of one byte, and a hash that the tests choose."""

from __future__ import annotations

import burstline as bl
from burstline.native.memory import load64
from burstline.state.flow_head import Geometry
from burstline.state.flow_table_kernel import table_kernels


class Small(bl.Record):
    packets: bl.u8


def chosen_hash(key: int) -> int:
    """Of test_flow_table.py's keys, which have one word that is not zero."""
    k = load64(key + 8) + load64(key + 16) + load64(key + 24) + load64(key + 32) - 1
    return (k % 2) << 62 | k


_kernels = table_kernels(Geometry(40, False, Small.layout), chosen_hash)
small_record = _kernels.record_of
