"""What a NIC may do wrong, or late: to be told to the NIC in software."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Faults:
    """Calls are counted from 0 on over the life of the device, each kind by itself. Times are in seconds of the
    device's clock."""

    latency: float = 0.0  # after a call returned, until what it changed is in force
    duration: float = 0.0  # of a call
    window: float = 0.0  # after each change of a rule, for which no rule is in force: the table is written anew
    apart: float = 0.0  # between the buckets of one update of the RETA
    refused_creates: Mapping[int, int] = field(default_factory=dict)  # with which errno
    refused_destroys: Mapping[int, int] = field(default_factory=dict)
    refused_retas: Mapping[int, int] = field(default_factory=dict)
    silent_creates: frozenset[int] = frozenset()  # said to be done, and never in force
    lost_destroys: frozenset[int] = frozenset()  # said to be done; the rule stays in force
    validates_all: bool = False  # validate accepts what create refuses
    takes_duplicates: bool = False  # a rule that is there already is no EEXIST
    capacity: int | None = None  # rules that there is room for; None: as the driver's data says


NO_FAULTS = Faults()
