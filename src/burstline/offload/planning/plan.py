"""The plan of a port's offloads: who does each, why, and what the port and the software are to be given.

A pure function of what is asked, what the port can do, and what the run does with it. The plan is data: printed by
`burstline ports`, kept in the report, made again when a port changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from burstline.errors import BurstlineError
from burstline.offload.planning.capabilities import PortCapabilities
from burstline.offload.planning.choice import By, Choice, PortUse
from burstline.offload.planning.conflicts import LRO_UNMARKED, PEERS, excluded, vector_notes
from burstline.offload.planning.draft import Draft
from burstline.offload.planning.receive_choices import (
    choose_gro,
    choose_lro,
    choose_rss,
    choose_scatter,
    choose_split,
    choose_timestamp,
    choose_verify,
)
from burstline.offload.planning.stamp_clocks import StampClock
from burstline.offload.planning.transmit_choices import (
    can_cut,
    choose_fast_free,
    choose_fill,
    choose_multi_segment,
    choose_segmentation,
    choose_vlan,
)
from burstline.offload.planning.tuning import NO_TUNING, Tuning
from burstline.pipeline.offloads import NAMES, Offloads

# The software twins that the engine has.
SOFTWARE = {
    "verify": "looks at the checksums of received packets that the port has not vouched for",
    "fill": "fills in the checksums that the port leaves",
    "gro": "merges received segments",
    "gso": "cuts large packets that the port does not",
    "copies": "makes one buffer of several, for ports that take one",
    "vlan_strip": "takes a VLAN tag off",
    "vlan_insert": "puts a VLAN tag on",
}
TWINS = frozenset(SOFTWARE)

# Frames of these may come from a stack of the kernel that left their checksums to a NIC (CHECKSUM_PARTIAL).
KERNEL = frozenset({"net_af_packet", "net_af_xdp", "net_tap", "net_pcap"})


@dataclass(frozen=True)
class Asked:
    """One port of a run: what is asked of it, what it can do, what it is for."""

    intent: Offloads  # every key of it is set
    can: PortCapabilities
    use: PortUse
    tuning: Tuning = NO_TUNING


@dataclass(frozen=True)
class OffloadPlan:
    """What a port gets. Offloads are named as DPDK names them; checksums by IPV4, TCP, UDP, SCTP, OUTER_IPV4 and
    OUTER_UDP."""

    asked: Asked
    choices: tuple[Choice, ...]
    rx: tuple[str, ...]  # offloads to configure
    tx: tuple[str, ...]
    software: frozenset[str]  # the twins that run (TWINS)
    drops_bad: bool  # packets whose checksums are wrong are dropped by name
    verified_by_port: tuple[str, ...]
    filled_by_port: tuple[str, ...]
    cut_by_port: tuple[str, ...]  # what TSO does: "TCP over IPv4", "TCP in VXLAN", ...
    max_lro: int  # bytes of a merged packet, for the port; 0 as DPDK has it
    stamps: StampClock | None = None  # the clock by which the port stamps what it receives
    notes: tuple[str, ...] = ()
    bursts: tuple[str, ...] = field(default=(), compare=False)  # how the driver moves packets, when it was started

    @property
    def verify(self) -> bool:
        """Software looks at the checksums of what is received, where the port has not."""
        return "verify" in self.software

    @property
    def fill(self) -> bool:
        """Software fills in what `filled_by_port` leaves."""
        return "fill" in self.software

    @property
    def gro(self) -> bool:
        return "gro" in self.software

    @property
    def gro_timeout(self) -> float:
        """Seconds for which packets are held; 0: until the end of their burst."""
        return float(self.asked.intent.gro_timeout or 0)

    @property
    def gso(self) -> bool:
        """Software cuts what the port cannot (`cut_by_port`)."""
        return "gso" in self.software

    @property
    def tso(self) -> bool:
        return bool(self.cut_by_port)

    @property
    def copies(self) -> bool:
        """Software makes one mbuf of several before they are sent."""
        return "copies" in self.software

    @property
    def lro_unmarked(self) -> bool:
        """The port merges, and may not say which packets."""
        return "TCP_LRO" in self.rx and self.asked.can.driver in LRO_UNMARKED

    @property
    def vlan(self) -> int:
        """The VLAN that is taken off and put on, by whom ever; 0 for none."""
        return int(self.asked.intent.vlan or 0)

    @property
    def partial(self) -> bool:
        """Received frames may carry the pseudo header's sum alone (CHECKSUM_PARTIAL), and no flag that says so."""
        return self.verify and self.asked.can.driver in KERNEL

    @property
    def segment_size(self) -> int:
        """Bytes of payload for packets that stages emit without a size: as asked, or what the MTU has room for."""
        return self.asked.intent.segment_size or max(1, self.mtu - 40)

    @property
    def mtu(self) -> int:
        return self.asked.use.mtu

    @property
    def max_segments(self) -> int:
        """Mbufs that a packet to be cut may lie in."""
        return self.asked.can.tx_segments

    @property
    def max_mtu_segments(self) -> int:
        """Mbufs that any other packet may lie in."""
        return self.asked.can.tx_mtu_segments

    @property
    def rss(self) -> Any:
        """What the port's set-up is told."""
        return self.asked.intent.rss if self.choice("rss").active else False

    def choice(self, name: str) -> Choice:
        return next(choice for choice in self.choices if choice.name == name)

    def as_json(self) -> dict[str, Any]:
        can, tuning = self.asked.can, self.asked.tuning
        return {
            "driver": can.driver,
            "choices": [choice.as_json() for choice in self.choices],
            "rx_offloads": list(self.rx),
            "tx_offloads": list(self.tx),
            "software": sorted(self.software),
            "drops_bad": self.drops_bad,
            "verified_by_port": list(self.verified_by_port),
            "filled_by_port": list(self.filled_by_port),
            "cut_by_port": list(self.cut_by_port),
            "gro_timeout": self.gro_timeout,
            "segment_size": self.segment_size,
            "mtu": self.mtu,
            "max_lro": self.max_lro,
            "vlan": self.vlan,
            "stamps": self.stamps.kind if self.stamps else None,
            "notes": list(self.notes),
            "tuning": tuning.as_json(),
            "bursts": list(self.bursts),
        }

    def lines(self) -> list[str]:
        """For a terminal."""
        width = max(len(choice.name) for choice in self.choices)
        asked = max(len(choice.asked) for choice in self.choices)
        text = [f"{c.name:<{width}}  {c.asked:<{asked}}  {c.by:<8}  {c.why}" for c in self.choices]
        text.append(f"set: receive {_list(self.rx)}; send {_list(self.tx)}")
        text += [f"note: {note}" for note in self.notes]
        text += self.asked.tuning.lines()
        text += [f"burst: {line}" for line in self.bursts]
        return text

    @property
    def summary(self) -> str:
        """What is active, in one line; nothing where nothing is."""
        return ", ".join(f"{choice.name} by {choice.by}" for choice in self.choices if choice.active)


