"""What a filter means: a tree of conditions over loads from the packet. One is worked out after the other, and a load
outside of the captured bytes rejects the packet, whatever stands around it (as in BPF, McCanne and Jacobson, 1993).
All numbers have 32 bits, unsigned, and wrap."""

from __future__ import annotations

from dataclasses import dataclass

WORD = 0xFFFF_FFFF


@dataclass(frozen=True)
class Number:
    value: int


@dataclass(frozen=True)
class Length:
    """Of the packet on the wire."""


@dataclass(frozen=True)
class Register:
    """A number that another condition has set before; 0 when it has not been come to."""

    name: str


@dataclass(frozen=True)
class Load:
    """`size` bytes (1, 2 or 4), big-endian, at `constant` + `index`."""

    size: int
    constant: int
    index: Expression | None = None


@dataclass(frozen=True)
class Arithmetic:
    """`operator` is one of + - * / % & | ^ << >>. Division by zero rejects the packet."""

    operator: str
    left: Expression
    right: Expression


Expression = Number | Length | Register | Load | Arithmetic


@dataclass(frozen=True)
class Compare:
    """`operator` is one of == != > >= < <=."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Constant:
    value: bool


@dataclass(frozen=True)
class Not:
    of: Condition


@dataclass(frozen=True)
class And:
    """The second is come to when the first is true."""

    first: Condition
    second: Condition


@dataclass(frozen=True)
class Or:
    """The second is come to when the first is false."""

    first: Condition
    second: Condition


@dataclass(frozen=True)
class Set:
    """Sets a register; always true."""

    name: str
    value: Expression


@dataclass(frozen=True)
class ProtocolChain:
    """Whether a protocol is in the chain of headers: `version` 4 or 6, the IP header at `start`."""

    version: int
    start: int
    protocol: int


Condition = Compare | Constant | Not | And | Or | Set | ProtocolChain


def both(first: Condition | None, second: Condition) -> Condition:
    return second if first is None else And(first, second)


def every(*conditions: Condition) -> Condition:
    result = conditions[0]
    for condition in conditions[1:]:
        result = And(result, condition)
    return result


def either(*conditions: Condition) -> Condition:
    result = conditions[0]
    for condition in conditions[1:]:
        result = Or(result, condition)
    return result


def masked(value: Expression, mask: int) -> Expression:
    return value if mask == WORD else Arithmetic("&", value, Number(mask))


def equal(value: Expression, number: int, mask: int = WORD) -> Condition:
    return Compare("==", masked(value, mask), Number(number & WORD))
