"""Settings of a driver for throughput or for latency, each with its source; and what a port takes of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from burstline.offload.planning.capabilities import ALIASES, PortCapabilities
from burstline.offload.planning.profiles import PROFILES
from burstline.offload.planning.setting import Kind, Mode, Setting


@dataclass(frozen=True)
class Tuning:
    """What one port is tuned to. What the user set is not in it."""

    mode: Mode
    settings: tuple[Setting, ...] = ()

    def value(self, kind: Kind, name: str) -> int | str | None:
        return next((s.value for s in self.settings if (s.kind, s.name) == (kind, name)), None)

    @property
    def rx_descriptors(self) -> int | None:
        found = self.value("descriptors", "rx_descriptors")
        return None if found is None else int(found)

    @property
    def tx_descriptors(self) -> int | None:
        found = self.value("descriptors", "tx_descriptors")
        return None if found is None else int(found)

    @property
    def thresholds(self) -> dict[str, int]:
        """As Port.set_up takes them."""
        return {s.name: int(s.value) for s in self.settings if s.kind == "threshold"}

    @property
    def devargs(self) -> dict[str, str]:
        return {s.name: str(s.value) for s in self.settings if s.kind == "devarg"}

    @property
    def eal(self) -> tuple[str, ...]:
        """Options for EAL."""
        return tuple(f"{s.name}={s.value}" for s in self.settings if s.kind == "eal")

    def as_json(self) -> dict[str, Any]:
        return {"mode": self.mode, "settings": [s.as_json() for s in self.settings]}

    def lines(self) -> list[str]:
        width = max((len(s.spelled) for s in self.settings), default=0)
        ordered = sorted(self.settings, key=lambda s: not s.applied)
        return [f"{'tuned' if s.applied else 'advice'}: {s.spelled:<{width}}  {s.why} ({s.source})" for s in ordered]


NO_TUNING = Tuning("off")


def tune(
    driver: str,
    mode: Mode,
    *,
    arguments: Collection[str] = (),
    taken: Collection[str] = (),
    asked: Collection[str] = (),
    cpu: Collection[str] = (),
    can: PortCapabilities | None = None,
) -> Tuning:
    """The profile of a driver, without what the user settled: `arguments` of the device's text, and `taken`, names of
    other settings; without what stands in the way of the offloads that are `asked` for, or needs instructions that the
    `cpu` has not. A driver without a profile gets what it prefers itself, as `can` tells."""
    if mode == "off":
        return NO_TUNING
    name = ALIASES.get(driver, driver)
    profile = PROFILES.get((name, mode))
    found = preferred(can) if profile is None and can is not None else profile or ()
    kept = [
        s
        for s in found
        if not (s.kind == "devarg" and s.name in arguments)
        and s.name not in taken
        and not set(s.skip) & set(asked)
        and (not s.cpu or s.cpu in cpu)
    ]
    return Tuning(mode, tuple(kept))


def preferred(can: PortCapabilities) -> tuple[Setting, ...]:
    """DPDK's own preferred values: rte_eth_dev_info's default_rxportconf and default_txportconf."""
    source = "rte_eth_dev_info: default_rxportconf, default_txportconf"
    why = f"what {can.driver} prefers"
    found = [
        ("descriptors", "rx_descriptors", can.rx_ring),
        ("descriptors", "tx_descriptors", can.tx_ring),
        ("burst", "burst", can.rx_burst),
    ]
    return tuple(
        Setting("burst" if kind == "burst" else "descriptors", name, value, why, source)
        for kind, name, value in found
        if value
    )
