"""What a steering policy says: values, each with the numbers that decided it, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from burstline.steering.control.snapshot import Level


@dataclass(frozen=True)
class Place:
    """Packets of this flow go to `core`, by a rule of this level; with `rule_key` where that is not the flow's own."""

    key: bytes
    core: int
    level: Level
    reason: str
    rule_key: bytes | None = None


@dataclass(frozen=True)
class Release:
    """The rule of this flow goes: its bucket decides again."""

    key: bytes
    reason: str


@dataclass(frozen=True)
class MoveBucket:
    """A bucket of the RETA goes to `core`."""

    bucket: int
    core: int
    reason: str


@dataclass(frozen=True)
class Dedicate:
    """From now on `core` is for these flows alone. Buckets leave it by actions of their own."""

    core: int
    keys: tuple[bytes, ...]
    reason: str


@dataclass(frozen=True)
class Undedicate:
    """`core` is one like the others again."""

    core: int
    reason: str


@dataclass(frozen=True)
class Path:
    """Which way packets of a flow go at their core: `fast` skips the lookup, `bypass` has the device drop or forward
    them without a core; `normal` ends both."""

    key: bytes
    path: Literal["fast", "bypass", "normal"]
    reason: str


@dataclass(frozen=True)
class NewFlows:
    """Connections that begin from now on, where somebody can choose for them, go to `core`."""

    core: int
    reason: str


@dataclass(frozen=True)
class RollBack:
    """All rules go and the RETA is as plain RSS has it. Where the budget does not allow that at once, `at_once` is
    false and the releases and moves follow, look by look."""

    at_once: bool
    reason: str


Action = Place | Release | MoveBucket | Dedicate | Undedicate | Path | NewFlows | RollBack
