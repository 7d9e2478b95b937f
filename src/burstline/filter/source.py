"""A filter's meaning as the text of one Python function, which runs as it is over bytes and compiled over an address.

`matches(data, captured, length)` is 1 or 0. What has been loaded on the way to a condition is not loaded again.
"""

from __future__ import annotations

from burstline.filter.predicate import (
    And,
    Arithmetic,
    Compare,
    Condition,
    Constant,
    Expression,
    Length,
    Load,
    Not,
    Number,
    Or,
    ProtocolChain,
    Register,
    Set,
)

DEEP = 24  # nested conditions; behind these, what was loaded on the way is forgotten
Known = dict[Expression, str]


def function_source(condition: Condition, name: str = "matches") -> str:
    """The text of `def name(data, captured, length)`. Needs be8, be16, be32, unsigned_divide and in_chain."""
    writer = _Writer()
    writer.condition(condition, "found", _Scope(), 1)
    registers = [f"    {register} = 0" for register in sorted(writer.registers)]
    lines = [f"def {name}(data, captured, length):", *registers, *writer.lines, "    return 1 if found else 0"]
    return "\n".join(lines) + "\n"


class _Scope:
    """What is known where a line stands: the loads in variables, and how many bytes there are at least."""

    def __init__(self, known: Known | None = None, captured: int = 0) -> None:
        self.known: Known = dict(known or {})
        self.captured = captured

    def inner(self) -> _Scope:
        return _Scope(self.known, self.captured)


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.registers: set[str] = set()
        self.count = 0

    def line(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def variable(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def condition(self, of: Condition, to: str, scope: _Scope, depth: int) -> None:
        """Lines that set the variable `to`."""
        if isinstance(of, Constant):
            self.line(depth, f"{to} = {of.value}")
        elif isinstance(of, Compare):
            left = self.value(of.left, scope, depth)
            right = self.value(of.right, scope, depth)
            self.line(depth, f"{to} = {left} {of.operator} {right}")
        elif isinstance(of, Not):
            self.condition(of.of, to, scope, depth)
            self.line(depth, f"{to} = not {to}")
        elif isinstance(of, Set):
            self.line(depth, f"{of.name} = {self.value(of.value, scope, depth)}")
            self.registers.add(of.name)
            scope.known.clear()
            self.line(depth, f"{to} = True")
        elif isinstance(of, ProtocolChain):
            found = self.variable()
            self.line(depth, f"{found} = in_chain(data, captured, {of.version}, {of.start}, {of.protocol})")
            self.line(depth, f"if {found} < 0:")
            self.line(depth + 1, "return 0")
            self.line(depth, f"{to} = {found} > 0")
        else:
            self.joined(of, to, scope, depth)

    def joined(self, of: And | Or, to: str, scope: _Scope, depth: int) -> None:
        kind = type(of)
        first, *rest = _flat(of, kind)
        self.condition(first, to, scope, depth)
        inner, level = scope, depth
        for each in rest:
            self.line(level, f"if {to}:" if kind is And else f"if not {to}:")
            level += 1
            inner = inner.inner()
            self.condition(each, to, inner, level)
            if level - depth >= DEEP:
                inner, level = scope, depth
        if any(isinstance(part, Set) for part in _parts(of)):
            scope.known.clear()

    def value(self, of: Expression, scope: _Scope, depth: int) -> str:
        """An expression's text; what may reject the packet is worked out in lines before."""
        if isinstance(of, Number):
            return str(of.value)
        if isinstance(of, Length):
            return "length"
        if isinstance(of, Register):
            self.registers.add(of.name)
            return of.name
        if of in scope.known:
            return scope.known[of]
        text = self.load(of, scope, depth) if isinstance(of, Load) else self.arithmetic(of, scope, depth)
        name = scope.known[of] = self.variable()
        self.line(depth, f"{name} = {text}")
        return name

    def load(self, of: Load, scope: _Scope, depth: int) -> str:
        if of.index is None or isinstance(of.index, Number):
            at = of.constant + (of.index.value if of.index else 0)
            where, end = str(at), str(at + of.size)
            if at + of.size > scope.captured:
                self.line(depth, f"if captured < {end}:")
                self.line(depth + 1, "return 0")
                scope.captured = at + of.size
        else:
            where = f"{self.value(of.index, scope, depth)} + {of.constant}"
            self.line(depth, f"if captured < {where} + {of.size}:")
            self.line(depth + 1, "return 0")
        return f"be{8 * of.size}(data, {where})"

    def arithmetic(self, of: Arithmetic, scope: _Scope, depth: int) -> str:
        left, right = self.value(of.left, scope, depth), self.value(of.right, scope, depth)
        if of.operator in "/%":
            self.line(depth, f"if {right} == 0:")
            self.line(depth + 1, "return 0")
            quotient = f"unsigned_divide({left}, {right})"
            return quotient if of.operator == "/" else f"{left} - {quotient} * {right}"
        if of.operator == "<<":
            return f"({left} << ({right} & 31) & 0xFFFFFFFF if {right} < 32 else 0)"
        if of.operator == ">>":
            return f"({left} >> ({right} & 31) if {right} < 32 else 0)"
        wraps = of.operator in "+-*"
        return f"({left} {of.operator} {right}) & 0xFFFFFFFF" if wraps else f"{left} {of.operator} {right}"


def _flat(of: Condition, kind: type[And] | type[Or]) -> list[Condition]:
    """`a and b and c`, however it is nested, as a list."""
    found: list[Condition] = []
    waiting = [of]
    while waiting:
        each = waiting.pop()
        if isinstance(each, kind):
            waiting += [each.second, each.first]
        else:
            found.append(each)
    return found


def _parts(of: Condition) -> list[Condition]:
    waiting, found = [of], []
    while waiting:
        each = waiting.pop()
        found.append(each)
        if isinstance(each, Not):
            waiting.append(each.of)
        elif isinstance(each, (And, Or)):
            waiting += [each.first, each.second]
    return found
