"""Senders of flows, whose packets come interleaved, and what may be wrong with them."""

from __future__ import annotations

import random
from dataclasses import replace

from burstline.offload import mbuf as m
from gro_frames import ACK, CWR, ECE, FIN, PSH, RST, SYN, TIMESTAMPS, URG, Ip, Segment, Tunnel
from gro_model import GOOD, Packet


class Sender:
    """One flow: a stream of segments, mostly as GRO likes them."""

    def __init__(self, chance: random.Random, number: int) -> None:
        self.chance = chance
        six, udp = chance.random() < 0.4, chance.random() < 0.3
        flags = chance.choice([0x4000, 0x4000, 0])
        ip = Ip(six, b"\x0a\0\0" + bytes([number]), b"\x0a\0\x01\x02", ident=chance.randrange(65536), flags=flags)
        tunnel = None
        if chance.random() < 0.25:
            outer = Ip(chance.random() < 0.3, b"\xac\x10\0\x01", b"\xac\x10\0\x02", ident=65534, flags=flags)
            tunnel = Tunnel(outer, vni=number, summed=chance.random() < 0.3)
        vlans = tuple(chance.randrange(4096) for _ in range(chance.choice([0, 0, 0, 1, 2, 3])))
        inner = tuple(range(chance.choice([0, 0, 1, 2]))) if tunnel else ()
        self.next = Segment(
            ip, udp, 1000 + number, 80, chance.choice([1, 2**32 - 2000, 5000]), 7, 500,
            options=b"" if udp else chance.choice([b"", TIMESTAMPS, TIMESTAMPS, bytes(40)]),
            vlans=vlans, inner_vlans=inner, tunnel=tunnel,
        )  # fmt: skip
        self.size = chance.choice([1, 20, 100, 500, 1448])
        self.step = chance.choice([1, 1, 0]) if flags else 1
        self.stripped = chance.choice([0, 0, 0, 9])

    def send(self, defect: str = "") -> list[Packet]:
        """The next packet, or those that come in its place."""
        s = replace(self.next, payload=self.chance.randbytes(self.size))
        flags = GOOD | (m.RX_VLAN | m.RX_VLAN_STRIPPED if self.stripped else 0) | m.RX_OUTER_L4_CKSUM_GOOD
        packet = Packet(s, flags, vlan_tci=self.stripped)
        if defect == "duplicate":
            made = [packet, packet]
        elif defect == "reordered":
            self._advance(packet)
            made = [Packet(replace(self.next, payload=self.chance.randbytes(self.size)), flags), packet]
            made[0] = replace(made[0], vlan_tci=self.stripped)
            self._advance(made[0])
            return made
        elif defect == "gap":
            self._advance(packet)
            return []
        else:
            made = [self._with(packet, defect) if defect else packet]
        self._advance(made[-1])
        return made

    def _advance(self, sent: Packet) -> None:
        n, s = self.next, sent.segment
        tunnel = n.tunnel
        if tunnel is not None:
            tunnel = replace(tunnel, ip=replace(tunnel.ip, ident=tunnel.ip.ident + self.step & 0xFFFF))
        ip = replace(n.ip, ident=n.ip.ident + self.step & 0xFFFF)
        self.next = replace(n, ip=ip, tunnel=tunnel, seq=n.seq + len(s.payload) & 0xFFFFFFFF)

    def _with(self, p: Packet, defect: str) -> Packet:
        s, chance = p.segment, self.chance
        if defect in BITS:
            return replace(p, segment=replace(s, flags=s.flags | BITS[defect]))
        if defect in KNOWN:
            put, taken = KNOWN[defect]
            return replace(p, flags=p.flags & ~taken | put)
        if defect == "shared":
            return replace(p, refcnt=2)
        if defect in ("chain", "split headers"):
            low = s.headers if defect == "chain" else 1
            return replace(p, cuts=tuple(sorted({chance.randrange(low, low + self.size + 40) for _ in range(3)})))
        tunnel = s.tunnel or Tunnel()
        outer = s.tunnel is not None
        changed = {
            "short": {"payload": s.payload[: chance.randrange(1, len(s.payload) + 1)]},
            "long": {"payload": s.payload + b"more"},
            "empty": {"payload": b""},
            "ack": {"ack": 8},
            "window": {"window": 501},
            "urgent": {"urgent": 3},
            "options": {"options": TIMESTAMPS[:-1] + b"\x0a"},
            "no options": {"options": b""},
            "ttl": {"ip": replace(s.ip, ttl=63)},
            "tos": {"ip": replace(s.ip, tos=4)},
            "label": {"ip": replace(s.ip, label=77)},
            "ident": {"ip": replace(s.ip, ident=s.ip.ident + 5 & 0xFFFF)},
            "flag": {"ip": replace(s.ip, flags=s.ip.flags ^ 0x4000)},
            "reserved": {"ip": replace(s.ip, flags=s.ip.flags | 0x8000)},
            "fragment": {"ip": replace(s.ip, flags=0x2000)},
            "ip options": {"ip": replace(s.ip, options=b"\x01\x01\x01\x00")},
            "bad ip": {"ip": replace(s.ip, bad=True)},
            "mac": {"macs": b"\x02\x07" + s.macs[2:]},
            "other path": {"macs": s.macs[:6] + b"\x02\0\0\0\0\x07"},
            "vlan": {"vlans": (3,)},
            "inner vlan": {"inner_vlans": (4,) if outer else ()},
            "vni": {"tunnel": replace(tunnel, vni=99) if outer else None},
            "outer port": {"tunnel": replace(tunnel, port=50000) if outer else None},
            "outer sum": {"tunnel": replace(tunnel, summed=not tunnel.summed) if outer else None},
            "outer ident": {"tunnel": replace(tunnel, ip=replace(tunnel.ip, ident=77)) if outer else None},
            "outer ttl": {"tunnel": replace(tunnel, ip=replace(tunnel.ip, ttl=3)) if outer else None},
            "outer bad": {"tunnel": replace(tunnel, ip=replace(tunnel.ip, bad=True)) if outer else None},
            "padding": {"padding": 4},
            "unsummed": {"unsummed": True},
        }[defect]
        known = p.flags & ~m.RX_IP_CKSUM_NONE if defect == "bad ip" else p.flags  # the port did not look
        return replace(p, segment=replace(s, **changed), flags=known)


