"""A filter's functions over addresses, ready to be compiled. Imports Numba."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import FunctionType

from burstline.filter.chain_kernel import in_chain
from burstline.filter.program import FilterProgram
from burstline.native.memory import unsigned_divide
from burstline.native.words import be8, be16, be32
from burstline.packet.parser import LINK_ETHERNET, LINK_NULL, LINK_RAW, LINK_SLL, LINK_SLL2


def native_functions(program: FilterProgram, links: Iterable[int]) -> dict[int, FunctionType]:
    """By link layer, those for which the filter has a meaning."""
    words = {"be8": be8, "be16": be16, "be32": be32, "unsigned_divide": unsigned_divide, "in_chain": in_chain}
    return {link: program.function(link, words) for link in links if link in program.sources}


def nothing(data: int, captured: int, length: int) -> int:
    """Of a link layer for which the filter has no meaning; the run ends with an error."""
    return 0


def dispatcher(functions: dict[int, FunctionType]) -> Callable[[int, int, int, int], int]:
    """`matches(link, data, captured, length)` for packets of any link layer."""
    ethernet, raw = functions.get(LINK_ETHERNET, nothing), functions.get(LINK_RAW, nothing)
    sll, sll2, loopback = (functions.get(link, nothing) for link in (LINK_SLL, LINK_SLL2, LINK_NULL))

    def matches(link: int, data: int, captured: int, length: int) -> int:
        if link == LINK_ETHERNET:
            return ethernet(data, captured, length)
        if link == LINK_RAW:
            return raw(data, captured, length)
        if link == LINK_SLL:
            return sll(data, captured, length)
        if link == LINK_SLL2:
            return sll2(data, captured, length)
        return loopback(data, captured, length) if link == LINK_NULL else 0

    return matches
