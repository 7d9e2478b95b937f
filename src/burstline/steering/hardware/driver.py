"""What a driver's rte_flow can do, as recorded from its source in `drivers/*.toml`.

Validation is no guide: drivers accept what `rte_flow_create` then refuses (net_tap accepts all on a kernel without
flower), or what does something else. So each entry has what was read in the driver, with the lines that say so, and
claims no more. Files are those of DPDK 22.11.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from burstline.offload.planning.capabilities import ALIASES

RECORDED = Path(__file__).parent / "drivers"
How = Literal["mask", "full", "range", "spec"]


@dataclass(frozen=True)
class Quirk:
    """What else to know."""

    what: str
    source: str


@dataclass(frozen=True)
class HardwareDriver:
    """Items, fields and actions are named as in `items.LAYOUTS` and by rte_flow; what is not there, it cannot."""

    driver: str
    rules: bool = False
    # Of each item its fields, and how they compare: by any "mask", with all bits ("full"), from value to `last`
    # ("range"), or by the value alone, whatever the mask says ("spec").
    items: Mapping[str, Mapping[str, How]] = field(default_factory=dict)
    # ---- shapes of patterns ----
    ends: frozenset[str] | None = None  # items that a pattern may end with; None: any
    tags: int = 0  # VLAN items that a pattern may have
    tpids: tuple[int, ...] = (0x8100, 0x88A8)  # EtherTypes of the tags that it sees
    tagged_too: bool = False  # a pattern without VLAN matches IP in tagged packets, too
    more_vlan: bool = False  # more than one tag is told by has_more_vlan, not by more items
    other_protocols: bool = False  # an IP item that no transport follows matches neither TCP, UDP nor SCTP
    names_proto: bool = False  # a transport's item says nothing of the protocol: the IP item must
    ip_alike: bool = False  # IPv4 and IPv6 are not told apart
    needs_field: bool = False  # a pattern without any field is refused
    needs_port: bool = False  # a transport's item without a port says nothing
    together: tuple[tuple[str, ...], ...] = ()  # fields that must be given all or none, as "IPV4.src"
    one_mask: Literal["", "port", "shape"] = (
        ""  # all rules of the port, or those of the same items, have the same masks
    )
    values: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # the least and most that a field may be
    # ---- actions ----
    actions: frozenset[str] = frozenset()  # that decide where packets go: QUEUE, RSS, DROP, PASSTHRU
    beside: frozenset[str] = frozenset()  # that may stand beside these: MARK, COUNT
    passes_to_rss: bool = False  # PASSTHRU leaves packets to RSS, rather than to the next rule
    rss_queues: Literal["any", "region"] = "any"  # "region": neighbours, as many as a power of two
    most_mark: int = (1 << 32) - 1
    counts_bytes: bool = True
    # ---- priorities ----
    levels: int = 1
    highest: int = 0  # the number of the level that decides before all others
    rising: bool = True  # the next level has the next higher number
    vlan_levels: bool = False  # rules with a VLAN item must not share a level with others
    # ---- the table ----
    capacity: int = 0  # rules; 0: not known
    updates: float = 0.0  # rules a second that may be changed
    isolates: bool = False  # rte_flow_isolate
    sources: Mapping[str, str] = field(default_factory=dict)  # of each of the above: where it is written
    quirks: tuple[Quirk, ...] = ()

    def can(self, item: str, name: str = "") -> bool:
        """Whether an item, or a field of it, can be matched."""
        return item in self.items and (not name or name in self.items[item])


def find(name: str) -> HardwareDriver:
    """What is known of a driver (`net_ice`, `mlx5_pci`); of one that was not recorded, that it can do nothing."""
    known = ALIASES.get(name, name)
    return recorded().get(known) or HardwareDriver(known)


@functools.cache
def recorded() -> dict[str, HardwareDriver]:
    """All that were recorded, by their names."""
    found = (from_table(tomllib.loads(path.read_text())) for path in sorted(RECORDED.glob("*.toml")))
    return {each.driver: each for each in found}


def from_table(table: Mapping[str, Any]) -> HardwareDriver:
    """What a file says. Raises KeyError for a key that means nothing."""
    known = {made.name for made in fields(HardwareDriver)}
    if unknown := table.keys() - known:
        raise KeyError(f"{table['driver']}: {', '.join(sorted(unknown))}")
    made: dict[str, Any] = dict(table)
    for name in ("ends", "actions", "beside"):
        if name in made:
            made[name] = frozenset(made[name])
    made["tpids"] = tuple(made.get("tpids", HardwareDriver.tpids))
    made["together"] = tuple(map(tuple, made.get("together", ())))
    made["values"] = {name: tuple(ends) for name, ends in made.get("values", {}).items()}
    made["quirks"] = tuple(Quirk(**each) for each in made.get("quirks", ()))
    return HardwareDriver(**made)
