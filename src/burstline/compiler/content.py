"""What a function's compiled code depends on: two functions of the same content are compiled once."""

from __future__ import annotations

import hashlib
import sys
from ipaddress import IPv4Address, IPv6Address
from types import FunctionType, ModuleType
from typing import Any

from burstline.native.cache import code_of
from burstline.native.lowered_cache import Content
from burstline.native.memory import LOWERED, Primitive
from burstline.packet.protocol import Protocol
from burstline.pipeline.branch import Branch
from burstline.pipeline.pipeline import Chain, Pipeline
from burstline.pipeline.references import references
from burstline.pipeline.verdict import Verdict
from burstline.simd.vectors import MaskKind, VectorKind
from burstline.state.base import State

_PLAIN = (bool, int, float, str, bytes, type(None), Verdict, IPv4Address, IPv6Address)


class Same:
    """Equal only to the very same object, which it keeps alive."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def content(function: FunctionType, pipeline: Pipeline) -> Content:
    """A digest of the function's code, of what it names, and of the functions that it calls, and they call.

    State counts by its symbol and signature, a chain and a protocol by their numbers, plain values by what they are,
    a module and what is a global of one of burstline's own by its name, and anything else as the very object.
    """
    digest = hashlib.blake2b(digest_size=20)
    seen: list[FunctionType] = []
    objects: list[Same] = []

    def add(part: Any) -> None:
        digest.update(repr(part).encode() + b"\0")

    def look(function: FunctionType) -> None:
        seen.append(function)
        add((function.__module__, function.__qualname__, code_of(function.__code__)))
        for default in function.__defaults__ or ():
            value_of(default)
        for name, value in references(function):
            add(name)
            value_of(value, _place(function, name))

    def value_of(value: Any, place: str = "") -> None:
        if isinstance(value, State):
            add(("state", type(value).__name__, value.symbol, value.signature()))
        elif isinstance(value, Chain) and value in pipeline.chains:
            add(("chain", pipeline.chains.index(value)))
        elif isinstance(value, Branch):
            add(("branch", tuple(value.ways)))
            for way in (*value.ways.values(), value.default):
                value_of(way)
        elif isinstance(value, Protocol) and value in pipeline.protocols:
            add(("protocol", pipeline.protocols.index(value), value.name, value.fields))
        elif type(value) is tuple:
            add(("tuple", len(value)))
            for each in value:
                value_of(each)
        elif type(value) in _PLAIN:
            add((type(value).__name__, value))
        elif isinstance(value, FunctionType) and value in seen:
            add(("function", seen.index(value)))
        elif isinstance(value, FunctionType) and value not in LOWERED:
            look(value)
        elif isinstance(value, ModuleType):
            add(("module", value.__name__))
        elif isinstance(value, (VectorKind, MaskKind)):
            add(("vector", repr(value)))
        elif isinstance(value, Primitive) and value.means:
            add(("primitive", value.means))
        elif place := place or _home(value):
            add(("global", place))
        else:
            objects.append(Same(value))

    look(function)
    return Content(digest.hexdigest(), tuple(objects))


def _home(value: Any) -> str:
    """Where a function of burstline's own is."""
    module, name = getattr(value, "__module__", None) or "", getattr(value, "__qualname__", "")
    own = isinstance(value, FunctionType) and module.startswith("burstline.")
    return f"{module}:{name}" if own and getattr(sys.modules.get(module), name, None) is value else ""


def _place(function: FunctionType, name: str) -> str:
    """Where a name of a function of burstline's own leads, if it is that of a global: the source says what is there."""
    module, first = function.__module__ or "", name.partition(".")[0]
    own = module.startswith("burstline.") and function.__globals__ is getattr(sys.modules.get(module), "__dict__", None)
    return f"{module}:{name}" if own and first not in function.__code__.co_freevars else ""
