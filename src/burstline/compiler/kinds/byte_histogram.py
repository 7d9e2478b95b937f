"""`histogram.add(payload)`."""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.core.imputils import lower_builtin

from burstline.compiler.state_type import StateType, call, i64, kernel, method, state_type
from burstline.native.bytes_type import BYTES, BytesViewType, view_of
from burstline.state import byte_histogram_kernel
from burstline.state.byte_histogram import ByteHistogram

COUNT = kernel("burstline_count_bytes", byte_histogram_kernel.count_bytes, i64, i64, i64)


@state_type(ByteHistogram, {"add": method(types.none, BYTES)})
class ByteHistogramType(StateType):
    pass


@lower_builtin("ByteHistogram.add", ByteHistogramType, BytesViewType)
def _add(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    view = view_of(context, builder, args[1])
    call(builder, COUNT, [args[0], view.address, view.size])
    return context.get_dummy_value()
