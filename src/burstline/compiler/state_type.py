"""State objects in compiled code: each is a linker symbol; what stages do with it calls that kind's kernel.

One file of `kinds/` for each kind: its type, its methods, and the kernels that they call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.imputils import lower_constant
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, signature
from numba.extending import models, register_model, typeof_impl

from burstline.compiler.packet_type import PacketType
from burstline.native.memory import I64, load
from burstline.native.passes import takes
from burstline.native.spelling import spelling
from burstline.packet.burst_type import BurstType
from burstline.pipeline.needs import Needs
from burstline.state.base import State

i64 = types.int64
BURST = "burst"  # in a kernel's arguments: the burst of the pipeline


@dataclass(frozen=True)
class StateKernel:
    """A compiled function that stages call by `name`, all of whose arguments are int64 unless said otherwise."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]  # Numba types, or BURST
    inline: bool = False

    def types(self, burst: Any) -> list[types.Type]:
        return [BurstType(burst) if a is BURST else a for a in self.arguments]


KERNELS: list[StateKernel] = []  # compiled where a stage calls them
When = Callable[[Needs], bool]
# Called for each object of the kind, once a burst, where the pipeline needs it: (it, burst, count, own).
AHEAD: list[tuple[type[State], StateKernel, When]] = []


def kernel(name: str, function: Callable[..., Any], *arguments: Any, inline: bool = False) -> str:
    """Declare a kernel; returns its name."""
    KERNELS.append(StateKernel(name, function, arguments, inline))
    return name


def ahead(kind: type[State], name: str, function: Callable[..., Any], when: When = lambda needs: True) -> None:
    """Declare what is worked out of a whole burst for every object of a kind, before stages run."""
    AHEAD.append((kind, StateKernel(name, function, (i64, BURST, i64, i64)), when))


class StateType(types.Type):
    """One state object: `kind` names its class, `owner` is the Python object."""

    kind = ""

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self.symbol = owner.symbol
        super().__init__(f"{self.kind}({self.symbol}, {spelling(repr(owner.signature()))})")


def state_type(
    python: type[State], methods: dict[str, Any] | None = None
) -> Callable[[type[StateType]], type[StateType]]:
    """Decorator: the Numba type of a kind of state, with its methods (`method`) by name."""

    def register(kind: type[StateType]) -> type[StateType]:
        kind.kind = python.__name__
        typeof_impl.register(python)(lambda value, context: kind(value))

        @register_model(kind)
        class _Address(models.PrimitiveModel):  # type: ignore[misc]
            def __init__(self, manager: Any, of: types.Type) -> None:
                super().__init__(manager, of, I64)

        templates = {name: declared(kind, name) for name, declared in (methods or {}).items()}

        @infer_getattr
        class _Methods(AttributeTemplate):  # type: ignore[misc]
            key = kind

            def generic_resolve(self, this: StateType, name: str) -> Any:
                return types.BoundFunction(templates[name], this) if name in templates else None

        return kind

    return register


def taken(this: StateType, wanted: Any, given: types.Type) -> types.Type | None:
    """The type that an argument is converted to, where it is taken: see `method`."""
    if isinstance(wanted, type) and wanted is not types.Integer:
        return given if isinstance(given, wanted) else None
    if isinstance(wanted, (type, types.Type)):
        wanted = i64 if wanted is types.Integer else wanted
        return wanted if takes(wanted, given) else None
    return wanted(this, given)  # type: ignore[no-any-return]


def method(returns: Any, *arguments: Any, optional: int = 0) -> Any:
    """`object.name(arguments)`, to be lowered as "Kind.name"; the last `optional` arguments may be left out. Arguments
    are types or classes of types, `types.Integer` for any integer, or functions `(this, given)` that say what type is
    taken, or None. `returns` is a type, or makes one of the object's."""

    def declare(kind: type[StateType], name: str) -> Any:
        class Template(AbstractTemplate):  # type: ignore[misc]
            key = f"{kind.kind}.{name}"

            def generic(self, args: Any, kws: Any) -> Any:
                if kws or not len(arguments) - optional <= len(args) <= len(arguments):
                    return None
                final = [taken(self.this, w, a) for a, w in zip(args, arguments, strict=False)]
                if None in final:
                    return None
                result = returns if isinstance(returns, types.Type) else returns(self.this)
                return signature(result, *final, recvr=self.this)

        return Template

    return declare


@lower_constant(StateType)
def _constant(context: Any, builder: Any, kind: StateType, value: Any) -> Any:
    return builder.ptrtoint(symbol_of(builder, kind), I64)


def symbol_of(builder: Any, kind: StateType) -> Any:
    """What a state object is to the linker."""
    symbol = builder.module.globals.get(kind.symbol)
    if symbol is None:
        symbol = ir.GlobalVariable(builder.module, I64, kind.symbol)
        symbol.linkage = "external"
    return symbol


def call(builder: Any, name: str, args: list[Any]) -> Any:
    """Call a kernel."""
    function = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(I64, [I64] * len(args)), name
    )
    return builder.call(function, args)


def is_whole(kind: Any) -> bool:
    """A packet, not what its tunnel carries."""
    return isinstance(kind, PacketType) and not kind.level and not kind.made


def whole_packet(this: StateType, given: types.Type) -> types.Type | None:
    """An argument of a method: a packet, not what its tunnel carries."""
    return given if is_whole(given) else None


def worked_out(context: Any, builder: Any, packet_type: Any, packet: Any, address: Any) -> Any:
    """A packet's 32 bits of what was worked out for the whole burst; `address` is where its place is written."""
    struct = context.make_helper(builder, packet_type, packet)
    results = load(builder, address, I64, 8)
    return load(builder, builder.add(results, builder.mul(struct.index, I64(4))), ir.IntType(32), 4)
