"""Passes of our own over Numba's IR of a user's function: what Numba would let through, and plain Python would not.

A name without a value, a value that a field does not take, a shift by a negative number: compiled, each would go on
with some other value. The first two are refused; shifts become calls that behave as Python's.
"""

from __future__ import annotations

import operator
from abc import abstractmethod
from typing import Any

from numba.core import ir, types
from numba.core.compiler_machinery import FunctionPass, register_pass

from burstline.native.address_type import IPV4, IPV6
from burstline.native.bytes_type import BYTES
from burstline.native.shift import python_lshift, python_rshift

OWN = "burstline."
SHIFTS = {
    operator.lshift: python_lshift,
    operator.ilshift: python_lshift,
    operator.rshift: python_rshift,
    operator.irshift: python_rshift,
}


class Refused(Exception):
    """A finding with its place: the line, and the name in it that is meant, if there is one."""

    def __init__(self, problem: str, hint: str, line: int, name: str = "") -> None:
        super().__init__(problem)
        self.problem, self.hint, self.line, self.name = problem, hint, line, name


class UserPass(FunctionPass):  # type: ignore[misc]
    """A pass over the functions of users only: the engine's own mean what LLVM makes of them."""

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        is_own = (state.func_id.func.__module__ or "").startswith(OWN)
        return False if is_own else self.run_users(state)

    @abstractmethod
    def run_users(self, state: Any) -> bool:
        """Returns whether it changed something."""


@register_pass(mutates_CFG=False, analysis_only=True)
class NamesHaveValues(UserPass):
    """Every name has a value on every way to where it is used: a must-analysis over the control-flow graph."""

    _name = "burstline_names_have_values"

    def run_users(self, state: Any) -> bool:
        blocks = state.func_ir.blocks
        graph = _graph(blocks)
        at_start: dict[int, set[str] | None] = {label: None for label in blocks}  # None: no way there seen yet
        first = min(blocks)
        at_start[first] = set()
        waiting = [first]
        while waiting:
            label = waiting.pop()
            known = at_start[label]
            assert known is not None
            after = known | {s.target.name for s in blocks[label].body if isinstance(s, ir.Assign)}
            for following in graph[label]:
                before = at_start[following]
                merged = after if before is None else before & after
                if merged != before:
                    at_start[following] = merged
                    waiting.append(following)
        for label in sorted(blocks):
            if (defined := at_start[label]) is not None:
                _check(blocks[label], set(defined))
        return False


def _graph(blocks: dict[int, Any]) -> dict[int, list[int]]:
    return {label: list(block.terminator.get_targets()) for label, block in blocks.items()}


def _check(block: Any, defined: set[str]) -> None:
    for statement in block.body:
        for variable in _read_by(statement):
            if variable.name not in defined and not variable.name.startswith("$"):
                raise Refused(
                    f"{variable.name!r} may have no value here",
                    f"give it one on every path, e.g. `{variable.name} = 0` before the `if` or the loop",
                    statement.loc.line,
                    variable.name,
                )
        if isinstance(statement, ir.Assign):
            defined.add(statement.target.name)


def _read_by(statement: Any) -> list[Any]:
    if isinstance(statement, ir.Assign):
        value = statement.value
        return [value] if isinstance(value, ir.Var) else value.list_vars() if isinstance(value, ir.Expr) else []
    return [] if isinstance(statement, ir.Del) else list(statement.list_vars())


@register_pass(mutates_CFG=False, analysis_only=False)
class SafeShifts(UserPass):
    """`<<` and `>>` by anything but a small constant, which LLVM leaves undefined."""

    _name = "burstline_safe_shifts"

    def run_users(self, state: Any) -> bool:
        changed = False
        for block in state.func_ir.blocks.values():
            for statement in block.body:
                value = getattr(statement, "value", None)
                if not isinstance(value, ir.Expr) or value.op not in ("binop", "inplace_binop"):
                    continue
                if value.fn in SHIFTS and not _is_small(state.func_ir, value.rhs):
                    statement.value = _binary(SHIFTS[value.fn], value)
                    changed = True
        return changed


def _binary(function: Any, old: Any) -> Any:
    """`ir.Expr.binop` insists on a function of the operator module."""
    none = ir.UNDEFINED
    return ir.Expr("binop", old.loc, fn=function, lhs=old.lhs, rhs=old.rhs, static_lhs=none, static_rhs=none)


def _is_small(func_ir: Any, variable: Any) -> bool:
    found = func_ir._definitions[variable.name]
    if len(found) != 1 or not isinstance(found[0], (ir.Const, ir.Global, ir.FreeVar)):
        return False
    return type(found[0].value) is int and 0 <= found[0].value < 64


@register_pass(mutates_CFG=False, analysis_only=True)
class FieldsTakeValues(UserPass):
    """An assignment to a field converts nothing but numbers that fit: Numba would cut a fraction off silently."""

    _name = "burstline_fields_take_values"

    def run_users(self, state: Any) -> bool:
        for block in state.func_ir.blocks.values():
            for statement in block.find_insts(ir.SetAttr):
                expected = state.calltypes[statement].args[1]
                given = state.typemap[statement.value.name]
                if not takes(expected, given):
                    raise Refused(
                        f"`{statement.attr}` takes {_WANTED.get(expected, expected)}, not {{{given}}}",
                        "write `int(...)` to cut off a fraction" if isinstance(given, types.Float) else
                        "assign a value of that type",
                        statement.loc.line,
                        statement.attr,
                    )  # fmt: skip
        return False


_WANTED = {
    types.int64: "an integer",
    types.boolean: "true or false",
    types.float64: "a number",
    IPV4: "an IPv4 address or an integer",
    IPV6: "an IPv6 address",
    BYTES: "bytes",
}


def takes(expected: types.Type, given: types.Type) -> bool:
    """A field of type `expected` may be assigned a value of type `given`."""
    if isinstance(given, types.Optional):  # type: ignore[attr-defined]
        given = given.type
    is_integer = isinstance(given, (types.Integer, types.Boolean, types.IntEnumMember))
    if expected in (types.int64, types.boolean):
        return is_integer
    if expected == types.float64:
        return is_integer or isinstance(given, types.Float)
    if expected == IPV4:
        return given == IPV4 or isinstance(given, types.Integer)
    if expected == BYTES:
        return given == BYTES or isinstance(given, types.Bytes)  # type: ignore[attr-defined]
    return bool(given == expected)
