"""Settings as frozen dataclasses: what each key may hold, and a reader that refuses the rest with its line in the file.

A section is a dataclass whose fields are made by `key`, `required`, `section` or `sections`; nothing else is needed to
read it. A section may define `conflict()`, which names the key that makes no sense beside the others, and why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from itertools import pairwise
from typing import Any, TypeVar

from burstline.errors import UsageError

T = TypeVar("T")
Place = tuple[str | int, ...]  # where a value lies in the file: ("ports", 1, "queues")


@dataclass(frozen=True)
class Rule:
    """What a key may hold: `allowed` completes "must be ...", `refused` tells why a value is not to be had."""

    allowed: str
    accepts: Callable[[Any], bool]
    refused: Mapping[Any, str] = field(default_factory=dict)


def integer(low: int, high: int | None = None) -> Rule:
    """A whole number from `low` to `high`, both included."""
    allowed = f"a whole number from {low} to {high}" if high is not None else f"a whole number, at least {low}"
    # bool is an int in Python, but `workers = true` is a mistake.
    return Rule(allowed, lambda v: type(v) is int and v >= low and (high is None or v <= high))


def number(low: float, high: float) -> Rule:
    """A number from `low` to `high`, both included."""
    return Rule(
        f"a number from {low:g} to {high:g}",
        lambda v: type(v) in (int, float) and math.isfinite(v) and low <= v <= high,
    )


def multiple(of: int, low: int, high: int) -> Rule:
    """A multiple of `of` from `low` to `high`."""
    return Rule(
        f"a multiple of {of} from {low} to {high}", lambda v: type(v) is int and low <= v <= high and v % of == 0
    )


def seconds(off: bool = False, zero: bool = False) -> Rule:
    """A finite number of seconds above zero; with `off`, false too; with `zero`, 0 too."""
    return Rule(
        f"a number of seconds{', at least 0' if zero else ' above 0'}{', or false' if off else ''}",
        lambda v: (
            (type(v) in (int, float) and math.isfinite(v) and (v > 0 or (zero and v == 0))) or (off and v is False)
        ),
    )


def boolean(refused: Mapping[Any, str] | None = None) -> Rule:
    """True or false."""
    return Rule("true or false", lambda v: type(v) is bool, refused or {})


def one_of(*choices: str | bool) -> Rule:
    """One of a few words; true and false may be among them."""
    shown = [spelled(choice) for choice in choices]
    allowed = f"{', '.join(shown[:-1])} or {shown[-1]}"
    return Rule(allowed, lambda v: any(type(v) is type(choice) and v == choice for choice in choices))


def either(*rules: Rule) -> Rule:
    """What one of several rules accepts."""
    return Rule(", or ".join(rule.allowed for rule in rules), lambda v: any(rule.accepts(v) for rule in rules))


def text(allowed: str = "a text", starts: str = "") -> Rule:
    """A text that is not empty and starts with `starts`."""
    return Rule(allowed, lambda v: isinstance(v, str) and len(v) > len(starts) and v.startswith(starts))


def many(rule: Rule, allowed: str, distinct: bool = False, rising: bool = False) -> Rule:
    """A list of values that each follow `rule`; a `rising` one is not empty, and each is more than the one before."""

    def accepts(value: Any) -> bool:
        return (
            isinstance(value, list | tuple)
            and all(rule.accepts(item) for item in value)
            and (not distinct or len(set(value)) == len(value))
            and (not rising or (bool(value) and all(a < b for a, b in pairwise(value))))
        )

    return Rule(allowed, accepts)


def key(default: T, rule: Rule) -> T:
    """A key of a section, with what holds when it is left out."""
    return field(default=default, metadata={"rule": rule})


def required(rule: Rule) -> Mapping[str, Rule]:
    """The metadata of a key that must be given: `name: str = field(metadata=required(rule))`."""
    return {"rule": rule}


def section(kind: type[T]) -> T:
    """A `[name]` of the file."""
    return field(default_factory=kind, metadata={"section": kind})


def sections(kind: type[T]) -> tuple[T, ...]:
    """A `[[name]]` of the file, which may be given any number of times."""
    return field(default=(), metadata={"sections": kind})


@dataclass(frozen=True)
class Conflict:
    """A value that its own rule allows, but the others contradict; `key` is a path into a list of sections."""

    key: str | Place
    message: str
    hint: str


def spelled(value: object) -> str:
    """A value as TOML spells it, near enough for a message."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(spelled(item) for item in value)}]"
    return f"a section ({', '.join(value)})" if isinstance(value, dict) else str(value)


def named(path: Place) -> str:
    """`("ports", 1, "queues")` as a reader of the file knows it: `[[ports]] 2, queues`."""
    head = path[:-1]
    if not head:
        return str(path[0])
    number = f" {head[1] + 1}," if len(head) > 1 and isinstance(head[1], int) else ""
    inner = "".join(f"{step}." for step in head[2 if number else 1 :])
    return (f"[[{head[0]}]]" if number else f"[{head[0]}]") + f"{number} {inner}{path[-1]}"


