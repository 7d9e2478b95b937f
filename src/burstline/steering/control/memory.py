"""What the controller knows from looks before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from burstline.steering.control.budget import Budget
from burstline.steering.control.ledger import Ledger
from burstline.steering.control.snapshot import Level, Target
from burstline.steering.control.trial import UNKNOWN, Made, Trial


def _none() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Memory:
    """`looks` counts snapshots; `moved` is the look at which something was moved last, `hit` the time at which a rule
    was last of use; `refused` says of targets until when they are left alone, and how often they failed in a row,
    `full` the same of levels. `worse` are looks in a row at which plain RSS would have done better."""

    looks: int = 0
    since: float | None = None
    capacity: float = 0.0  # packets/s of a core
    trial: Trial | None = None
    made: Made | None = None
    noise: float = UNKNOWN  # the variance of what trials gain, in cores squared
    budget: Budget = field(default_factory=Budget)
    ledger: Ledger = field(default_factory=Ledger)
    moved: Mapping[Target, int] = field(default_factory=_none)
    hit: Mapping[bytes, float] = field(default_factory=_none)
    refused: Mapping[Target, tuple[float, int]] = field(default_factory=_none)
    full: Mapping[Level, float] = field(default_factory=_none)
    dedicated: Mapping[int, tuple[bytes, ...]] = field(default_factory=_none)
    paths: Mapping[bytes, str] = field(default_factory=_none)
    new_core: int | None = None
    worse: int = 0
    useless_since: float | None = None
    rolling: bool = False
