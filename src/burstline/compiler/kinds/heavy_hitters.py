"""`elephants.add(pkt)`, `elephants.add(pkt, n)`."""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.core.imputils import lower_builtin

from burstline.compiler.state_type import StateType, call, i64, kernel, method, state_type, whole_packet
from burstline.native.memory import I64
from burstline.packet.burst_type import read
from burstline.state import heavy_hitters_kernel
from burstline.state.heavy_hitters import HeavyHitters

ADD = kernel("burstline_heavy_hitters_add", heavy_hitters_kernel.add, i64, i64, i64, i64, i64)
Any_ = types.VarArg(types.Any)  # type: ignore[attr-defined]


@state_type(HeavyHitters, {"add": method(i64, whole_packet, types.Integer, optional=1)})
class HeavyHittersType(StateType):
    pass


@lower_builtin("HeavyHitters.add", HeavyHittersType, Any_)
def _add(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    packet = context.make_helper(builder, sig.args[1], args[1])
    hash, key, time = (read(builder, sig.args[1].burst, packet.burst, n, packet.index) for n in ("hash", "key", "time"))
    return call(builder, ADD, [args[0], hash, key, args[2] if len(args) > 2 else I64(1), time])
