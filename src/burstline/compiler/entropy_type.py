"""`byte_entropy` in compiled code."""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, builtin_registry, signature

from burstline.compiler.columns import call
from burstline.native.bytes_type import BYTES, BytesViewType, view_of
from burstline.native.memory import LOWERED
from burstline.packet.entropy import byte_entropy

ENTROPY = "burstline_byte_entropy"


class _Entropy(AbstractTemplate):  # type: ignore[misc]
    key = byte_entropy

    def generic(self, args: Any, kws: Any) -> Any:
        return signature(types.int64, BYTES) if args == (BYTES,) else None


LOWERED.add(byte_entropy)
builtin_registry.register_global(byte_entropy, types.Function(_Entropy))


@lower_builtin(byte_entropy, BytesViewType)
def _entropy(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    view = view_of(context, builder, args[0])
    return call(builder, ENTROPY, [view.address, view.size])
