"""Protocols of the user's own in compiled stages: `hello[pkt]` is a view of the header that their state found."""

from __future__ import annotations

import operator
from typing import Any, ClassVar

from numba.core import cgutils, types
from numba.core.imputils import lower_builtin, lower_constant
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import models, register_model, typeof_impl

from burstline.compiler.columns import Columns
from burstline.compiler.header_type import HeaderType, own_place, view_at
from burstline.compiler.packet_type import PacketType
from burstline.native.memory import I64
from burstline.native.spelling import spelling
from burstline.packet.found_kernel import HERE
from burstline.packet.protocol import Protocol


class ProtocolNumbers:
    """The protocols of the pipeline being compiled: their places are their numbers."""

    known: ClassVar[tuple[Protocol, ...]] = ()


class ProtocolType(types.Type):
    def __init__(self, protocol: Protocol, number: int) -> None:
        self.protocol, self.number = protocol, number
        super().__init__(f"Protocol({protocol.name}, {number}, {spelling(protocol.fields)})")


register_model(ProtocolType)(models.OpaqueModel)


@typeof_impl.register(Protocol)
def _(value: Protocol, context: Any) -> types.Type:
    return ProtocolType(value, ProtocolNumbers.known.index(value))


@lower_constant(ProtocolType)
def _constant(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return context.get_dummy_value()


@infer_global(operator.getitem)
class _Header(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) == 2 and isinstance(args[0], ProtocolType) and isinstance(args[1], PacketType):
            own, packet = args
            return signature(HeaderType(own.protocol.fields, packet.burst, packet.level, own.number), *args)
        return None


@lower_builtin(operator.getitem, ProtocolType, PacketType)
def _getitem(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _header_of(context, builder, sig.return_type, sig.args[1], args[1])


def _header_of(context: Any, builder: Any, kind: HeaderType, packet: PacketType, value: Any) -> Any:
    """The view of a protocol of the user's own: what its state wrote into the `protocols` column."""
    proxy = cgutils.create_struct_proxy(packet)(context, builder, value)
    columns = Columns(builder, packet, proxy.burst, proxy.index)
    offset, _ = own_place(columns, kind.own)
    here = builder.icmp_unsigned("!=", offset, I64(0))
    if packet.level:
        here = builder.and_(here, columns.has(HERE))
    return view_at(context, builder, kind, columns, here, builder.add(columns.read("data"), offset))
