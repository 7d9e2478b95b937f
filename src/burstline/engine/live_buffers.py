"""What the ports of a live run receive into: each port's way, the pools of each NUMA node, and how large they are."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burstline.buffers.classes import OVERHEAD
from burstline.buffers.footprint import Footprint, buffer_bytes, fitting
from burstline.buffers.receive import GROWS, Capabilities, Mode, ReceivePlan, plan_receive
from burstline.buffers.usage import ClassUsage
from burstline.engine.config import Config
from burstline.engine.config import Port as Settings
from burstline.engine.large_classes import large_buffers
from burstline.engine.own_devices import XdpDevice, is_own, is_xdp
from burstline.engine.placement.small_pages import have_on
from burstline.engine.probes.processor import cache_share
from burstline.errors import UsageError

if TYPE_CHECKING:
    from burstline.dpdk.pool import Pool
    from burstline.dpdk.pools import Pools
    from burstline.dpdk.port import Port
    from burstline.engine.placement.placement import Placement

TX_RING = 1024  # descriptors, where nothing else is said
LENT_BY_AF_XDP = 4096  # buffers of each queue: twice af_xdp.FILL
MOST_SENT_WHOLE = 2048  # gathered packets that wait to be sent, for which there are buffers
MOST_FRAME = 65550  # bytes of a frame that a TAP interface can bring
ETHERNET = 14
ORDINARY_MTU = 1500
# These fill two rings a queue; the second takes what does not fit into one buffer of the first (vmxnet3_dev_rxtx_init
# in DPDK's drivers/net/vmxnet3/vmxnet3_rxtx.c).
TWO_RINGS = frozenset({"net_vmxnet3"})
RINGS = ("ring_mp_mc", "ring_mp_sc", "ring_sp_mc", "ring_sp_sc")  # what DPDK takes on machines that have no better way


@dataclass(frozen=True)
class PortBuffers:
    """How one port receives, and the rings it gets."""

    plan: ReceivePlan
    nodes: tuple[int, ...]  # NUMA node of the buffers of each queue, in turn; -1 for any
    rx_ring: int
    tx_ring: int
    note: str  # on its footprint: where the settings make it larger than the caches are

    @property
    def node(self) -> int:
        """Of the buffers of the first queue."""
        return self.nodes[0]

    def node_of(self, queue: int) -> int:
        return self.nodes[queue % len(self.nodes)]

    def as_json(self) -> dict[str, Any]:
        return {
            "mode": self.plan.mode,
            "buffers": list(self.plan.buffers),
            "whole": self.plan.whole,
            "why": self.plan.why,
            "descriptors": self.rx_ring,
            "note": self.note,
            "text": str(self),
        }

    def __str__(self) -> str:
        return f"{self.plan}; {self.rx_ring:,} descriptors{f' ({self.note})' if self.note else ''}"


class LiveBuffers:
    """The plan of each port of a run, and how many buffers of which size it takes. `found`: what each device can do,
    in the order of the ports; `wanted`: the way in which each must receive, where there is one; `large`: a
    class for large packets only, or 0; `waiting`: packets of each port that may wait between threads; `placement`:
    where the buffers of queues belong, where that is planned. Raises BurstlineError for what a driver cannot do."""

    def __init__(
        self,
        config: Config,
        found: Sequence[Capabilities],
        devices: Sequence[str],
        *,
        reads: bool,
        wanted: Sequence[Mode | None] = (),
        large: int = 0,
        waiting: int = 0,
        placement: Placement | None = None,
    ) -> None:
        self.large, self._waiting, self._placement = large, waiting, placement
        self.config, self.found, self.devices = config, list(found), list(devices)
        everywhere = None if config.pools.receive == "auto" else config.pools.receive
        plans = [
            plan_receive(
                can, config.pools.size_classes, reads=reads, wanted=everywhere or mode, buffer=config.pools.buffer
            )
            for can, mode in zip(found, wanted or [None] * len(found), strict=True)
        ]
        settings = [config.port(f"dpdk:{device}") for device in devices]
        core = config.engine.cores[0] if config.engine.cores else min(os.sched_getaffinity(0))
        magazines = config.pools.ops in ("auto", "burstline")
        # Each worker polls one queue of each port.
        share, queues = cache_share(core), len(devices)
        buffer = max(buffer_bytes(plan.buffers) for plan in plans)
        self.footprint: Footprint = fitting(
            share, queues, buffer, max((s.rx_descriptors or 0 for s in settings), default=0) or None,
            config.pools.cache, magazines=magazines,
        )  # fmt: skip
        fit = fitting(share, queues, buffer, magazines=magazines)
        self.cache = self.footprint.cache
        self.ports = [
            self._port(device, plan, can, s, fit)
            for device, plan, can, s in zip(devices, plans, found, settings, strict=True)
        ]

    @property
    def software(self) -> bool:
        """No device does DMA."""
        return all(not is_pci(device) for device in self.devices)

    def pools(self, held: Sequence[Sequence[int]]) -> dict[int, Pools]:
        """The pools of each node, for `held`: the sizes of the packets that each port keeps for itself in each queue.
        EAL must run."""
        from burstline.dpdk.pools import Pools

        software = self.software
        made: dict[int, Pools] = {}
        with ExitStack() as stack:
            for node in sorted({node for port in self.ports for node in port.nodes}):
                make = partial(self._pool_class(), cache=self.cache, software=software, numa_node=node)
                if (most := self.config.pools.most) is not None:
                    make = partial(make, most=most)
                made[node] = Pools(self.counts(node, held), make)
                stack.callback(made[node].close)
                if self._placement is not None and node >= 0:
                    have_on(made[node], node)
            stack.pop_all()
        return made

    def _pool_class(self) -> Callable[..., Pool]:
        """Free buffers lie in our magazines or, as the settings say, where DPDK puts them."""
        from burstline.dpdk.binding import native
        from burstline.dpdk.pool import Pool

        ops = self.config.pools.ops
        if ops == "burstline" or (ops == "auto" and native.best_mempool_ops() in RINGS):
            from burstline.buffers.mbuf_pool import MbufPool

            return partial(MbufPool, rounds=self.footprint.rounds)
        return Pool

    def counts(self, node: int, held: Sequence[Sequence[int]]) -> dict[int, int]:
        """How many buffers of each class the ports of a node need at most, with workers' bursts and caches."""
        from burstline.dpdk.pool import mbufs_needed

        config, workers = self.config, self.config.engine.workers
        here = [k for k, port in enumerate(self.ports) if node in port.nodes]
        sent = workers * sum(port.tx_ring for port in self.ports)  # a buffer may leave by any port
        working = workers * (self.footprint.held + 4 * config.engine.most_burst)
        counts = dict.fromkeys(config.pools.size_classes.sizes, max(255, working))
        counts |= {self.large: large_buffers(config)} if self.large else {}
        into = {size for k in here for size in self.ports[k].plan.buffers}
        for size in into:
            counts[size] = config.pools.buffers or mbufs_needed(
                len(self.ports) * workers,
                max(port.rx_ring for port in self.ports),
                max(port.tx_ring for port in self.ports),
                workers,
                self.footprint.held,
            )
            mine = [k for k in here if size in self.ports[k].plan.buffers]
            counts[size] += sum(self._kept(k, held[k], size) + self._waiting for k in mine)
        for size in {self.ports[k].plan.whole for k in here} - into - {0, self.large}:
            long = sum(packet > max(self.ports[k].plan.buffers) for k in here for packet in held[k])
            counts[size] = max(counts[size], working + min(sent, MOST_SENT_WHOLE)) + workers * long
        return counts

    def _kept(self, k: int, held: Sequence[int], size: int) -> int:
        """Buffers of port `k` that AF_XDP lends to the kernel, that a second ring is filled with, and that packets take
        which the port was loaded with."""
        lent = LENT_BY_AF_XDP if self.devices[k].startswith("net_af_xdp") else 0
        second = self.ports[k].rx_ring if self.found[k].driver in TWO_RINGS else 0
        return self.config.engine.workers * (lent + second + sum(-(-packet // size) for packet in held))

    def _port(
        self, device: str, plan: ReceivePlan, can: Capabilities, settings: Settings, fit: Footprint
    ) -> PortBuffers:
        if can.driver in GROWS and settings.rx_descriptors is None:
            # Its ring is no queue: it is the list of buffers for the one packet that it reads next (readv).
            ring = 1 << (MOST_FRAME // plan.buffers[0] + 1).bit_length()
        else:
            ring = settings.rx_descriptors or fit.descriptors
        notes = []
        if settings.rx_descriptors and self.footprint.exceeds:
            notes.append(f"set: {self.footprint.lines()[0]}; {fit.descriptors:,} would fit")
        if self.config.pools.cache and self.footprint.cache_exceeds:
            notes.append(f"set: {self.footprint.lines()[1]}; a cache of {fit.cache} would fit")
        return PortBuffers(plan, self._nodes(device), ring, settings.tx_descriptors or TX_RING, "; ".join(notes))

    def _nodes(self, device: str) -> tuple[int, ...]:
        """As planned, for each queue. Devices with one pool for all their queues have that of the first."""
        if self._placement is None:
            return (self._node(device),)
        queues = 1 if is_own(device) or device.startswith("net_af_xdp") else self.config.engine.workers
        found = [self._placement.pool_node(device, queue) for queue in range(queues)]
        return tuple(self._node(device) if node is None else node for node in found)

    def _node(self, device: str) -> int:
        """The NUMA node for a port's buffers: as told, else that of the device, else that of the first PCI port, else
        any (-1)."""
        numa = self.config.numa
        if numa.node is not None or not numa.enabled:
            return -1 if numa.node is None else numa.node
        own = node_of(device)
        return own if own >= 0 else next((n for n in map(node_of, self.devices) if n >= 0), -1)


def usage_of_pool(pool: Pool, size: int) -> ClassUsage:
    """What a pool's buffers are doing; less is known of those that DPDK's own ops keep."""
    from burstline.buffers.mbuf_pool import MbufPool
    from burstline.dpdk.binding import native

    if isinstance(pool, MbufPool):
        return pool.usage()
    cached, free = sum(pool.cached(lcore) for lcore in range(native.MAX_LCORE)), pool.available
    return ClassUsage(size, pool.numa_node, pool.count, pool.count, pool.count - free, cached, free - cached)


def assumed(device: str) -> Capabilities | None:
    """What a device can do that is not there before it is set up; None for all others."""
    from burstline.dpdk.device import Device, interface_mtu

    if is_xdp(device):
        return Capabilities("net_ring", mtu=interface_mtu(XdpDevice.parse(device).interface) or ORDINARY_MTU)
    if is_own(device):
        return Capabilities("net_ring")
    if device.startswith("net_virtio_user"):
        # Its other end may be a port of this run (net_vhost), which answers when it is set up, not before.
        return Capabilities("net_virtio_user", min_buffer=64, scatter=Device.parse(device).argument("mrg_rxbuf") != "0")
    return None


def capabilities(port: Port, mtu: int | None) -> Capabilities:
    """What an attached port can do; `mtu` is what it will be set to, or None."""
    from burstline.dpdk.device import interface_mtu

    info, device = port.info(), port.device
    offloads = set(info.rx_offloads)
    largest = 0
    if info.driver == "net_af_xdp":  # a buffer with all that belongs to it lies in one page
        largest = mmap.PAGESIZE - OVERHEAD
    if info.driver == "net_null":  # which makes packets of this size, whatever the buffers hold
        mtu = max(0, int(device.argument("size") or 64) - ETHERNET)
    elif mtu is None:
        mtu = max(info.mtu, interface_mtu(device.interface or "") or 0)
    return Capabilities(
        driver=info.driver,
        mtu=mtu,
        min_buffer=max(info.min_buffer, device.min_buffer),
        max_buffer=largest,
        pools=info.rx_pools,
        segments=info.rx_segments if "BUFFER_SPLIT" in offloads else 0,
        segment_pools=info.rx_segment_pools,
        by_headers=info.rx_splits_headers,
        scatter="SCATTER" in offloads,
    )


def expected_frame(device: str, mtu: int | None) -> int:
    """Bytes of the largest frame that a device on an interface of the kernel may bring, to tell its driver; else 0."""
    from burstline.dpdk.device import Device, interface_mtu

    found = mtu or interface_mtu(Device.parse(device).interface or "")
    return found + ETHERNET if found else 0


def node_of(device: str) -> int:
    """The NUMA node of a PCI device, -1 where there is none to tell."""
    if is_pci(device):
        from burstline.dpdk.device import Device

        with suppress(OSError, ValueError, UsageError):  # users may leave the domain out
            return int(Path(f"/sys/bus/pci/devices/{Device.parse(device).name}/numa_node").read_text())
    return -1


def is_pci(device: str) -> bool:
    return not is_own(device) and not device.startswith(("net_", "eth_", "crypto_"))
