"""What a function's body refers to outside of itself: found in its code, without running it."""

from __future__ import annotations

import dis
import functools
from collections.abc import Iterator
from contextlib import suppress
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

_MISSING = object()


def references(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Pairs of dotted name and object for each global, free variable and module attribute, in order of appearance."""
    space, cells = function.__globals__, dict(_closed_over(function))
    for path in _paths(function.__code__):
        name, value = path[0], cells.get(path[0], space.get(path[0], _MISSING))
        if value is _MISSING:
            continue
        yield name, value
        for attribute in path[1:]:
            value = getattr(value, attribute, _MISSING) if isinstance(value, ModuleType) else _MISSING
            if value is _MISSING:
                break
            name = f"{name}.{attribute}"
            yield name, value


def _closed_over(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # an empty cell: the name is assigned later, or never
            yield name, cell.cell_contents


@functools.lru_cache(maxsize=1024)
def _paths(code: CodeType) -> tuple[tuple[str, ...], ...]:
    """For each global or free variable that is loaded: its name, and the attributes taken of it one after another."""
    found: list[tuple[str, ...]] = []
    going = False
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF"):
            found.append((str(instruction.argval),))
            going = True
        elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD") and going:
            found[-1] += (str(instruction.argval),)
        elif instruction.opname not in ("PRECALL", "CACHE", "PUSH_NULL", "NOP"):
            going = False
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found += _paths(constant)
    return tuple(found)


class Position(NamedTuple):
    """A piece of a line: columns count characters from 0, `end` is the first one behind it."""

    line: int
    column: int
    end: int


def constants(function: FunctionType) -> Iterator[tuple[Any, Position]]:
    """The constants that the code loads, those included that Python worked out itself, with their places."""
    for instruction in dis.get_instructions(function.__code__):
        if instruction.opname == "LOAD_CONST":
            at = instruction.positions
            line = (at and at.lineno) or function.__code__.co_firstlineno
            start = (at and at.col_offset) or 0
            end = at.end_col_offset if at and at.end_lineno == line else None
            yield instruction.argval, Position(line, start, end or start + 1)
