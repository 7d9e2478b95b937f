"""The software around a port for one worker, by the port's plan: its memory, and what it did."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from burstline.engine.report import Count
from burstline.offload.checksums.checksums import ALL_PACKETS, ARRIVED_PARTIAL, Checksums, hardware_mask
from burstline.offload.gro.gro import Merging
from burstline.offload.gso.gso import IP, OUTER_IP, OUTER_UDP, TCP, UDP, Segmenter
from burstline.offload.mbuf import MOST_SEGMENT
from burstline.offload.planning.conflicts import CUT_LIMITS, SUMS_EACH_BUFFER
from burstline.offload.planning.plan import OffloadPlan
from burstline.offload.segments_kernel import size_to_fit
from burstline.offload.twins import Twins, receive, transmit
from burstline.state.region import Block, Region

if TYPE_CHECKING:
    from burstline.dpdk.pools import Pools
    from burstline.dpdk.port import Port
    from burstline.engine.live_buffers import LiveBuffers

INDIRECT, HEADERS = 0, 256  # bytes of frame that the two kinds of mbufs hold of which segments are made
PIECES = 2  # of the first kind for each of the second: payload crosses from one received mbuf into the next
UNCUT = 1 << 32  # what takes the MTU's place where nobody cuts
PAYLOAD_SUM = "burstline_payload_sum"  # the flag of mbufs in which GRO keeps a sum for GSO
LEAVING = 1024  # mbufs that a port is given at once, at most: a packet of 64 KB in segments of 64 bytes
CUTS = (
    "TCP over IPv4", "TCP over IPv6", "TCP in VXLAN", "TCP in GRE",
    "UDP over IPv4", "UDP over IPv6", "UDP in VXLAN", "UDP in GRE",
)  # fmt: skip
GSO_CHECKSUMS = {"IPV4": IP, "TCP": TCP, "UDP": UDP, "OUTER_IPV4": OUTER_IP, "OUTER_UDP": OUTER_UDP}


def segment_pools(node: int, workers: int, rings: int, buffers: LiveBuffers) -> Pools:
    """Pools of mbufs by which segments share payload: for headers, and without room, to point to it. `rings` are the
    descriptors of the ports that these are sent on."""
    from burstline.dpdk.pool import Pool
    from burstline.dpdk.pools import Pools

    count = workers * (rings + LEAVING + int(1.5 * buffers.cache))
    make = partial(Pool, cache=buffers.cache, software=buffers.software, numa_node=node)
    return Pools({INDIRECT: PIECES * count, HEADERS: count}, make)


def needs_twins(plan: OffloadPlan) -> bool:
    """Whether a port is not to be left to its driver alone: software works for it, or it must be told of packets what
    to do to them."""
    return (
        bool(plan.software)
        or plan.drops_bad
        or plan.vlan > 0
        or bool(plan.filled_by_port)
        or plan.tso
        or plan.lro_unmarked
    )


class PortTwins:
    """The `Twins` of one worker at one port, at `address`.

    `pools` are those that the port receives into, `cutting` those by which segments share payload, where software cuts
    packets for a port that takes several mbufs. `most` bytes is the largest packet to merge. `restores`: what one port
    merges, software may cut for another.
    """

    def __init__(
        self,
        plan: OffloadPlan,
        port: Port,
        queue: int,
        *,
        burst: int,
        pools: Pools,
        cutting: Pools | None = None,
        most: int = MOST_SEGMENT,
        restores: bool = False,
    ) -> None:
        from burstline.dpdk.binding import native

        self.plan = plan
        sums = native.mbuf_flag(PAYLOAD_SUM) if restores else 0
        self._merging = Merging(timeout=int(plan.gro_timeout * 1e9), most=most, sums=sums) if plan.gro else None
        self._cutting = None
        alone = plan.asked.can.driver in SUMS_EACH_BUFFER
        if plan.gso:
            shared = None if plan.copies or cutting is None else cutting.by_size
            self._cutting = Segmenter(
                native.SYMBOLS,
                headers=shared[HEADERS] if shared else None,
                indirect=shared[INDIRECT] if shared else None,
                copies=None if shared else pools,
                checksums=0 if alone else sum(GSO_CHECKSUMS.get(name, 0) for name in plan.filled_by_port),
                largest=plan.mtu,
                sums=sums,
            )
        self._checksums = Block(Checksums.layout)
        self._checksums.set(partial=int(plan.partial), hardware=hardware_mask(plan.tx), one_mbuf=int(alone))
        self._room, self._mbufs = burst, Region(8 * burst)
        self._received, self._leaving, self._ends = Region(8 * burst), Region(8 * LEAVING), Region(16 * LEAVING)
        asks = plan.asked.intent.checksum in (True, "fill")
        limits = CUT_LIMITS.get(plan.asked.can.driver)
        self._block = Block(Twins.layout)
        self._block.set(
            port=port.id, queue=queue, leaves_by=port.leaves_by, leaves_queue=queue if port.leaves_by == port.id else 0,
            rx=native.SYMBOLS["bl_dpdk_rx"], tx=native.SYMBOLS["bl_dpdk_tx"],
            prepare=native.SYMBOLS["bl_dpdk_prepare"], gather=native.SYMBOLS["bl_dpdk_gather"],
            free=native.SYMBOLS["bl_dpdk_free"],
            vlan=plan.vlan, checksums=self._checksums.address,
            received=self._received.address, burst=max(1, burst // 2) if plan.gro else burst,
            verifies=int(plan.verify), drops_bad=int(plan.drops_bad),
            unmarked=plan.mtu if plan.lro_unmarked else 0,
            gro=self._merging.address if self._merging else 0, clock_scale=(10**9 << 32) // native.tsc_hz(),
            requests=ARRIVED_PARTIAL | (ALL_PACKETS if asks else 0),
            fills=int(plan.fill), gso=self._cutting.address if self._cutting else 0,
            cuts=sum(1 << CUTS.index(name) for name in plan.cut_by_port),
            mtu=_largest(plan), segment_size=plan.asked.intent.segment_size or 0,
            most_segments=limits.segments if limits else 0, even=int(limits is not None and limits.even),
            counts_ethernet=int(limits is not None and limits.ethernet), most_mbufs=plan.max_segments,
            most_mtu_mbufs=1 if plan.copies else plan.max_mtu_segments,
            pools=port.table if plan.copies else 0, inserts=int(plan.vlan > 0 and "vlan_insert" not in plan.software),
            leaving=self._leaving.address, segments=LEAVING, ends=self._ends.address,
        )  # fmt: skip

    @property
    def address(self) -> int:
        return self._block.address

    def receive(self, *, ending: bool = False) -> tuple[list[int], Count]:
        """For the interpreter: what came, and what was dropped for its checksums. `ending`: what is held back."""
        self._block.set(ending=int(ending))
        n = receive(self.address, self._mbufs.address, self._room)
        bad = Count(self._block.get("bad"), self._block.get("bad_bytes"))
        return [self._mbufs.i64(8 * k) for k in range(n)], bad

    def transmit(self, mbufs: Sequence[int]) -> Count:
        """For the interpreter: send packets; what the port did not take. All mbufs are given away."""
        unsent = Count()
        for start in range(0, len(mbufs), self._room):
            burst = mbufs[start : start + self._room]
            for k, mbuf in enumerate(burst):
                self._mbufs.set_i64(8 * k, mbuf)
            unsent += Count(transmit(self.address, self._mbufs.address, len(burst)), self._block.get("failed_bytes"))
        return unsent

    def follow(self, plan: OffloadPlan) -> None:
        """Keep to a plan that was made again: segments are to fit another MTU."""
        self.plan = plan
        self._block.set(mtu=_largest(plan))
        if self._cutting:
            self._cutting.fit(plan.mtu)
        if plan.lro_unmarked:
            self._block.set(unmarked=plan.mtu)

    def size_to_fit(self, data: bytearray) -> int:
        """Into what segments a packet that a stage made is cut, where it has not said it; 0: it leaves whole."""
        return size_to_fit(data, len(data), len(data), self._block.get("mtu"), self._block.get("segment_size"))

    def merge_up_to(self, most: int) -> None:
        """Bytes of the largest packet to merge from now on."""
        if self._merging:
            self._merging.merge_up_to(most)

    def did(self) -> dict[str, int]:
        """What software did, and what the port was asked to do; only what was not nothing."""
        names = ("untagged", "tagged", "cut", "lowered", "copied", "marked")
        counts = {name: self._block.get(name) for name in names}
        counts |= {f"checksums_{name}": self._checksums.get(name) for name in ("bad", "good", "partials", "filled")}
        if self._merging:
            of = self._merging.count
            counts |= {"gro_segments": of.segments, "gro_merged": of.merged, "gro_refused": of.refused}
            counts |= {f"gro_ended_{name}": count for name, count in asdict(of).items() if name.startswith("by_")}
        if self._cutting:
            made = self._cutting.counts
            counts |= {"gso_packets": made.packets, "gso_segments": made.segments, "gso_lowered": made.lowered}
            counts |= {"gso_no_buffers": made.no_buffers, "gso_refused": made.refused + made.no_room}
        return {name: count for name, count in counts.items() if count}


def _largest(plan: OffloadPlan) -> int:
    """Bytes of the largest IP packet that may leave as it is."""
    return plan.mtu if plan.gso or plan.tso else UNCUT


def total(twins: Iterable[PortTwins]) -> dict[str, int]:
    """What those of all workers did at one port."""
    sums = dict[str, int]()
    for each in twins:
        for name, count in each.did().items():
            sums[name] = sums.get(name, 0) + count
    return sums
