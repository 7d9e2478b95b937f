"""`talkers.add(key, n)`, `talkers.estimate(key)` of a `CountMin`, and `sources.add(key)` of a `HyperLogLog`."""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.core.imputils import lower_builtin

from burstline.compiler.key_type import key_hash, sketch_key
from burstline.compiler.state_type import StateType, call, i64, kernel, method, state_type
from burstline.native.memory import I64
from burstline.state import count_min_kernel, hyper_log_log_kernel
from burstline.state.count_min import CountMin
from burstline.state.hyper_log_log import HyperLogLog

ESTIMATE = kernel("burstline_count_min_estimate", count_min_kernel.estimate, i64, i64, i64, inline=True)
ADD = {
    conservative: kernel(f"burstline_count_min_{function.__name__}", function, i64, i64, i64, i64, inline=True)
    for conservative, function in ((False, count_min_kernel.add), (True, count_min_kernel.add_conservatively))
}
SEE = kernel("burstline_hyper_log_log_add", hyper_log_log_kernel.add, i64, i64, i64, inline=True)
Any_ = types.VarArg(types.Any)  # type: ignore[attr-defined]


@state_type(
    CountMin,
    {"add": method(i64, sketch_key, types.Integer, optional=1), "estimate": method(i64, sketch_key)},
)
class CountMinType(StateType):
    pass


@state_type(HyperLogLog, {"add": method(types.none, sketch_key)})
class HyperLogLogType(StateType):
    pass


@lower_builtin("CountMin.add", CountMinType, Any_)
def _add(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    owner = sig.args[0].owner
    hashed = key_hash(context, builder, sig.args[1], args[1])
    n = args[2] if len(args) > 2 else I64(1)
    return call(builder, ADD[owner.conservative], [args[0], hashed, n, I64(owner.depth)])


@lower_builtin("CountMin.estimate", CountMinType, Any_)
def _estimate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    hashed = key_hash(context, builder, sig.args[1], args[1])
    return call(builder, ESTIMATE, [args[0], hashed, I64(sig.args[0].owner.depth)])


@lower_builtin("HyperLogLog.add", HyperLogLogType, Any_)
def _see(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    hashed = key_hash(context, builder, sig.args[1], args[1])
    call(builder, SEE, [args[0], hashed, I64(sig.args[0].owner.precision)])
    return context.get_dummy_value()
