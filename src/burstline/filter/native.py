"""A filter's functions over addresses, ready to be compiled. Imports Numba."""

from __future__ import annotations

from collections.abc import Iterable
from types import FunctionType

from burstline.filter.chain_kernel import in_chain
from burstline.filter.program import FilterProgram
from burstline.native.memory import unsigned_divide
from burstline.native.words import be8, be16, be32


def native_functions(program: FilterProgram, links: Iterable[int]) -> dict[int, FunctionType]:
    """By link layer, those for which the filter has a meaning."""
    words = {"be8": be8, "be16": be16, "be32": be32, "unsigned_divide": unsigned_divide, "in_chain": in_chain}
    return {link: program.function(link, words) for link in links if link in program.sources}
