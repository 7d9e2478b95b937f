"""What a pipeline's compiled code depends on, told apart without importing the compiler."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from types import FunctionType
from typing import Any

from burstline.native.cache import code_of
from burstline.packet.protocol import Protocol
from burstline.pipeline.branch import Branch
from burstline.pipeline.pipeline import Chain, Pipeline, reachable
from burstline.pipeline.references import references
from burstline.pipeline.stage import Stage
from burstline.pipeline.verdict import Verdict
from burstline.state.base import State

_PLAIN = (bool, int, float, str, bytes, tuple, type(None), Verdict, IPv4Address, IPv6Address)


def fingerprint(pipeline: Pipeline) -> Iterator[Any]:
    """Parts for `native.cache.key_of`: the graph, each function's code, and every value that it names."""
    chains, state = pipeline.chains, pipeline.state
    numbers = {id(s): k for k, s in enumerate(state)}
    for chain in chains:
        yield tuple((type(stage).__name__, stage.name) for stage in chain.stages)
        for stage in chain.stages:
            yield from code_fingerprint(stage.function, numbers, chains)
    for protocol in pipeline.protocols:
        yield protocol.name, repr(protocol.fields), protocol.table, protocol.key
        yield from code_fingerprint(protocol.function, numbers, chains)
    for each in state:
        yield type(each).__name__, each.signature()


def code_fingerprint(
    function: FunctionType, numbers: Mapping[int, int] | None = None, chains: Sequence[Chain] | None = None
) -> Iterator[Any]:
    """The code of a function and of those that it calls, and every value that they name. State counts by its number in
    `numbers`, chains by their places in `chains`; where these are not given, state by its kind and signature, chains by
    their names."""
    for each in reachable(function):
        yield each.__qualname__, code_of(each.__code__), each.__defaults__
        for name, value in references(each):
            yield name, _value(value, numbers, chains)


def _value(value: Any, numbers: Mapping[int, int] | None, chains: Sequence[Chain] | None) -> Any:
    if isinstance(value, State):
        if numbers is None:
            return type(value).__name__, value.signature()
        return "state", numbers.get(id(value), -1)  # a protocol may name another, and is refused
    if isinstance(value, Chain):
        return "chain", chains.index(value) if chains is not None else value.name
    if isinstance(value, _PLAIN):
        return type(value).__name__, value
    if isinstance(value, Branch):
        ways = (*value.ways.items(), ("default", value.default))
        return "branch", tuple((key, _value(way, numbers, chains)) for key, way in ways)
    if isinstance(value, Protocol):
        return "protocol", value.name
    if isinstance(value, (FunctionType, Stage)):
        return "function", getattr(value, "__qualname__", "")
    return type(value).__name__, getattr(value, "__name__", "")
