"""What a DPDK port tells of itself: what it is and can do, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PortStats:
    """The device's own counters since it was opened, named as in rte_eth_stats."""

    ipackets: int
    opackets: int
    ibytes: int
    obytes: int
    imissed: int  # dropped by the device: the receive rings were full
    ierrors: int
    oerrors: int
    rx_nombuf: int  # dropped by the driver: the pool was empty


@dataclass(frozen=True)
class PortInfo:
    """What the device is and can do; offloads are named as DPDK names them, sizes are bytes."""

    driver: str
    device: str
    bus: str
    socket: int
    mac: bytes
    mtu: int
    min_mtu: int
    max_mtu: int
    max_frame: int  # max_rx_pktlen
    min_buffer: int  # min_rx_bufsize
    rx_pools: int  # max_rx_mempools
    rx_segments: int  # rx_seg_capa.max_nseg
    rx_segment_pools: bool  # rx_seg_capa.multi_pools
    rx_splits_headers: bool  # buffer split goes by protocol headers
    max_rx_queues: int
    max_tx_queues: int
    reta_size: int
    key_size: int  # bytes of an RSS key
    rss: int
    rx_offloads: list[str]
    tx_offloads: list[str]
    rx_queue_offloads: list[str]  # those that queues may differ in
    tx_queue_offloads: list[str]
    max_lro: int  # bytes of a merged packet; 0 where the driver tells none
    rx_descriptors: tuple[int, int, int]  # at least, at most, in steps of
    tx_descriptors: tuple[int, int, int]
    tx_segments: int  # mbufs of a packet that is to be cut
    tx_mtu_segments: int  # mbufs of any other
    rx_burst: int  # what the driver prefers, 0 where it does not care
    tx_burst: int
    rx_ring: int
    tx_ring: int
    preferred_queues: int
    thresholds: dict[str, int]  # of its queues, as in rte_eth_rxconf and rte_eth_txconf
    link_up: bool
    link_mbps: int


@dataclass(frozen=True)
class BurstMode:
    """The function that a driver moves packets with, in its own words; and its vector instructions, if it tells."""

    text: str | None
    simd: str  # "AVX512", "AVX2", "SSE", "NEON", "AltiVec", "scalar", or "" where that is not told

    @classmethod
    def of(cls, text: str | None) -> BurstMode:
        words = (text or "").upper()
        known = ("AVX512", "AVX2", "SSE", "NEON", "ALTIVEC", "SCALAR")
        found = next((word for word in known if word in words), "")
        return cls(text, {"SCALAR": "scalar", "ALTIVEC": "AltiVec"}.get(found, found))

    def __str__(self) -> str:
        return self.text or "the driver does not tell"


def configured_mtu(info: PortInfo, mtu: int | None) -> int:
    """What rte_eth_dev_configure is told, which refuses what the device does not take: 0 for the usual 1500. Without
    it, a device that has a larger MTU would be set up for smaller frames than it brings."""
    chosen = mtu or info.mtu
    around = info.max_frame - info.max_mtu if 0 < info.max_mtu < min(info.max_frame, 0xFFFF) else 18
    fits = info.min_mtu <= chosen <= info.max_mtu and chosen + around <= info.max_frame
    return chosen if fits else 0
