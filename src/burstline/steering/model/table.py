"""What is in force in the NIC in software at a moment, what it decides over a packet, and what its rules count."""

from __future__ import annotations

from dataclasses import dataclass

from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.state.region import Block
from burstline.steering.hardware.actions import Action
from burstline.steering.hardware.flow_device import FlowRule
from burstline.steering.hardware.items import Item

PORTS_HASHED = frozenset({"TCP", "UDP", "SCTP"})


class Counted(Struct):
    """What a rule with COUNT has matched: plain Python and compiled code write it."""

    packets: i64
    bytes: i64


class HeldRule:
    """A rule as the driver knows it. It may be in force for longer, where its destruction was lost."""

    def __init__(self, rule: FlowRule) -> None:
        self.rule = rule
        counts = any(action.kind == "COUNT" for action in rule.actions)
        self.counter = Block(Counted.layout) if counts else None

    def __repr__(self) -> str:
        return repr(self.rule)

    def count(self, size: int) -> None:
        if self.counter is not None:
            self.counter.set(packets=self.counter.get("packets") + 1, bytes=self.counter.get("bytes") + size)


@dataclass(frozen=True)
class Entry:
    """A rule in force."""

    handle: int
    items: tuple[Item, ...]
    actions: tuple[Action, ...]
    held: HeldRule


@dataclass(frozen=True)
class Table:
    """All that decides over packets at a moment, for who compiles it: `version` is another whenever it changed."""

    version: int
    entries: tuple[Entry, ...]  # the first that matches decides
    reta: tuple[int, ...]
    key: bytes
    hashed: frozenset[str]  # protocols whose ports are part of the hash
    isolated: bool


@dataclass(frozen=True)
class Decision:
    """What becomes of a packet: its queue, or None: it is dropped. `handle`: of the rule, or 0."""

    queue: int | None
    mark: int | None = None
    handle: int = 0
    hash: int = 0