def line_of(source: str, path: Place) -> int | None:
    """The line (from 1) on which the statement that sets `path` starts; None when nothing sets it.

    Found by reading ever more lines of the file: tomllib keeps no positions, but knows every way to spell a key.
    """
    import tomllib

    lines = source.split("\n")
    start = 1
    for count in range(1, len(lines) + 1):
        try:
            found: Any = tomllib.loads("\n".join(lines[:count]) + "\n")
        except tomllib.TOMLDecodeError:
            continue  # in the middle of a value of several lines
        try:
            for step in path:
                found = found[step]
        except (KeyError, IndexError, TypeError):
            start = count + 1
        else:
            return start
    return None


@dataclass(frozen=True)
class Reader:
    """Reads the tables of one file into dataclasses; each mistake is a `UsageError` that begins with file and line."""

    root: type[Any]
    name: str
    source: str

    def error(self, path: Place, message: str, hint: str) -> UsageError:
        line = line_of(self.source, path) if path else None
        return UsageError(f"{self.name}:{line}: {message}" if line else f"{self.name}: {message}", hint)

    def read(self, kind: type[T], table: Mapping[str, Any], path: Place = ()) -> T:
        """An instance of the dataclass `kind`, from a table that lies at `path` in the file."""
        known = keys(kind)
        for name in table:
            if name not in known:
                raise self._unknown(name, list(known), path)
        values = {name: self._value(known[name], value, (*path, name)) for name, value in table.items()}
        for name, made in known.items():
            if name not in values and "rule" in made.metadata and is_required(made):
                where = named((*path, name))
                raise self.error(path, f"{where} is missing", f"it must be {made.metadata['rule'].allowed}")
        result = kind(**values)
        conflict = conflict_in(result)
        if conflict:
            at = (*path, *(conflict.key if isinstance(conflict.key, tuple) else (conflict.key,)))
            raise self.error(at, f"{named(at)} {conflict.message}", conflict.hint)
        return result

    def _value(self, made: Field[Any], value: Any, path: Place) -> Any:
        name = path[-1]
        if "section" in made.metadata:
            if not isinstance(value, dict):
                raise self.error(path, f"{name} is a section, given once", f"write its keys below a line [{name}]")
            return self.read(made.metadata["section"], value, path)
        if "sections" in made.metadata:
            if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
                raise self.error(path, f"{name} is a list of sections", f"begin each one with a line [[{name}]]")
            return tuple(self.read(made.metadata["sections"], item, (*path, k)) for k, item in enumerate(value))
        return checked(made.metadata["rule"], value, lambda *problem: self.error(path, *problem), named(path))

    def _unknown(self, name: str, known: list[str], path: Place) -> UsageError:
        import difflib

        here = named((*path, "")).rstrip(" ,") if path else "the top level"
        close = difflib.get_close_matches(name, known, 1)
        elsewhere = {k: place for place, names in _places(self.root, path) for k in names}
        far = [name] if name in elsewhere else difflib.get_close_matches(name, list(elsewhere), 1, 0.8)
        if far and (far == [name] or not close):
            hint = f"did you mean '{far[0]}' {elsewhere[far[0]]}?"
        else:
            hint = (f"did you mean '{close[0]}'? " if close else "") + f"{here} takes {', '.join(known)}"
        return self.error((*path, name), f"{here} has no key '{name}'" if path else f"no section or key '{name}'", hint)


def keys(kind: type[Any]) -> dict[str, Field[Any]]:
    """The keys and sections that the dataclass `kind` reads, by name."""
    assert is_dataclass(kind)
    return {made.name: made for made in fields(kind) if made.metadata}


def is_required(made: Field[Any]) -> bool:
    return made.default is MISSING and made.default_factory is MISSING


def checked(rule: Rule, value: Any, error: Callable[[str, str], UsageError], name: str) -> Any:
    """The value as a dataclass holds it (lists become tuples), or what `error` makes of message and hint."""
    if not rule.accepts(value):
        raise error(f"{name} is {spelled(value)}, but must be {rule.allowed}", "change the value, or leave the key out")
    if not isinstance(value, list | tuple) and value in rule.refused:
        raise error(f"{name} = {spelled(value)}: {rule.refused[value]}", "leave the key out")
    return tuple(value) if isinstance(value, list) else value


def conflict_in(settings: object) -> Conflict | None:
    find: Callable[[], Conflict | None] = getattr(settings, "conflict", lambda: None)
    return find()


def _places(root: type[Any], but: Place) -> list[tuple[str, list[str]]]:
    """Every place of the file except the one at `but`, and the keys that it takes."""
    places = [("above the first section", list(keys(root)))] if but else []
    for name, made in keys(root).items():
        kind = made.metadata.get("section") or made.metadata.get("sections")
        if kind and but[:1] != (name,):
            places.append((f"in {f'[{name}]' if 'section' in made.metadata else f'[[{name}]]'}", list(keys(kind))))
    return places
