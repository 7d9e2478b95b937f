"""What a port can do, as its driver tells it: of an open port, or as recorded from a driver's source.

`recorded/*.toml` has what drivers of DPDK 22.11 report, with the lines of their source that say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burstline.errors import UsageError

if TYPE_CHECKING:
    from burstline.dpdk.port_info import PortInfo

RECORDED = Path(__file__).parent / "recorded"
UNBOUNDED = 65535  # UINT16_MAX: what rte_eth_dev_info_get says where a driver says nothing
# The same driver by the name that DPDK knows it by on the bus.
ALIASES = {"mlx5_pci": "net_mlx5", "eth_af_packet": "net_af_packet"}


@dataclass(frozen=True)
class Descriptors:
    """How many descriptors a ring may have (rte_eth_desc_lim)."""

    least: int = 0
    most: int = UNBOUNDED
    step: int = 1

    def nearest(self, wanted: int) -> int:
        """What rte_eth_dev_adjust_nb_rx_tx_desc makes of `wanted`."""
        aligned = -(-wanted // self.step) * self.step if self.step else wanted
        return max(min(aligned, self.most) if self.most else aligned, self.least)


@dataclass(frozen=True)
class PortCapabilities:
    """Offloads and RSS functions are named as DPDK names them; sizes are bytes. What is 0 is not told, or not there."""

    driver: str
    rx: frozenset[str] = frozenset()
    tx: frozenset[str] = frozenset()
    rx_queue: frozenset[str] = frozenset()  # of rx: those that queues may differ in
    tx_queue: frozenset[str] = frozenset()
    min_mtu: int = 46  # RTE_ETHER_MIN_LEN less header and checksum
    max_mtu: int = UNBOUNDED
    max_frame: int = 0
    min_buffer: int = 0
    max_lro: int = 0
    max_rx_queues: int = 1
    max_tx_queues: int = 1
    rss: frozenset[str] = frozenset()
    reta_size: int = 0
    key_size: int = 0
    rx_descriptors: Descriptors = Descriptors()
    tx_descriptors: Descriptors = Descriptors()
    tx_segments: int = UNBOUNDED  # mbufs of a packet that the port is to cut
    tx_mtu_segments: int = UNBOUNDED  # mbufs of any other
    rx_burst: int = 0  # what the driver prefers
    tx_burst: int = 0
    rx_ring: int = 0
    tx_ring: int = 0
    preferred_queues: int = 0
    rx_segments: int = 0  # that BUFFER_SPLIT may split into
    rx_segment_pools: bool = False
    rx_splits_headers: bool = False
    rx_pools: int = 0
    thresholds: Mapping[str, int] = field(default_factory=dict)
    recorded: str = ""  # the version of DPDK that it was recorded from, and what was taken for granted

    @classmethod
    def of(cls, info: PortInfo) -> PortCapabilities:
        """Those of an open port."""
        from burstline.dpdk.binding import native

        same = {made.name: getattr(info, made.name) for made in fields(cls) if hasattr(info, made.name)}
        return cls(
            **{
                **same,
                "driver": ALIASES.get(info.driver, info.driver),
                "rx": frozenset(info.rx_offloads),
                "tx": frozenset(info.tx_offloads),
                "rx_queue": frozenset(info.rx_queue_offloads),
                "tx_queue": frozenset(info.tx_queue_offloads),
                "rss": frozenset(name for name, bit in native.RSS_FUNCTIONS.items() if info.rss & bit),
                "rx_descriptors": Descriptors(*info.rx_descriptors),
                "tx_descriptors": Descriptors(*info.tx_descriptors),
            }
        )

    @property
    def checks(self) -> frozenset[str]:
        """The checksums that it verifies: IPV4, TCP, UDP, SCTP, OUTER_IPV4, OUTER_UDP."""
        return frozenset(name.removesuffix("_CKSUM") for name in self.rx if name.endswith("_CKSUM"))

    @property
    def fills(self) -> frozenset[str]:
        """The checksums that it fills in."""
        return frozenset(name.removesuffix("_CKSUM") for name in self.tx if name.endswith("_CKSUM"))

    def as_json(self) -> dict[str, Any]:
        plain = {made.name: getattr(self, made.name) for made in fields(self)}
        return {name: _plain(value) for name, value in plain.items()}


def recorded(name: str) -> PortCapabilities:
    """What the driver `name` (`ice` or `net_ice`) of DPDK 22.11 reports. Raises UsageError for one not recorded."""
    import difflib
    import tomllib

    known = names()
    asked = ALIASES.get(name, name).removeprefix("net_")
    if asked not in known:
        near = difflib.get_close_matches(asked, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise UsageError(f"no capabilities of {name!r} were recorded", hint)
    table = tomllib.loads((RECORDED / f"{asked}.toml").read_text())
    return from_table(table)


def from_table(table: Mapping[str, Any]) -> PortCapabilities:
    """What a recorded file says."""
    made: dict[str, Any] = {name: value for name, value in table.items() if name not in ("sources", "assumes")}
    for name in ("rx", "tx", "rx_queue", "tx_queue", "rss"):
        made[name] = frozenset(made.get(name, ()))
    for name in ("rx_descriptors", "tx_descriptors"):
        if name in made:
            made[name] = Descriptors(*made[name])
    return PortCapabilities(**made, recorded=f"DPDK 22.11: {table['assumes']}")


def names() -> list[str]:
    """The drivers whose capabilities were recorded."""
    return sorted(path.stem for path in RECORDED.glob("*.toml"))


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Descriptors):
        return {"least": value.least, "most": value.most, "step": value.step}
    return dict(value) if isinstance(value, Mapping) else value
