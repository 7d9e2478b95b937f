"""Packets of the corpus, damaged: bit flips, truncations, lengths that lie, headers spliced from two packets."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import packet_corpus
from burstline.packet.fields import PRESENT
from burstline.packet.parser import (
    LINK_ETHERNET,
    LINK_NULL,
    LINK_RAW,
    LINK_SLL,
    LINK_SLL2,
    LINK_UNKNOWN,
    Parsed,
    parse_levels,
)

LONGEST = 1024  # bytes of a damaged packet
# Protocols, sizes of headers, versions; EtherTypes, ports, PPP protocols, extremes.
BYTES = (
    0,
    1,
    4,
    5,
    6,
    17,
    41,
    43,
    44,
    47,
    50,
    51,
    58,
    60,
    132,
    135,
    0x0F,
    0x30,
    0x34,
    0x40,
    0x45,
    0x4F,
    0x60,
    0xF0,
    255,
)
WORDS = (
    0, 1, 7, 8, 20, 40, 0x05FF, 0x0600, 0x0800, 0x0806, 0x8100, 0x86DD, 0x8847, 0x8848, 0x8864, 0x88A8, 0x9100,
    0x6558, 0x0021, 0x0057, 0x0281, 0xAAAA, 2152, 4789, 6081, 0x1FFF, 0x2000, 0x7FFF, 0xFFFF,
)  # fmt: skip


@dataclass(frozen=True)
class Seed:
    """A packet to damage: the offsets at which its headers begin, and places of bytes that are lengths or select."""

    data: bytes
    headers: tuple[int, ...]
    telling: tuple[int, ...]
    l3: int


def seeds() -> list[Seed]:
    return [_seed(data) for data in packet_corpus.corpus().values()]


def _seed(data: bytes) -> Seed:
    levels = parse_levels(memoryview(data), len(data), LINK_ETHERNET)
    headers, telling = {0, 12, 14}, {12, 13}
    for level in (levels.outer, levels.inner):
        if level is not None:
            headers |= {level.l2, level.l3, level.l4, level.payload, level.end}
            telling |= set(_telling(level))
    size = len(data)
    return Seed(
        data,
        tuple(sorted(h for h in headers if h <= size)),
        tuple(sorted(t for t in telling if t < size)),
        min(levels.outer.l3, size),
    )


def _telling(level: Parsed) -> Iterator[int]:
    l3, l4 = level.l3, level.l4
    if level.present & PRESENT["ipv4"]:
        yield from (l3, l3 + 2, l3 + 3, l3 + 6, l3 + 7, l3 + 9)
    if level.present & PRESENT["ipv6"]:
        yield from (l3, l3 + 4, l3 + 5, l3 + 6)
        yield from range(l3 + 40, l4)  # extension headers
    if level.present & PRESENT["tcp"]:
        yield from (l4 + 2, l4 + 3, l4 + 12)
    if level.present & PRESENT["udp"]:
        yield from range(l4, l4 + 6)
        yield from range(l4 + 8, l4 + 24)  # what a tunnel says first
    if level.present & PRESENT["gre"]:
        yield from range(l4, l4 + 16)
    yield from range(level.l2 + 12, l3)  # tags, labels, LLC, PPPoE


def flip(pick: Callable[[int], int], data: bytearray, seed: Seed) -> None:
    for _ in range(1 + pick(4)):
        data[pick(len(data))] ^= 1 << pick(8)


def lie(pick: Callable[[int], int], data: bytearray, seed: Seed) -> None:
    """Bytes that say how long something is, or what follows."""
    for _ in range(1 + pick(3)):
        at = seed.telling[pick(len(seed.telling))]
        if at < len(data):
            data[at] = BYTES[pick(len(BYTES))] if pick(2) else pick(256)


def lie_by_little(pick: Callable[[int], int], data: bytearray, seed: Seed) -> None:
    at = seed.telling[pick(len(seed.telling))]
    if at < len(data):
        data[at] = data[at] + pick(17) - 8 & 255


def set_word(pick: Callable[[int], int], data: bytearray, seed: Seed) -> None:
    at = seed.telling[pick(len(seed.telling))]
    if at + 1 < len(data):
        data[at : at + 2] = WORDS[pick(len(WORDS))].to_bytes(2, "big")


def cut(pick: Callable[[int], int], data: bytearray, seed: Seed) -> None:
    del data[pick(len(data) + 1) :]


def cut_at_header(pick: Callable[[int], int], data: bytearray, seed: Seed) -> None:
    """A few bytes before or behind the start of a header."""
    del data[max(0, seed.headers[pick(len(seed.headers))] + pick(24) - 4) :]


def lengthen(pick: Callable[[int], int], data: bytearray, seed: Seed) -> None:
    data += bytes(pick(256) for _ in range(pick(24)))


def repeat(pick: Callable[[int], int], data: bytearray, seed: Seed) -> None:
    """A header again, or many times."""
    k = pick(len(seed.headers))
    start = seed.headers[k]
    stop = seed.headers[k + 1] if k + 1 < len(seed.headers) else len(data)
    data[start:start] = data[start:stop] * (1 + pick(3))


SINGLE = (flip, lie, lie, lie_by_little, set_word, cut, cut_at_header, lengthen, repeat)


def mutants(chance: random.Random, count: int, known: list[Seed]) -> list[tuple[bytes, int]]:
    """`count` damaged packets and their link layers (LINK_ numbers)."""
    number = chance.random  # many times faster than randrange

    def pick(below: int) -> int:
        return int(number() * below)

    found: list[tuple[bytes, int]] = []
    for _ in range(count):
        seed = known[pick(len(known))]
        data = bytearray(seed.data)
        if pick(6) == 0:  # the first headers of one packet, the last ones of another
            other = known[pick(len(known))]
            data = data[: seed.headers[pick(len(seed.headers))]] + other.data[other.headers[pick(len(other.headers))] :]
        link = LINK_ETHERNET
        if pick(10) == 0:
            link, data = _behind(pick, data, seed)
        for _ in range(pick(4)):
            if data:
                SINGLE[pick(len(SINGLE))](pick, data, seed)
        found.append((bytes(data[:LONGEST]), link))
    return found


def _behind(pick: Callable[[int], int], data: bytearray, seed: Seed) -> tuple[int, bytearray]:
    """The packet behind another link layer."""
    kind, rest = bytes(data[max(seed.l3 - 2, 12) : max(seed.l3, 14)]), data[seed.l3 :]
    link = (LINK_RAW, LINK_NULL, LINK_SLL, LINK_SLL2, LINK_UNKNOWN)[pick(5)]
    if link == LINK_NULL:
        return link, bytearray(b"\2\0\0\0") + rest
    if link == LINK_SLL:
        return link, bytearray(14) + kind + rest
    if link == LINK_SLL2:
        return link, bytearray(kind + bytes(18)) + rest
    return link, rest
