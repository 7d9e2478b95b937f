"""A million packets that do not repeat, made in memory: plain ones, and a mix of everything that the parser knows.

A packet is a stack of headers around a payload of random size; addresses, ports and payload are random, and the order
of kinds cannot be predicted. Checksums are not made: nothing here looks at them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Layer = Callable[[bytes, int], bytes]  # (what it carries, a byte to fill random fields with) -> with its header
Kinds = Sequence[tuple[float, Sequence[Layer]]]  # the share of each, and its headers
SIZES = 64  # payloads of 0 to 63 bytes more than the least


def eth(kind: int) -> Layer:
    return lambda body, r: bytes((r,)) * 12 + struct.pack("!H", kind) + body


def vlan(kind: int) -> Layer:
    return lambda body, r: bytes((r & 0x0F, r)) + struct.pack("!H", kind) + body


def mpls(last: bool) -> Layer:
    return lambda body, r: bytes((r, r, 0x31 if last else 0x30, 64)) + body


def pppoe(ppp: int) -> Layer:
    return lambda body, r: struct.pack("!BBHHH", 0x11, 0, r, len(body) + 2, ppp) + body


def snap(kind: int) -> Layer:
    def layer(body: bytes, r: int) -> bytes:
        inside = b"\xaa\xaa\x03\0\0\0" + struct.pack("!H", kind) + body
        return bytes((r,)) * 12 + struct.pack("!H", len(inside)) + inside

    return layer


def ipv4(proto: int, options: int = 0, piece: int = 0) -> Layer:
    def layer(body: bytes, r: int) -> bytes:
        size = 20 + 4 * options
        head = struct.pack("!BBHHHBBH", 0x40 | size // 4, 0, size + len(body), r << 8 | r, piece, 64, proto, 0)
        return head + bytes((r,)) * 8 + b"\x01" * 4 * options + body

    return layer


def ipv6(proto: int) -> Layer:
    return lambda body, r: struct.pack("!IHBB", 6 << 28, len(body), proto, 64) + bytes((r,)) * 32 + body


def extension(following: int, words: int = 0) -> Layer:
    return lambda body, r: bytes((following, words)) + bytes(6 + 8 * words) + body


def fragment(following: int, piece: int) -> Layer:
    return lambda body, r: struct.pack("!BBHI", following, 0, piece, r) + body


def authenticated(following: int) -> Layer:
    return lambda body, r: bytes((following, 4, 0, 0)) + bytes((r,)) * 20 + body


def tcp(options: int = 0) -> Layer:
    return lambda body, r: (
        bytes((r & 0x7F, r)) * 2 + bytes((r,)) * 8 + bytes((0x50 + 16 * options, 16)) + bytes(6 + 4 * options) + body
    )


def udp(dport: int | None = None) -> Layer:
    def layer(body: bytes, r: int) -> bytes:
        # ephemeral ports, which no tunnel has
        to = bytes((0xC0 | r & 0x3F, r)) if dport is None else struct.pack("!H", dport)
        return bytes((0xC0 | r & 0x3F, r)) + to + struct.pack("!HH", 8 + len(body), 0) + body

    return layer


def raw(head: bytes) -> Layer:
    return lambda body, r: head + body


def gtpu(body: bytes, r: int) -> bytes:
    return struct.pack("!BBHI", 0x34, 255, len(body) + 8, r) + b"\0\0\0\x85\x01\0\x09\0" + body


ICMP, SCTP = raw(bytes(8)), raw(bytes(12))
ARP = raw(bytes.fromhex("0001080006040001") + bytes(20))
PLAIN: Kinds = [
    (0.45, (eth(0x0800), ipv4(6), tcp())),
    (0.10, (eth(0x0800), ipv4(6), tcp(3))),
    (0.25, (eth(0x0800), ipv4(17), udp())),
    (0.12, (eth(0x86DD), ipv6(6), tcp())),
    (0.08, (eth(0x86DD), ipv6(17), udp())),
]
_V4_TCP, _V6_UDP = (ipv4(6), tcp()), (ipv6(17), udp())
_OTHERS: list[Sequence[Layer]] = [
    (eth(0x8100), vlan(0x0800), *_V4_TCP),
    (eth(0x8100), vlan(0x86DD), *_V6_UDP),
    (eth(0x88A8), vlan(0x8100), vlan(0x0800), *_V4_TCP),
    (eth(0x8847), mpls(False), mpls(True), *_V4_TCP),
    (eth(0x8847), mpls(True), *_V6_UDP),
    (eth(0x8864), pppoe(0x0021), *_V4_TCP),
    (eth(0x8864), pppoe(0x0057), *_V6_UDP),
    (snap(0x0800), *_V4_TCP),
    (eth(0x0806), ARP),
    (eth(0x0800), ipv4(6, options=2), tcp(2)),
    (eth(0x0800), ipv4(17, piece=0x2000), udp()),
    (eth(0x0800), ipv4(17, piece=0x00B9)),
    (eth(0x0800), ipv4(1), ICMP),
    (eth(0x0800), ipv4(132), SCTP),
    (eth(0x0800), ipv4(50), ICMP),
    (eth(0x0800), ipv4(51), authenticated(6), tcp()),
    (eth(0x86DD), ipv6(58), ICMP),
    (eth(0x86DD), ipv6(0), extension(6), tcp()),
    (eth(0x86DD), ipv6(43), extension(60, 2), extension(17, 1), udp()),
    (eth(0x86DD), ipv6(44), fragment(17, 1), udp()),
    (eth(0x86DD), ipv6(44), fragment(17, 0x05A8)),
]
_TUNNELS: list[Sequence[Layer]] = [
    (eth(0x0800), ipv4(47), raw(b"\0\0\x08\0"), *_V4_TCP),
    (eth(0x0800), ipv4(47), raw(b"\x30\0\x86\xdd" + bytes(8)), *_V6_UDP),
    (eth(0x0800), ipv4(4), *_V4_TCP),
    (eth(0x0800), ipv4(41), *_V6_UDP),
    (eth(0x0800), ipv4(17), udp(4789), raw(b"\x08\0\0\0\0\0\x2a\0"), eth(0x0800), *_V4_TCP),
    (eth(0x0800), ipv4(17), udp(4789), raw(b"\x08\0\0\0\0\0\x2a\0"), eth(0x8100), vlan(0x86DD), *_V6_UDP),
    (eth(0x86DD), ipv6(17), udp(6081), raw(b"\x01\0\x65\x58\0\0\x07\0" + bytes(4)), eth(0x0800), *_V4_TCP),
    (eth(0x0800), ipv4(17), udp(2152), gtpu, *_V4_TCP),
]
MIX = (
    [(0.5 * share, layers) for share, layers in PLAIN]
    + [(0.3 / len(_OTHERS), layers) for layers in _OTHERS]
    + [(0.2 / len(_TUNNELS), layers) for layers in _TUNNELS]
)


@dataclass(frozen=True)
class Arena:
    """Packets behind each other in `memory`; packet k has `captured[k]` bytes from `starts[k]` on. The arrays are a
    little longer, so that prefetching may look past the last packet."""

    memory: Any
    starts: Any
    captured: Any
    packets: int


def build(layers: Sequence[Layer], payload: int, fill: int) -> bytes:
    body = bytes((fill,)) * payload
    for layer in reversed(layers):
        body = layer(body, fill)
    return body


def make(kinds: Kinds, packets: int, seed: int, memory: Callable[[int], Any]) -> Arena:
    """Packets of these kinds in random order; `memory(size)` gives an array of so many bytes."""
    dice = np.random.default_rng(seed)
    shares = np.array([share for share, _ in kinds])
    kind = dice.choice(len(kinds), packets, p=shares / shares.sum())
    extra = dice.integers(0, SIZES, packets)
    least = np.array([len(build(layers, 0, 0)) for _, layers in kinds])
    captured = (least[kind] + extra).astype(np.uint32)
    starts = np.concatenate(([0], np.cumsum(captured[:-1], dtype=np.uint64))).astype(np.uint64)
    arena = memory(int(starts[-1]) + int(captured[-1]) + 64)
    order = np.argsort(kind * SIZES + extra, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff((kind * SIZES + extra)[order])) + 1)
    for group in groups:
        _, layers = kinds[kind[group[0]]]
        one, other = (np.frombuffer(build(layers, int(extra[group[0]]), fill), "u1") for fill in (0x55, 0xAA))
        rows = np.tile(one, (len(group), 1))
        random = one != other
        noise = dice.integers(0, 256, (len(group), int(random.sum())), dtype=np.uint8)
        fixed = (~(one ^ other))[random]  # bits that do not depend on the fill
        rows[:, random] = noise & ~fixed | one[random] & fixed
        arena[starts[group][:, None].astype(np.int64) + np.arange(len(one))] = rows
    pad = np.full(64, starts[-1], np.uint64)
    return Arena(arena, np.concatenate((starts, pad)), np.concatenate((captured, np.zeros(64, np.uint32))), packets)
