"""A filter for all link layers: read, turned into Python, and ready to run or to be compiled."""

from __future__ import annotations

import linecache
from collections.abc import Callable
from functools import cached_property
from types import FunctionType
from typing import Any

from burstline.filter.chain_kernel import in_chain
from burstline.filter.grammar import meaning
from burstline.filter.layers import LINK_NAMES, PPP
from burstline.filter.problem import FilterError
from burstline.filter.source import function_source
from burstline.native.words import be8, be16, be32

Matches = Callable[[Any, int, int], int]
LINKS = tuple(link for link in LINK_NAMES if link != PPP)


class FilterProgram:
    """`matches(link)` decides about packets of a link layer by `(data, captured bytes, length on the wire)`.

    Raises `FilterError` when the expression has no meaning for any link layer.
    """

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.problems: dict[int, FilterError] = {}  # link layers for which it has no meaning
        self.sources: dict[int, str] = {}
        for link in LINKS:
            try:
                self.sources[link] = function_source(meaning(expression, link), f"matches_{link}")
            except FilterError as problem:
                self.problems[link] = problem
        if not self.sources:
            raise next(iter(self.problems.values()))

    def function(self, link: int, words: dict[str, Any]) -> FunctionType:
        """`matches` of a link layer, over these meanings of be8, be16, be32, unsigned_divide and in_chain."""
        space = {"__name__": __name__, **words}
        name = f"<filter {self.expression!r} on link layer {link}>"
        source = self.sources[link]
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        exec(compile(source, name, "exec"), space)
        made: FunctionType = space[f"matches_{link}"]
        return made

    @cached_property
    def interpreted(self) -> dict[int, Matches]:
        """For plain Python: `data` is a memoryview or bytes. What is not there matches nothing."""
        words = {"be8": be8, "be16": be16, "be32": be32, "unsigned_divide": _divide, "in_chain": in_chain}
        return {link: self.function(link, words) for link in self.sources}


def _divide(value: int, by: int) -> int:
    return value // by
