"""`queries.new()`, and what the loops ask of all digests once a burst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numba.core.imputils import lower_builtin

from burstline.compiler.chain import each_ir
from burstline.compiler.state_type import StateType, call, i64, kernel, method, state_type
from burstline.native.memory import I64
from burstline.native.struct_type import StructRefType, reference
from burstline.state import digest_kernel
from burstline.state.base import State
from burstline.state.digest import Digest, DigestHead

digest_at = reference(DigestHead)
# By plain names: compiled code does not look into modules.
new_digest, publish, room = digest_kernel.digest_new, digest_kernel.digest_publish, digest_kernel.digest_room


def digest_new(address: int, stride: int) -> int:
    return new_digest(digest_at(address), address, stride)


def digest_publish(address: int) -> int:
    publish(digest_at(address), address)
    return 0


def digest_room(address: int) -> int:
    return room(digest_at(address), address)


NEW = kernel("burstline_digest_new", digest_new, i64, i64, inline=True)
PUBLISH = kernel("burstline_publish_digest", digest_publish, i64, inline=True)
ROOM = kernel("burstline_digest_room_of", digest_room, i64, inline=True)


@state_type(Digest, {"new": method(lambda this: StructRefType(this.owner.record.layout))})
class DigestType(StateType):
    pass


@lower_builtin("Digest.new", DigestType)
def _new(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return call(builder, NEW, [args[0], I64(sig.args[0].owner.stride)])


def each_digest(state: Sequence[State]) -> list[str]:
    """What the loops call once a burst: publish all digests; whether one of them is more than half full."""
    digests = [s.symbol for s in state if isinstance(s, Digest)]
    return [
        each_ir("burstline_publish_digests", 0, PUBLISH, [(d,) for d in digests]),
        each_ir("burstline_digest_room", 0, ROOM, [(d,) for d in digests]),
    ]