def plan_ports(asked: Sequence[Asked], twins: frozenset[str] | None = None) -> list[OffloadPlan]:
    """The plans of all ports of a run, which depend on each other: what one port merges, the others must cut. Raises
    BurstlineError for a demand that cannot be met, before any port is configured."""
    twins = TWINS if twins is None else twins
    outs = [one for one in asked if one.use.sends]
    merges = any(one.use.receives and (one.intent.lro is True or one.intent.gro is True) for one in asked)
    stuck = next((one for one in outs if not can_cut(_draft(one, twins))), None)
    unfilled = next((one for one in outs if not _can_fill(one, twins)), None)
    partials = any(_brings_partials(one) for one in asked) and unfilled is None
    return [
        plan_offloads(
            replace(
                one,
                use=replace(
                    one.use,
                    merges=merges and one.use.sends,
                    partials=partials and one.use.sends,
                    merged_stuck=f"{stuck.use.port} could not cut merged packets again" if stuck else "",
                    partials_stuck=f"{unfilled.use.port} could not fill in checksums that it leaves open"
                    if unfilled
                    else "",
                ),
            ),
            twins,
        )
        for one in asked
    ]


def plan_offloads(asked: Asked, twins: frozenset[str] | None = None) -> OffloadPlan:
    """The plan of one port. Raises BurstlineError for a demand that cannot be met."""
    intent, can, use = asked.intent, asked.can, asked.use
    if asked.use.mtu_asked:
        check_mtu(asked.use.port, asked.can, asked.use.mtu)
    draft = _draft(asked, TWINS if twins is None else twins)
    verify, how_verified = choose_verify(draft)
    choose_lro(draft)
    choose_gro(draft)
    choose_rss(draft)
    choose_scatter(draft)
    choose_split(draft)
    choose_timestamp(draft)
    choose_segmentation(draft)
    choose_multi_segment(draft)
    fill, how_filled = choose_fill(draft)
    choose_vlan(draft)
    choose_fast_free(draft)
    ways = [by for by in (verify, fill) if by != "off"]
    by: By = "off" if not ways else "software" if "software" in ways else ways[0]
    draft.chosen("checksum", by, "; ".join(w for w in (how_verified, how_filled) if w) or "not asked for")
    rx, tx = frozenset(draft.rx), frozenset(draft.tx)
    assert rx <= can.rx | set(use.receive_offloads) and tx <= can.tx, "an offload that the port does not offer"
    for side, offloads in (("rx", rx), ("tx", tx)):
        assert excluded("rx" if side == "rx" else "tx", offloads) is None, "two offloads that exclude each other"
    lro_by_port = "TCP_LRO" in rx
    return OffloadPlan(
        asked=asked,
        choices=tuple(draft.choices[name] for name in NAMES),
        rx=tuple(sorted(rx)),
        tx=tuple(sorted(tx)),
        software=frozenset(draft.software),
        drops_bad=intent.checksum in (True, "verify") and verify != "off",
        verified_by_port=tuple(sorted(can.checks & {name.removesuffix("_CKSUM") for name in rx})),
        filled_by_port=tuple(sorted(draft.filled)),
        cut_by_port=tuple(sorted(draft.cuts)),
        max_lro=can.max_lro if lro_by_port else 0,
        stamps=draft.stamps,
        notes=tuple([*draft.notes, *vector_notes(can.driver, rx, tx)]),
    )


