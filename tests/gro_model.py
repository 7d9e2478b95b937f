"""Which packets GRO merges, said once more in plain Python: Linux's rules over what senders meant, not over bytes."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from burstline.offload import mbuf as m
from gro_frames import ACK, CWR, FIN, PSH, RST, SYN, URG, Segment

GOOD = m.RX_L4_CKSUM_GOOD | m.RX_IP_CKSUM_GOOD


@dataclass(frozen=True)
class Packet:
    """A segment as a port received it."""

    segment: Segment
    flags: int = GOOD
    cuts: tuple[int, ...] = ()
    refcnt: int = 1
    vlan_tci: int = 0

    @property
    def flow(self) -> Hashable:
        """Packets of one flow never pass each other."""
        s = self.segment
        stripped = self.vlan_tci if self.flags & m.RX_VLAN else None
        vni = s.tunnel.vni if s.tunnel else None
        return s.macs[4:], s.vlans, stripped, vni, s.ip.six, s.ip.src, s.ip.dst, s.udp, s.sport, s.dport

    @property
    def is_seen(self) -> bool:
        """Whether GRO can tell its flow: the first mbuf has all of its headers, and it is no fragment."""
        s = self.segment
        first = min((c for c in self.cuts if c > 0), default=1 << 20)
        outer = s.tunnel.ip.flags if s.tunnel and not s.tunnel.ip.six else 0
        return first >= s.headers and not (outer | (0 if s.ip.six else s.ip.flags)) & 0x3FFF

    @property
    def is_sound(self) -> bool:
        """Whether it can be merged, whatever it says."""
        s, known = self.segment, self.flags
        if self.refcnt != 1 or known & (m.RX_LRO | m.INDIRECT) or not known & m.RX_L4_CKSUM_GOOD:
            return False
        if not s.ip.six:
            verdict = known & (m.RX_IP_CKSUM_GOOD | m.RX_IP_CKSUM_BAD)
            if verdict == m.RX_IP_CKSUM_BAD or (verdict == 0 and s.ip.bad) or s.ip.flags & 0xBFFF:
                return False
        if s.tunnel is not None:
            if not s.tunnel.ip.six and (s.tunnel.ip.bad or s.tunnel.ip.flags & 0xBFFF):
                return False
            if known & m.RX_OUTER_IP_CKSUM_BAD or (s.tunnel.summed and not known & m.RX_OUTER_L4_CKSUM_GOOD):
                return False
        if len(s.vlans) > 2 or len(s.inner_vlans) > 1 or s.headers > 176 or s.ip.options or s.padding:
            return False
        return bool(s.payload) and not (s.udp and s.unsummed)

    @property
    def heads(self) -> bool:
        return self.is_sound and (self.segment.udp or not self.segment.flags & (FIN | SYN | RST | PSH | URG))

    @property
    def ends(self) -> bool:
        return not self.segment.udp and bool(self.segment.flags & (FIN | PSH))


@dataclass
class Waiting:
    """What is held."""

    numbers: list[int]
    packets: list[Packet]
    since: int
    fixed: set[str] = field(default_factory=set)

    @property
    def first(self) -> Segment:
        return self.packets[0].segment

    @property
    def size(self) -> int:
        """Of its outermost IP packet."""
        extra = sum(len(p.segment.payload) for p in self.packets[1:])
        return len(self.first.frame()) - 14 - 4 * len(self.first.vlans) + extra

    def takes(self, packet: Packet, most: int) -> bool:
        a, b, count = self.first, packet.segment, len(self.packets)
        if not packet.is_sound or packet.flags & m.RX_VLAN != self.packets[0].flags & m.RX_VLAN:
            return False
        if len(b.payload) > len(a.payload) or self.size + len(b.payload) > most:
            return False
        if not b.udp:
            if (a.flags ^ b.flags) & ~(CWR | FIN | PSH) or b.flags & CWR:
                return False
            if (a.ack, a.window, a.options, a.urgent) != (b.ack, b.window, b.options, b.urgent):
                return False
            if b.seq != a.seq + sum(len(p.segment.payload) for p in self.packets) & 0xFFFFFFFF:
                return False
        if (a.macs, a.vlans, a.inner_vlans) != (b.macs, b.vlans, b.inner_vlans):
            return False
        if (a.tunnel is None) != (b.tunnel is None):
            return False
        levels = {"inner": (a.ip, b.ip)}
        if a.tunnel is not None and b.tunnel is not None:
            if (a.tunnel.port, a.tunnel.vni, a.tunnel.summed) != (b.tunnel.port, b.tunnel.vni, b.tunnel.summed):
                return False
            levels["outer"] = a.tunnel.ip, b.tunnel.ip
        for level, (x, y) in levels.items():
            if (x.six, x.src, x.dst, x.ttl, x.tos) != (y.six, y.src, y.dst, y.ttl, y.tos):
                return False
            if x.six:
                if x.label != y.label:
                    return False
                continue
            away = y.ident - x.ident & 0xFFFF
            if x.flags != y.flags:
                return False
            if count == 1 and x.flags & 0x4000 and away == 0:
                self.fixed.add(level)
            if away != (0 if level in self.fixed else count):
                return False
        return True


class Model:
    """`receive` gives what goes on, in order: lists of the numbers of packets that are one by then."""

    def __init__(self, timeout: int = 0, most: int = 65535, udp: bool = True, tunnels: bool = True) -> None:
        self.timeout, self.most, self.udp, self.tunnels = timeout, most, udp, tunnels
        self.held: dict[Hashable, Waiting] = {}
        self.number = 0

    def receive(self, packets: list[Packet], now: int) -> list[list[int]]:
        out: list[list[int]] = []
        for packet in packets:
            self._one(packet, self.number, now, out)
            self.number += 1
        return out + self.over(now, room=2 * len(packets) - len(out))

    def over(self, now: int, all: bool = False, room: int = 1 << 20) -> list[list[int]]:
        gone: list[list[int]] = []
        for flow, waiting in list(self.held.items()):  # in the order in which they began to wait
            if len(gone) < room and (all or now - waiting.since >= self.timeout):
                gone.append(self.held.pop(flow).numbers)
        return gone

    def _one(self, packet: Packet, number: int, now: int, out: list[list[int]]) -> None:
        s = packet.segment
        if not packet.is_seen or (s.udp and not self.udp) or (s.tunnel is not None and not self.tunnels):
            out.append([number])
            return
        waiting = self.held.get(packet.flow)
        if waiting is not None and waiting.takes(packet, self.most):
            waiting.numbers.append(number)
            waiting.packets.append(packet)
            shorter = len(s.payload) < len(waiting.first.payload)
            if packet.ends or shorter or (s.udp and len(waiting.packets) >= 64):
                out.append(self.held.pop(packet.flow).numbers)
            return
        if waiting is not None:
            out.append(self.held.pop(packet.flow).numbers)
        if packet.heads:
            self.held[packet.flow] = Waiting([number], [packet], now)
        else:
            out.append([number])


__all__ = ["ACK", "GOOD", "Model", "Packet"]
