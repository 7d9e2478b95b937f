"""The level at which a heavy flow can be steered: exact rules, then coarser ones, then its whole bucket, then
software."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from burstline.steering.control.demand import Demand
from burstline.steering.control.snapshot import HeavyFlow, Level, Snapshot

COARSE = 1.2  # times the flow's packets: a wildcard rule that takes more than that steers something else


class Chosen(NamedTuple):
    """A level, None where no level is left, and why it is not one before it."""

    level: Level | None
    why: str


def levels_of(
    seen: Snapshot, demand: Demand, *, least: float, age: float, full: Collection[Level]
) -> dict[bytes, Chosen]:
    """The levels of flows with at least `least` packets/s and `age` seconds, fastest first, as long as there is room.
    Flows that a rule holds keep its level. `full` are levels that the device refused not long ago."""
    device = seen.device
    room = {"exact": device.exact_room, "wildcard": device.wildcard_room}
    found: dict[bytes, Chosen] = {}
    for flow in sorted(seen.flows, key=lambda flow: (-demand.flows[flow.key][1], flow.key)):
        if flow.rule not in (None, "reta"):
            found[flow.key] = Chosen(flow.rule, "as before")
        elif demand.flows[flow.key][1] >= least and flow.age >= age:
            chosen = _best(flow, seen, room, full)
            if chosen.level in room:
                room[chosen.level] -= device.rules_a_flow
            found[flow.key] = chosen
    return found


def _best(flow: HeavyFlow, seen: Snapshot, room: dict[str, int], full: Collection[Level]) -> Chosen:
    device, said = seen.device, []
    if room["exact"] >= device.rules_a_flow and "exact" not in full:
        return Chosen("exact", "exact rule")
    said.append("the device refused more exact rules" if "exact" in full else "no room for an exact rule")
    fits = flow.coarse is not None and flow.coarse.packets <= COARSE * flow.packets
    if fits and room["wildcard"] >= device.rules_a_flow and "wildcard" not in full:
        return Chosen("wildcard", f"{said[0]}: wildcard rule")
    said.append("none for a wildcard" if fits else "no wildcard takes it alone")
    if device.reta and "reta" not in full:
        return Chosen("reta", f"{', '.join(said)}: its whole bucket")
    said.append("buckets cannot move")
    if device.software and "software" not in full:
        return Chosen("software", f"{', '.join(said)}: software director")
    return Chosen(None, f"{', '.join(said)}, no software director: nothing can steer it")