def replanned(
    old: OffloadPlan,
    *,
    can: PortCapabilities | None = None,
    mtu: int | None = None,
    twins: frozenset[str] | None = None,
) -> OffloadPlan | None:
    """The plan when a port has changed: it can do other things, or has another MTU. None where that changes nothing."""
    use = old.asked.use if mtu is None else replace(old.asked.use, mtu=mtu, mtu_asked=False)
    made = plan_offloads(replace(old.asked, can=can or old.asked.can, use=use), twins)
    return None if made == old else made


def _draft(asked: Asked, twins: frozenset[str]) -> Draft:
    return Draft(asked.intent, asked.can, asked.use, twins)


def _can_fill(asked: Asked, twins: frozenset[str]) -> bool:
    """Whether TCP and UDP checksums can be filled in on the port, by whom ever."""
    software = "fill" in twins and not asked.intent.must_be_hardware("checksum")
    return software or (asked.intent.require != "software" and {"TCP", "UDP"} <= asked.can.fills)


def _brings_partials(asked: Asked) -> bool:
    """Whether packets may be received whose checksums are known to be right, but are not in the packet: a peer that was
    told that we can take that (VIRTIO_NET_F_GUEST_CSUM), or the kernel's stack, with software that looks."""
    intent, driver = asked.intent, asked.can.driver
    looked_at = intent.checksum in (True, "verify") or intent.lro is True or intent.gro is True
    return asked.use.receives and looked_at and (driver in PEERS or driver in KERNEL)


def check_mtu(port: str, can: PortCapabilities, mtu: int) -> None:
    """Raise BurstlineError for an MTU that the port does not take."""
    if not can.min_mtu <= mtu <= can.max_mtu:
        bound = f"at least {can.min_mtu:,}" if mtu < can.min_mtu else f"at most {can.max_mtu:,}"
        raise BurstlineError(
            f"{port} ({can.driver}): an MTU of {mtu:,} is not to be had: it takes {bound}",
            f"write mtu = {can.min_mtu if mtu < can.min_mtu else can.max_mtu} in its [[ports]], or leave it out",
        )


def _list(offloads: Sequence[str]) -> str:
    return ", ".join(offloads) or "nothing"
