"""`limit.allow(pkt)`."""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.core.imputils import lower_builtin

from burstline.compiler.packet_type import PacketType
from burstline.compiler.state_type import StateType, call, i64, kernel, method, state_type, whole_packet
from burstline.native.memory import I64
from burstline.native.struct_type import StructRefType
from burstline.packet.burst_type import read
from burstline.state import meter_kernel
from burstline.state.meter import Meter, MeterBlock

ALLOW = kernel("burstline_meter_allow", meter_kernel.allow, StructRefType(MeterBlock.layout), i64, i64, inline=True)


@state_type(Meter, {"allow": method(types.boolean, whole_packet)})
class MeterType(StateType):
    pass


@lower_builtin("Meter.allow", MeterType, PacketType)
def _allow(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    packet = context.make_helper(builder, sig.args[1], args[1])
    time, length = (read(builder, sig.args[1].burst, packet.burst, name, packet.index) for name in ("time", "length"))
    return builder.icmp_unsigned("!=", call(builder, ALLOW, [args[0], time, length]), I64(0))
