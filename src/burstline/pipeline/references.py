"""What a function's body refers to outside of itself: found in its code, without running it."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

_MISSING = object()


def references(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Pairs of dotted name and object for each global, free variable and module attribute, in order of appearance."""
    if function.__closure__:
        for name, cell in zip(function.__code__.co_freevars, function.__closure__, strict=True):
            try:
                yield name, cell.cell_contents
            except ValueError:  # an empty cell: the name is assigned later, or never
                continue
    yield from _in_code(function.__code__, function.__globals__)


def _in_code(code: CodeType, space: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    current: Any = _MISSING
    name = ""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            name = str(instruction.argval)
            current = space.get(name, _MISSING)
            if current is not _MISSING:
                yield name, current
        elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD") and isinstance(current, ModuleType):
            name = f"{name}.{instruction.argval}"
            current = getattr(current, str(instruction.argval), _MISSING)
            if current is not _MISSING:
                yield name, current
        elif instruction.opname not in ("PRECALL", "CACHE", "PUSH_NULL", "NOP"):
            current = _MISSING
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _in_code(constant, space)


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
