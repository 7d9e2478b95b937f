"""`hits.add(n)`: to the sum of a burst (compiler/counters.py)."""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.core.imputils import lower_builtin

from burstline.compiler.state_type import StateType, method, state_type, symbol_of
from burstline.native.memory import I64
from burstline.state.counter import Counter


@state_type(Counter, {"add": method(types.none, types.Integer, optional=1)})
class CounterType(StateType):
    pass


@lower_builtin("Counter.add", CounterType)
@lower_builtin("Counter.add", CounterType, types.Integer)
def _add(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """The sum by its name, not by an address: only so LLVM sees that nobody else refers to it."""
    n = args[1] if len(args) == 2 else I64(1)
    total = symbol_of(builder, sig.args[0])
    builder.store(builder.add(builder.load(total), n), total)
    return context.get_dummy_value()
