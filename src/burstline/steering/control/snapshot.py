"""What a steering policy sees: numbers at one look, and nothing that it could call.

Rates are means since the look before, in packets and bytes a second; times are in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["exact", "wildcard", "reta", "software"]  # how a flow is steered, in the order of degradation
Target = bytes | int  # a flow's key, or a bucket
LEVELS: tuple[Level, ...] = ("exact", "wildcard", "reta", "software")


@dataclass(frozen=True)
class Core:
    """A worker and its queue: the share of its time that it was busy, what it processed, and what its queue had no room
    for (0 where the device does not tell)."""

    core: int
    load: float
    packets: float
    missed: float = 0.0


@dataclass(frozen=True)
class Coarse:
    """A wildcard rule that would take a flow, and others with it: its key and the packets/s of all that it takes."""

    key: bytes
    packets: float


@dataclass(frozen=True)
class HeavyFlow:
    """A flow that the sketch reports, or that a rule holds: of these there are all, however slow.

    `packets` and `bytes` are what its core processed of it; `core` is where its packets go at this time; `age` is for
    how long it has been reported. `rule` is the level at which it is steered, None where its bucket decides; `hits` are
    the packets that the rule took since the look before.
    """

    key: bytes
    bucket: int
    packets: float
    bytes: float
    core: int
    age: float
    rule: Level | None = None
    hits: int = 0
    coarse: Coarse | None = None


@dataclass(frozen=True)
class Device:
    """What the port can do: how many rules still fit, whether buckets can move and a software director is there, how
    many updates a second are safe, how long one takes to become effective, and how many rules a flow needs (2 where
    each direction has its own)."""

    exact_room: int = 0
    wildcard_room: int = 0
    reta: bool = True
    software: bool = False
    updates: float = 1000.0
    latency: float = 0.0
    rules_a_flow: int = 1


@dataclass(frozen=True)
class Pending:
    """An action that has not become effective: its flow's key or its bucket, and where that goes."""

    target: bytes | int
    core: int


@dataclass(frozen=True)
class Failure:
    """An action that the device refused since the look before; `full` says that it was for want of room."""

    target: bytes | int
    level: Level
    message: str
    full: bool = False


@dataclass(frozen=True)
class Snapshot:
    """One look. `reta` is the core of each bucket, `rss` the one that it has when nothing is steered, and `buckets` are
    the packets/s whose hash falls into each, whether a rule takes them elsewhere or not; but those that rules of
    somebody else take elsewhere are in `fixed`, by core, as it is they that the policy cannot move."""

    time: float
    cores: tuple[Core, ...]
    reta: tuple[int, ...]
    rss: tuple[int, ...]
    buckets: tuple[float, ...]
    flows: tuple[HeavyFlow, ...]
    device: Device
    pending: tuple[Pending, ...] = ()
    failures: tuple[Failure, ...] = ()
    fixed: tuple[float, ...] = ()
