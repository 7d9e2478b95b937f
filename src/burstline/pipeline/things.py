"""What is told apart of the values in stages' code: packets, headers, records, and what globals name."""

from __future__ import annotations

from types import FunctionType
from typing import Any, NamedTuple

from burstline.state.base import State
from burstline.state.record import Record


class Ref:
    """An object that counts by its identity."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


class Thing(NamedTuple):
    """`kind` and `of`: "packet" and its level (empty, or "inner."), "header" and its name behind the level, "record"
    and a `Ref` of its state, "known" and a `Ref` of an object, "method" of a thing and its name, "ways" and a `Ref` of
    a branch, "items" of a tuple."""

    kind: str
    of: Any
    name: str = ""


Values = tuple[Thing, ...]
UNKNOWN: Values = ()
PACKET: Values = (Thing("packet", ""),)


class Touch(NamedTuple):
    """A field that is read or written: of a packet ("pkt"), of a header, or of a state object's record; written to
    something of which nothing is known ("") too. Without a name it is the header's presence, or the lookup."""

    owner: str | Ref
    field: str
    is_write: bool


class Call(NamedTuple):
    """Another function of the user's, with what its arguments are."""

    function: FunctionType
    arguments: tuple[Values, ...]


Step = Touch | Call


def both(a: Values, b: Values) -> Values:
    """What may be either."""
    return a + tuple(thing for thing in b if thing not in a)


def known(value: Any) -> Values:
    return (Thing("known", Ref(value)),)


def record_of(state: Ref) -> Values:
    """What a lookup in a state object gives."""
    return (Thing("record", state),) if record_class(state.value) else UNKNOWN


def record_class(state: State) -> type[Record] | None:
    """What a state object holds records of, if it does."""
    record = getattr(state, "record", None)
    return record if isinstance(record, type) and issubclass(record, Record) else None


def has_field(state: State, name: str) -> bool:
    """Whether its records have such a field."""
    record = record_class(state)
    return record is not None and record.layout.slot(name) is not None
