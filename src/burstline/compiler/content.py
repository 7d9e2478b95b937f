"""What a function's compiled code depends on: two functions of the same content are compiled once in a process."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address, IPv6Address
from types import FunctionType
from typing import Any

from burstline.native.cache import code_of
from burstline.native.memory import LOWERED
from burstline.packet.protocol import Protocol
from burstline.pipeline.branch import Branch
from burstline.pipeline.pipeline import Chain, Pipeline
from burstline.pipeline.references import references
from burstline.pipeline.verdict import Verdict
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


def content(function: FunctionType, pipeline: Pipeline) -> tuple[str, tuple[Same, ...]]:
    """A digest of the function's code, of what it names, and of the functions that it calls, and they call.

    State counts by its symbol and signature, a chain and a protocol by their numbers, plain values by what they are,
    and anything else as the very object.
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
            value_of(value)

    def value_of(value: Any) -> None:
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
        else:
            objects.append(Same(value))

    look(function)
    return digest.hexdigest(), tuple(objects)
