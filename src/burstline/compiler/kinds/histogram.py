"""`sizes.add(value, n)`."""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.core.imputils import lower_builtin

from burstline.compiler.state_type import StateType, call, i64, kernel, method, state_type
from burstline.native.memory import I64
from burstline.state import histogram_kernel
from burstline.state.histogram import Histogram

ADD = kernel("burstline_add_value", histogram_kernel.add_value, i64, i64, i64, i64, inline=True)


@state_type(Histogram, {"add": method(types.none, types.Integer, types.Integer, optional=1)})
class HistogramType(StateType):
    pass


@lower_builtin("Histogram.add", HistogramType, types.VarArg(types.Any))  # type: ignore[attr-defined]
def _add(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    n = args[2] if len(args) > 2 else I64(1)
    call(builder, ADD, [args[0], args[1], n, I64(sig.args[0].owner.bits)])
    return context.get_dummy_value()
