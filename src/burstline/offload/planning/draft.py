"""A plan in the making: what was decided so far, and how a demand that cannot be met is refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from burstline.errors import BurstlineError
from burstline.offload.planning.capabilities import PortCapabilities
from burstline.offload.planning.choice import By, Choice, PortUse
from burstline.offload.planning.conflicts import PEERS
from burstline.offload.planning.stamp_clocks import StampClock
from burstline.pipeline.offloads import Offloads


class Draft:
    """The choices for one port, made one after another; `rx` and `tx` are what it is to be given."""

    def __init__(self, intent: Offloads, can: PortCapabilities, use: PortUse, twins: frozenset[str]) -> None:
        self.intent, self.can, self.use, self.twins = intent, can, use, twins
        self.choices: dict[str, Choice] = {}
        self.rx: set[str] = set(use.receive_offloads)
        self.tx: set[str] = set()
        self.software: set[str] = set()  # the twins that are to run
        self.filled: set[str] = set()  # the checksums that the port fills in
        self.cuts: set[str] = set()  # what the port cuts
        self.stamps: StampClock | None = None  # the clock by which the port stamps what it receives
        self.notes: list[str] = []

    @property
    def port(self) -> By:
        """What the port's own work is called."""
        return "peer" if self.can.driver in PEERS else "hardware"

    @property
    def may_use_port(self) -> bool:
        return self.intent.require != "software"

    def must_be_hardware(self, name: str) -> bool:
        return self.intent.must_be_hardware(name)

    def has(self, twin: str, name: str) -> bool:
        """Whether software may do `name`, and there is some: `twin`."""
        return twin in self.twins and not self.must_be_hardware(name)

    def chosen(self, name: str, by: By, why: str) -> Choice:
        """Note a choice."""
        self.choices[name] = Choice(name, self.intent.text(name), by, why)
        return self.choices[name]

    def refuse(self, name: str, lacks: str, instead: str) -> NoReturn:
        """Raise the error that names port, offload, what is lacking, and what to write."""
        asked = f"{name} = {self.intent.text(name)}"
        if self.must_be_hardware(name):
            asked += ", required of hardware,"
        elif self.intent.require == "software":
            asked += ", required of software,"
        raise BurstlineError(f"{self.use.port} ({self.can.driver}): {asked} cannot be had: {lacks}", instead)


def named(offloads: Iterable[str]) -> str:
    """`TCP and UDP`; in DPDK's order of things, from the outside in."""
    order = ("IPV4", "TCP", "UDP", "SCTP", "OUTER_IPV4", "OUTER_UDP")
    found = sorted(offloads, key=lambda n: (order.index(n) if n in order else len(order), n))
    text = [n.replace("OUTER_", "outer ").replace("IPV4", "IPv4") for n in found]
    return " and ".join(text) if len(text) < 3 else f"{', '.join(text[:-1])} and {text[-1]}"
