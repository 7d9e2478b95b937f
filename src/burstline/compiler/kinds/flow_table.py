"""`flows[pkt]`, and the prefetches that the loops do some packets ahead."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature

from burstline.compiler.chain import each_ir
from burstline.compiler.packet_type import PacketType
from burstline.compiler.state_type import StateType, call, i64, kernel, state_type
from burstline.native.memory import I64
from burstline.native.struct_type import StructRefType
from burstline.packet.burst_type import read
from burstline.state import flow_table_kernel
from burstline.state.base import State
from burstline.state.flow_table import FlowTable, TableHead

TABLE = StructRefType(TableHead.layout)
LOOKUP = kernel("burstline_flow_lookup", flow_table_kernel.flow_lookup, TABLE, i64, i64, i64, inline=True)
SLOT = kernel("burstline_prefetch_slot", flow_table_kernel.prefetch_slot, TABLE, i64, inline=True)
ENTRY = kernel("burstline_prefetch_entry", flow_table_kernel.prefetch_entry, TABLE, i64, i64, inline=True)


@state_type(FlowTable)
class FlowTableType(StateType):
    pass


@infer_global(operator.getitem)
class _FlowOf(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) == 2 and isinstance(args[0], FlowTableType) and isinstance(args[1], PacketType):
            return signature(StructRefType(args[0].owner.record.layout), *args)
        return None


@lower_builtin(operator.getitem, FlowTableType, PacketType)
def _flow_of(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    packet = context.make_helper(builder, sig.args[1], args[1])
    burst = sig.args[1].burst
    key = read(builder, burst, packet.burst, "key", packet.index)
    hashed = read(builder, burst, packet.burst, "hash", packet.index)
    return call(builder, LOOKUP, [args[0], key, hashed, I64(sig.args[0].owner.stride)])


def each_table(state: Sequence[State]) -> list[str]:
    """What the loops call for a packet some packets ahead."""
    tables = [s for s in state if isinstance(s, FlowTable)]
    return [
        each_ir("burstline_prefetch_slots", 1, SLOT, [(t.symbol, "%a0") for t in tables]),
        each_ir("burstline_prefetch_entries", 1, ENTRY, [(t.symbol, "%a0", t.stride) for t in tables]),
    ]
