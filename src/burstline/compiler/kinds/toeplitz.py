"""`rss.hash(pkt)`."""

from __future__ import annotations

from typing import Any

from numba.core.imputils import lower_builtin

from burstline.compiler.packet_type import PacketType
from burstline.compiler.state_type import StateType, ahead, i64, method, state_type, worked_out
from burstline.native.memory import I64
from burstline.state import toeplitz_kernel
from burstline.state.toeplitz import Toeplitz, ToeplitzHead

ahead(Toeplitz, "burstline_hash_packets", toeplitz_kernel.hash_packets)


@state_type(Toeplitz, {"hash": method(i64, PacketType)})
class ToeplitzType(StateType):
    pass


@lower_builtin("Toeplitz.hash", ToeplitzType, PacketType)
def _hash(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    place = builder.add(args[0], I64(ToeplitzHead.layout.offset("results")))
    return builder.zext(worked_out(context, builder, sig.args[1], args[1], place), I64)
