"""`table.queue(pkt)` and `table.mark(pkt)`."""

from __future__ import annotations

from typing import Any

from numba.core.imputils import lower_builtin

from burstline.compiler.packet_type import PacketType
from burstline.compiler.state_type import StateType, ahead, i64, method, state_type, worked_out
from burstline.native.memory import I64
from burstline.state import steering_table_kernel
from burstline.state.steering_table import SteeringHead, SteeringTable

ahead(SteeringTable, "burstline_steer_packets", steering_table_kernel.steer_packets)


@state_type(SteeringTable, {"queue": method(i64, PacketType), "mark": method(i64, PacketType)})
class SteeringTableType(StateType):
    pass


@lower_builtin("SteeringTable.queue", SteeringTableType, PacketType)
def _queue(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    place = builder.add(args[0], I64(SteeringHead.layout.offset("results")))
    return builder.sext(worked_out(context, builder, sig.args[1], args[1], place), I64)


@lower_builtin("SteeringTable.mark", SteeringTableType, PacketType)
def _mark(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    place = builder.add(args[0], I64(SteeringHead.layout.offset("marks")))
    return builder.zext(worked_out(context, builder, sig.args[1], args[1], place), I64)
