"""How a port receives into buffers of several sizes: whichever way its driver can, and why, in words.

https://doc.dpdk.org/guides/nics/features.html: "Scattered Rx", "Buffer Split on Rx"; `rx_mempools` of rte_eth_rxconf.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from burstline.buffers.classes import SizeClasses, rounded
from burstline.errors import BurstlineError

Mode = Literal["pools", "split", "scatter", "one pool"]
MODES: tuple[Mode, ...] = ("pools", "split", "scatter", "one pool")
AROUND = 26  # bytes of a frame that its MTU does not count: Ethernet's header and checksum, two VLAN tags
ORDINARY = 1500 + AROUND  # a full frame where nobody speaks of jumbo frames
# These hand over frames of any length, in a chain of buffers where one does not suffice, and know no offload for that.
CHAINS = frozenset({"net_pcap", "net_ring", "net_vhost", "net_memif"})
# The interface that these make can be given another MTU at any time, by others.
GROWS = frozenset({"net_tap"})


@dataclass(frozen=True)
class Capabilities:
    """What a driver can do, as rte_eth_dev_info tells it; sizes in bytes."""

    driver: str
    mtu: int = 1500  # the largest packet behind the Ethernet header that may come
    min_buffer: int = 0  # of packet; smaller buffers it refuses
    max_buffer: int = 0  # larger ones, too; 0 where there is no such bound
    pools: int = 0  # max_rx_mempools: that it chooses from by the size of a packet
    segments: int = 0  # rx_seg_capa: into which RX_OFFLOAD_BUFFER_SPLIT can split a packet; 0 without that offload
    segment_pools: bool = False  # each of its own pool
    by_headers: bool = False  # it splits behind a header, not at a length
    scatter: bool = False  # RX_OFFLOAD_SCATTER

    @property
    def frame(self) -> int:
        """The largest frame that may come."""
        return self.mtu + AROUND

    @property
    def chains(self) -> bool:
        """Whether a frame may lie in several buffers, each of the same pool."""
        return self.scatter or self.driver in CHAINS

    @property
    def any_length(self) -> bool:
        """Whether frames may come that are longer than the MTU of now allows."""
        return self.driver in CHAINS or self.driver in GROWS


@dataclass(frozen=True)
class ReceivePlan:
    """How a port receives. `buffers`: the classes of the pools that it is given; `whole`: the class that a packet in
    several buffers is gathered into when stages read it, 0 where none comes; `offloads` as DPDK names them."""

    mode: Mode
    buffers: tuple[int, ...]
    whole: int
    offloads: tuple[str, ...]
    why: str

    def __str__(self) -> str:
        sizes = " and ".join(f"{size:,}" for size in self.buffers)
        gathered = f", gathered into {self.whole:,}" if self.whole else ""
        return f"{self.mode}, buffers of {sizes} bytes{gathered}: {self.why}"


def plan_receive(
    can: Capabilities, classes: SizeClasses, *, reads: bool, wanted: Mode | None = None, buffer: int | None = None
) -> ReceivePlan:
    """The plan for a port. `reads`: stages (or a file) look at the bytes of packets, and so need each in one piece.
    `wanted` demands a mode, `buffer` a class to receive into. Raises BurstlineError for what the driver cannot do."""
    usable = [c for c in classes.sizes if c >= can.min_buffer and (not can.max_buffer or c <= can.max_buffer)]
    usable = [c for c in usable if buffer is None or c == buffer]
    if not usable:
        raise _no_buffer(can, classes, buffer)
    choice = _Choice(can, classes, tuple(usable), reads)
    ways = {"pools": choice.pools, "split": choice.split, "scatter": choice.scatter, "one pool": choice.one_pool}
    refused = list[str]()
    for mode in MODES if wanted is None else (wanted,):
        if wanted is None and mode == "split" and reads:
            refused.append("stages read packets whole, so that splitting them would only make work")
            continue
        if wanted is None and mode == "scatter" and not choice.scatters:
            continue
        made = ways[mode]()
        if isinstance(made, ReceivePlan):
            return made
        refused.append(made)
    if wanted is not None:
        raise BurstlineError(f"{can.driver} cannot receive by {wanted!r}: {refused[-1]}", "leave [pools] receive out")
    room = f"{rounded(can.frame)}" + (f" (it takes up to {can.max_buffer})" if can.max_buffer else "")
    raise BurstlineError(
        f"{can.driver} may bring frames of {can.frame:,} bytes, the largest buffer holds {usable[-1]:,}",
        f"add {room} to [pools] classes, or give the port a smaller mtu",
    )


@dataclass(frozen=True)
class _Choice:
    """Each way of receiving: the plan, or why it is not to be had."""

    can: Capabilities
    classes: SizeClasses
    usable: tuple[int, ...]
    reads: bool

    @property
    def fit(self) -> int | None:
        """The smallest usable class that holds any frame."""
        return next((c for c in self.usable if c >= self.can.frame), None)

    @property
    def ordinary(self) -> int:
        """The smallest usable class that holds a frame which is not jumbo, or the largest there is."""
        return next((c for c in self.usable if c >= min(self.can.frame, ORDINARY)), self.usable[-1])

    @property
    def scatters(self) -> bool:
        """Whether frames in several buffers are to be expected, or one buffer for each frame would be a waste."""
        return self.can.chains and (self.can.any_length or self.fit is None or self.fit > self.ordinary)

    @property
    def whole(self) -> int:
        if not self.reads:
            return 0
        return self.classes.largest if self.can.any_length else self.classes.class_for(self.can.frame) or 0

    def pools(self) -> ReceivePlan | str:
        if self.can.pools < 2:
            return "it chooses from no pools by the size of packets (max_rx_mempools)"
        most = self.fit or (self.usable[-1] if self.can.scatter else None)
        if most is None:
            return f"a frame of {self.can.frame:,} bytes fits into no buffer"
        chosen = [c for c in self.usable if c <= most][-self.can.pools :]
        if len(chosen) < 2:
            return f"only buffers of {most:,} bytes suit it"
        why = f"it chooses from up to {self.can.pools} pools by the size of a packet (max_rx_mempools)"
        return self._chained("pools", tuple(chosen), why) if self.fit is None else self._plan("pools", chosen, why)

    def split(self) -> ReceivePlan | str:
        if self.can.segments < 2 or not self.can.segment_pools:
            return "it has no buffer split into several pools (RX_OFFLOAD_BUFFER_SPLIT, rx_seg_capa)"
        if self.can.by_headers:
            return (
                "its buffer split goes by protocol headers, not by size: a small packet would still take both buffers"
            )
        if len(self.usable) < 2:
            return "there is one size of buffers only"
        # Of a longer packet, all that remains goes into further buffers of the last pool (rte_ethdev.h, rx_seg).
        head = self.usable[0]
        rest = next((c for c in self.usable[1:] if head + c >= min(self.can.frame, ORDINARY)), self.usable[-1])
        offloads = ("BUFFER_SPLIT", "SCATTER") if self.can.scatter else ("BUFFER_SPLIT",)
        why = f"it splits packets at {head:,} bytes (RX_OFFLOAD_BUFFER_SPLIT)"
        if not self.reads:
            why += ", and no stage reads their bytes"
        return self._chained("split", (head, rest), why, offloads)

    def scatter(self) -> ReceivePlan | str:
        if not self.can.chains:
            return "it cannot put a frame into several buffers (RX_OFFLOAD_SCATTER)"
        able = "scatters" if self.can.scatter else "chains"
        if self.can.driver in CHAINS:
            why = f"it {able} frames of any length by itself"
        elif self.can.any_length:
            why = f"it {able} frames, and the MTU of its interface may change"
        else:
            why = f"it {able} frames, which may have {self.can.frame:,} bytes"
        return self._chained("scatter", (self.ordinary,), why, ("SCATTER",) if self.can.scatter else ())

    def one_pool(self) -> ReceivePlan | str:
        if self.fit is None:
            return f"a frame of {self.can.frame:,} bytes fits into no buffer"
        jumbo = "" if self.can.frame <= ORDINARY or self.can.chains else ", and it cannot scatter"
        return self._plan("one pool", (self.fit,), f"a frame has at most {self.can.frame:,} bytes{jumbo}")

    def _chained(
        self, mode: Mode, buffers: tuple[int, ...], why: str, offloads: tuple[str, ...] = ("SCATTER",)
    ) -> ReceivePlan | str:
        """A plan by which packets come in several buffers; stages that read them need a class that holds the whole."""
        if self.reads and not self.whole:
            return f"a frame of {self.can.frame:,} bytes could not be gathered: no buffer holds it"
        return ReceivePlan(mode, buffers, self.whole, offloads, why)

    def _plan(self, mode: Mode, buffers: tuple[int, ...] | list[int], why: str) -> ReceivePlan:
        return ReceivePlan(mode, tuple(buffers), 0, (), why)


def _no_buffer(can: Capabilities, classes: SizeClasses, buffer: int | None) -> BurstlineError:
    bounds = f"at least {can.min_buffer:,}" + (f" and at most {can.max_buffer:,}" if can.max_buffer else "")
    have = f"buffer_size gives it {buffer:,}" if buffer else f"the classes are {', '.join(map(str, classes.sizes))}"
    return BurstlineError(
        f"{can.driver} needs buffers of {bounds} bytes, and {have}",
        f"{'raise buffer_size' if buffer else 'add such a class to classes'} in [pools]",
    )
