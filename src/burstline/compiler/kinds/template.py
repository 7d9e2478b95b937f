"""`template.emit(pkt)`, `template.emit(pkt, port)`."""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, signature

from burstline.compiler.packet_type import PacketType, made_packet
from burstline.compiler.state_type import StateType, i64, is_whole, state_type
from burstline.native.memory import I64
from burstline.packet.made import ANYWHERE, EMIT
from burstline.state.template import Template


def _emit_method(kind: type[StateType], name: str) -> Any:
    """The packet that comes of it lies in a burst of the same layout as the one that it is emitted for."""

    class Emit(AbstractTemplate):  # type: ignore[misc]
        key = f"{kind.kind}.{name}"

        def generic(self, args: Any, kws: Any) -> Any:
            numbers = args[1:]
            if kws or not args or len(numbers) > 1 or not is_whole(args[0]):
                return None
            if not all(isinstance(number, types.Integer) for number in numbers):
                return None
            made = PacketType(args[0].burst, made=True)
            return signature(made, args[0], *[i64] * len(numbers), recvr=self.this)

    return Emit


@state_type(Template, {"emit": _emit_method})
class TemplateType(StateType):
    pass


@lower_builtin("Template.emit", TemplateType, PacketType)
@lower_builtin("Template.emit", TemplateType, PacketType, types.Integer)
def _emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    packet = context.make_helper(builder, sig.args[1], args[1])
    port = args[2] if len(args) > 2 else I64(ANYWHERE)
    return made_packet(context, builder, sig.return_type, EMIT, [args[0], packet.burst, packet.index, port])
