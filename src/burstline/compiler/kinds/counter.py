"""`hits.add(n)`."""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.core.imputils import lower_builtin

from burstline.compiler.state_type import StateType, method, state_type
from burstline.native.memory import I64, load, store
from burstline.state.counter import Counter


@state_type(Counter, {"add": method(types.none, types.Integer, optional=1)})
class CounterType(StateType):
    pass


@lower_builtin("Counter.add", CounterType)
@lower_builtin("Counter.add", CounterType, types.Integer)
def _add(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    n = args[1] if len(args) == 2 else I64(1)
    store(builder, builder.add(load(builder, args[0], I64, 8), n), args[0], 8)
    return context.get_dummy_value()
