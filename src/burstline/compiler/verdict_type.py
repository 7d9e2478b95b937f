"""Verdicts in compiled code: an i64, kind in the low bits. Compiling gives drop reasons and chains their numbers."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin, lower_cast, lower_constant
from numba.core.typeconv import Conversion
from numba.core.typing.templates import AbstractTemplate, builtin_registry, signature
from numba.extending import models, register_model, typeof_impl

from burstline.native.lowered_cache import lasting
from burstline.native.memory import I64, LOWERED
from burstline.pipeline.pipeline import Chain
from burstline.pipeline.verdict import CHAINED, DROPPED, KIND_BITS, NEXT, SENT, Verdict, drop, send


class Numbers:
    """Names that became numbers in the pipeline being compiled, in order of first use."""

    reasons: ClassVar[list[str]] = []
    chains: ClassVar[list[Chain]] = []

    @classmethod
    def reason(cls, name: str) -> int:
        if name not in cls.reasons:
            cls.reasons.append(name)
        return cls.reasons.index(name)


_REASON = re.compile(r'ptrtoint \((?:ptr|i8\*) @"?burstline\.reason\.([0-9a-f]*)"? to i64\)')


def _dropped(builder: Any, reason: str) -> Any:
    """The verdict, with a name where its reason's number will be: a stage's code does not depend on other stages'."""
    name = f"burstline.reason.{reason.encode().hex()}"
    symbol = builder.module.globals.get(name)
    if symbol is None:
        symbol = ir.GlobalVariable(builder.module, ir.IntType(8), name)
        symbol.linkage = "external"
    return symbol.ptrtoint(I64)


def with_numbers(text: str) -> str:
    """LLVM IR with the numbers of drop reasons; those that are new get theirs."""

    def number(found: re.Match[str]) -> str:
        return str(DROPPED | Numbers.reason(bytes.fromhex(found[1]).decode()) << KIND_BITS)

    return _REASON.sub(number, text)


@lasting
class VerdictType(types.Type):
    def __init__(self) -> None:
        super().__init__("Verdict")

    def can_convert_from(self, typingctx: Any, other: types.Type) -> Any:
        return Conversion.safe if other == types.none else None


VERDICT = VerdictType()


@register_model(VerdictType)
class _Model(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: VerdictType) -> None:
        super().__init__(manager, kind, I64)


typeof_impl.register(Verdict)(lambda value, context: VERDICT)
typeof_impl.register(Chain)(lambda value, context: VERDICT)


@lower_constant(VerdictType)
def _constant(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return verdict_constant(builder, value)


def verdict_constant(builder: Any, value: Chain | Verdict) -> Any:
    """The number of a verdict, or of a chain to go to."""
    if isinstance(value, Chain):
        return I64(CHAINED | Numbers.chains.index(value) << KIND_BITS)
    if isinstance(value.argument, str):
        return _dropped(builder, value.argument)
    return I64(value.kind | (value.argument & 0xFFFF) << KIND_BITS)  # a port has 16 bits, as where `send` is called


@lower_cast(types.none, VerdictType)
def _none(context: Any, builder: Any, source: Any, target: Any, value: Any) -> Any:
    return I64(NEXT)


@lower_cast(types.Optional, VerdictType)  # type: ignore[attr-defined]
def _optional(context: Any, builder: Any, source: Any, target: Any, value: Any) -> Any:
    """A name or a helper that holds a verdict or None, which means to go on."""
    optional = context.make_helper(builder, source, value=value)
    decided = context.cast(builder, optional.data, source.type, target)
    return builder.select(cgutils.as_bool_bit(builder, optional.valid), decided, I64(NEXT))


class _Drop(AbstractTemplate):  # type: ignore[misc]
    key = drop
    prefer_literal = True

    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) == 1 and isinstance(args[0], types.StringLiteral) and args[0].literal_value:  # type: ignore[attr-defined]
            return signature(VERDICT, *args)
        return None


class _Send(AbstractTemplate):  # type: ignore[misc]
    key = send

    def generic(self, args: Any, kws: Any) -> Any:
        return signature(VERDICT, types.int64) if len(args) == 1 and isinstance(args[0], types.Integer) else None


builtin_registry.register_global(drop, types.Function(_Drop))
builtin_registry.register_global(send, types.Function(_Send))
LOWERED.update((drop, send))


@lower_builtin(drop, types.StringLiteral)  # type: ignore[attr-defined]
def _lower_drop(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _dropped(builder, sig.args[0].literal_value)


@lower_builtin(send, types.Integer)
def _lower_send(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    port = builder.and_(args[0], I64(0xFFFF))
    return builder.or_(I64(SENT), builder.shl(port, I64(KIND_BITS)))