BITS = {"fin": FIN, "syn": SYN, "rst": RST, "psh": PSH, "urg": URG, "ece": ECE, "cwr": CWR, "ns": 0x100}
KNOWN = {  # flags of the mbuf that are set, and cleared
    "bad sum": (m.RX_L4_CKSUM_BAD, m.RX_L4_CKSUM_GOOD),
    "unknown sum": (0, m.RX_L4_CKSUM_NONE),
    "partial": (m.RX_L4_CKSUM_NONE, 0),
    "ip known bad": (m.RX_IP_CKSUM_BAD, m.RX_IP_CKSUM_GOOD),
    "ip unknown": (0, m.RX_IP_CKSUM_NONE),
    "ip partial": (m.RX_IP_CKSUM_NONE, 0),
    "outer unknown": (0, m.RX_OUTER_L4_CKSUM_GOOD),
    "outer known bad": (m.RX_OUTER_IP_CKSUM_BAD, 0),
    "lro": (m.RX_LRO, 0),
    "indirect": (m.INDIRECT, 0),
    "hash": (m.RX_RSS_HASH, 0),
    "other tag": (0, m.RX_VLAN | m.RX_VLAN_STRIPPED),
}
DEFECTS = (
    *BITS, *KNOWN, "duplicate", "reordered", "gap", "chain", "split headers", "shared", "short", "long", "empty", "ack",
    "window", "urgent", "options", "no options", "ttl", "tos", "label", "ident", "flag", "reserved", "fragment",
    "ip options", "bad ip", "mac", "other path", "vlan", "inner vlan", "vni", "outer port", "outer sum", "outer ident",
    "outer ttl", "outer bad", "padding", "unsummed",
)  # fmt: skip


def traffic(chance: random.Random, packets: int) -> list[Packet]:
    """Interleaved flows, some of whose packets have a defect."""
    senders = [Sender(chance, k + 1) for k in range(chance.choice([1, 2, 4, 7]))]
    made: list[Packet] = []
    rate = chance.choice([0.0, 0.1, 0.4])
    while len(made) < packets:
        sender = chance.choice(senders)
        if chance.random() < rate:
            made += sender.send(chance.choice(DEFECTS))
        else:
            for _ in range(chance.choice([1, 1, 3])):
                made += sender.send()
    return made


__all__ = ["ACK", "Sender", "traffic"]
