"""One setting of a driver, with its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Mode = Literal["throughput", "latency", "off"]
# Where a setting goes: the rings, the queues' thresholds, the text that names the device, EAL's command line, the burst
# of the engine; or to the one who reads it, as it concerns the whole machine.
Kind = Literal["descriptors", "threshold", "devarg", "eal", "burst", "advice"]


@dataclass(frozen=True)
class Setting:
    """One setting. `value` is as it is written; `skip` are the keys of Offloads that it stands in the way of."""

    kind: Kind
    name: str
    value: int | str
    why: str
    source: str
    cpu: str = ""  # the instructions that it needs
    skip: tuple[str, ...] = ()

    @property
    def spelled(self) -> str:
        return str(self.value) if self.kind == "advice" else f"{self.name}={self.value}"

    @property
    def applied(self) -> bool:
        """Whether it is set. The burst is the engine's, for all ports, and what concerns the machine is its owner's."""
        return self.kind not in ("burst", "advice")

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("kind", "name", "value", "why", "source", "applied")}
