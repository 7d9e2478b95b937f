"""Frames of TCP and UDP flows, as senders cut them into segments, with any defect; and segments of a merged packet,
cut by the RFCs. Plain Python: what GRO does is compared with it."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << k for k in range(8))
TIMESTAMPS = b"\x01\x01\x08\x0a\x00\x00\x00\x07\x00\x00\x00\x09"


def checksum(data: bytes) -> int:
    """The one's complement sum, not turned over (RFC 1071)."""
    padded = data + bytes(len(data) & 1)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@dataclass(frozen=True)
class Ip:
    """An IP header, without options unless given."""

    six: bool = False
    src: bytes = b"\x0a\0\0\x01"
    dst: bytes = b"\x0a\0\0\x02"
    ttl: int = 64
    tos: int = 0
    ident: int = 0
    flags: int = 0x4000  # with the fragment's offset
    label: int = 0
    options: bytes = b""
    bad: bool = False

    def address(self, four: bytes) -> bytes:
        return b"\x20\x01\x0d\xb8" + bytes(8) + four if self.six else four

    def pseudo(self, proto: int, size: int) -> bytes:
        return self.address(self.src) + self.address(self.dst) + struct.pack("!II", size, proto)

    def packed(self, proto: int, payload: bytes) -> bytes:
        if self.six:
            extension = bytes([proto, 0, 1, 4, 0, 0, 0, 0]) if self.options else b""
            word = 6 << 28 | self.tos << 20 | self.label
            head = struct.pack("!IHBB", word, len(extension) + len(payload), 60 if extension else proto, self.ttl)
            return head + self.address(self.src) + self.address(self.dst) + extension + payload
        size = 20 + len(self.options)
        head = struct.pack(
            "!BBHHHBBH", 0x40 | size // 4, self.tos, size + len(payload), self.ident, self.flags, self.ttl, proto, 0
        )
        head += self.src + self.dst + self.options
        total = checksum(head) ^ 0xFFFF ^ (0x0101 if self.bad else 0)
        return head[:10] + struct.pack("!H", total) + head[12:] + payload


@dataclass(frozen=True)
class Tunnel:
    """VXLAN (RFC 7348)."""

    ip: Ip = field(default_factory=lambda: Ip(src=b"\xac\x10\0\x01", dst=b"\xac\x10\0\x02"))
    port: int = 49152
    vni: int = 5
    summed: bool = False


@dataclass(frozen=True)
class Segment:
    """One packet."""

    ip: Ip = field(default_factory=Ip)
    udp: bool = False
    sport: int = 1000
    dport: int = 80
    seq: int = 1
    ack: int = 7
    window: int = 500
    flags: int = ACK
    urgent: int = 0
    options: bytes = b""
    payload: bytes = b""
    macs: bytes = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02"
    vlans: tuple[int, ...] = ()
    inner_vlans: tuple[int, ...] = ()
    tunnel: Tunnel | None = None
    padding: int = 0
    bad: bool = False  # its transport's checksum
    unsummed: bool = False

    @property
    def headers(self) -> int:
        return len(self.frame()) - len(self.payload) - self.padding

    def transport(self) -> bytes:
        if self.udp:
            size = 8 + len(self.payload)
            made = struct.pack("!HHHH", self.sport, self.dport, size, 0) + self.payload
            total = checksum(self.ip.pseudo(17, size) + made) ^ 0xFFFF or 0xFFFF
            total = 0 if self.unsummed else total ^ (0x0101 if self.bad else 0)
            return made[:6] + struct.pack("!H", total) + made[8:]
        words = (20 + len(self.options)) // 4 << 12 | self.flags
        made = struct.pack("!HHIIHHHH", self.sport, self.dport, self.seq, self.ack, words, self.window, 0, self.urgent)
        made += self.options + self.payload
        total = checksum(self.ip.pseudo(6, len(made)) + made) ^ 0xFFFF ^ (0x0101 if self.bad else 0)
        return made[:16] + struct.pack("!H", total) + made[18:]

    def frame(self) -> bytes:
        made = _ethernet(self.macs, self.vlans if self.tunnel is None else self.inner_vlans, self.ip, self._ip())
        if self.tunnel is not None:
            outer = self.tunnel
            made = struct.pack("!II", 0x08000000, outer.vni << 8) + made
            size = 8 + len(made)
            header = struct.pack("!HHHH", outer.port, 4789, size, 0)
            if outer.summed:
                total = checksum(outer.ip.pseudo(17, size) + header + made) ^ 0xFFFF or 0xFFFF
                header = header[:6] + struct.pack("!H", total)
            made = _ethernet(self.macs, self.vlans, outer.ip, outer.ip.packed(17, header + made))
        return made + bytes(self.padding)

    def _ip(self) -> bytes:
        return self.ip.packed(17 if self.udp else 6, self.transport())


def _ethernet(macs: bytes, vlans: tuple[int, ...], ip: Ip, packet: bytes) -> bytes:
    tags = b"".join(struct.pack("!HH", 0x8100, vlan) for vlan in vlans)
    return macs + tags + struct.pack("!H", 0x86DD if ip.six else 0x0800) + packet


def merged(first: Segment, payload: bytes, flags: int) -> Segment:
    """What several segments become: the first, with all of their payload and the last one's flags."""
    return replace(first, payload=payload, flags=first.flags | flags & (FIN | PSH))


def partial(whole: Segment) -> bytes:
    """Its frame with the sums of pseudo headers where checksums of payload would be."""
    inner = whole.transport()
    at, proto = (6, 17) if whole.udp else (16, 6)
    frame = bytearray(whole.frame())
    end = len(frame) - whole.padding
    start = end - len(inner)
    frame[start + at : start + at + 2] = struct.pack("!H", checksum(whole.ip.pseudo(proto, len(inner))))
    if whole.tunnel is not None and whole.tunnel.summed:
        outer = 14 + 4 * len(whole.vlans) + (40 if whole.tunnel.ip.six else 20)
        frame[outer + 6 : outer + 8] = struct.pack("!H", checksum(whole.tunnel.ip.pseudo(17, end - outer)))
    return bytes(frame)


def cut(whole: Segment, size: int) -> list[Segment]:
    """GSO: segments with `size` bytes of payload, IP-IDs that count up, FIN and PSH on the last, CWR on the first
    (RFC 9293, RFC 6864, RFC 3168)."""
    made = []
    for number, at in enumerate(range(0, len(whole.payload), size)):
        is_last = at + size >= len(whole.payload)
        flags = whole.flags if is_last else whole.flags & ~(FIN | PSH)
        tunnel = whole.tunnel
        if tunnel is not None:
            tunnel = replace(tunnel, ip=replace(tunnel.ip, ident=tunnel.ip.ident + number & 0xFFFF))
        made.append(
            replace(
                whole,
                ip=replace(whole.ip, ident=whole.ip.ident + number & 0xFFFF),
                tunnel=tunnel,
                seq=whole.seq + at & 0xFFFFFFFF,
                flags=flags if number == 0 else flags & ~CWR,
                payload=whole.payload[at : at + size],
            )
        )
    return made
