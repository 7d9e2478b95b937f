"""Stages that use every operation of vectors: each takes two vectors from the payload and writes what it works out."""

from __future__ import annotations

from typing import Any

import burstline as bl
from burstline.simd import m16, maximum, minimum, select, vector

u8, u16, u32, u64, u8_3 = vector(8, 16), vector(16, 16), vector(32, 16), vector(64, 16), vector(8, 3)
u8x32, u16x32, u32x8, u64x8, u8x48, u8x64 = (
    vector(8, 32), vector(16, 32), vector(32, 8), vector(64, 8), vector(8, 48), vector(8, 64),
)  # fmt: skip
ROOM = 128  # bytes of the largest kind here
numbers = bl.Counter("numbers")


@bl.stage
def bytes_(pkt: Any) -> Any:
    x, y = u8.load(pkt.payload, 0), u8.load(pkt.payload, ROOM)
    ((x + y) * 3 - (x & 7)).store(pkt.payload, 0)
    (x << (y & 15) | x >> 3 ^ y.rotate_left(x[0])).store(pkt.payload, 16)
    select((x < y) & (x != 5) | (y >= 200), x, 9).store(pkt.payload, 32)
    x.compress(x > y).store(pkt.payload, 48)
    x.lookup(y).store(pkt.payload, 64)
    x.lookup(u8x64.load(pkt.payload, ROOM)).store(pkt.payload, 80)
    x.lookup(u8x48.load(pkt.payload, 3)).store(pkt.payload, 144)
    wide, narrow = u8x64.load(pkt.payload, 5), u8x32.load(pkt.payload, 9)
    wide.lookup_beside(u8x64.load(pkt.payload, ROOM)).store(pkt.payload, 192)
    narrow.lookup_beside(narrow).store(pkt.payload, 260)
    wide.transpose(4).store(pkt.payload, 300)
    wide.transpose(16).store(pkt.payload, 364)
    numbers.add(x.sum() + x.max() * 3 + y.min() * 5 + x.popcount().sum() + (x == y).bits() + y[3] + len(x))


@bl.stage
def halves(pkt: Any) -> Any:
    x, y = u16.load(pkt.payload, 1), u16.load(pkt.payload, ROOM)
    (x * y + 0x1FFFF).store(pkt.payload, 0)
    (~x ^ y.byteswap()).store(pkt.payload, 32)
    u16x32(u8x32.load(pkt.payload, 7)).store(pkt.payload, 64)
    x.lookup(y).store(pkt.payload, 130)
    u8(x).store(pkt.payload, 170)
    numbers.add((x <= y).count() + minimum(x, y).sum() - maximum(x, 700).sum())


@bl.stage
def words(pkt: Any) -> Any:
    x, y = u32.load(pkt.payload, 0), u32.load(pkt.payload, ROOM)
    x.shuffle(3, 3, 0, 15, 7).store(pkt.payload, 0)
    x.concat(y).every(3, 1).store(pkt.payload, 20)
    x.interleave(y).store(pkt.payload, 64)
    u32.gather(pkt.payload, y & 0x1FF).store(pkt.payload, 190)
    u8x64.cast(x + 1).store(pkt.payload, 260)
    if (x == y).any() or (x > y).all():
        numbers.add(1)
    numbers.add(m16(x[0]).count() + (7 - x).sum() + (1 << (x & 31)).max())


@bl.stage
def quads(pkt: Any) -> Any:
    x, y = u64.load(pkt.payload, 0), u64.load(pkt.payload, ROOM)
    (x * y ^ x >> (y & 127)).store(pkt.payload, 5)
    select(x < y, x.byteswap(), y.popcount()).store(pkt.payload, 133)
    u64x8(u32x8.load(pkt.payload, 2)).lookup(u64x8.load(pkt.payload, 9)).store(pkt.payload, 260)
    u64.gather(pkt.payload, x & 0xFF).store(pkt.payload, 300)
    numbers.add((x.sum() ^ y.max() ^ x.min() ^ y[-1]) & 0xFFFF_FFFF)


@bl.stage
def odd(pkt: Any) -> Any:
    x, y = u8_3.load(pkt.payload, len(pkt.payload) - 2), u8_3(1, 2, 3)
    (x * y).store(pkt.payload, len(pkt.payload) - 2)
    x.lookup(y).store(pkt.payload, 4)
    numbers.add((x >= y).bits() + x.sum() + (y << 7).max())
    if (x == 77).any():
        u8_3(0).store(pkt.payload, -1)


pipeline = bl.Pipeline(bytes_, halves, words, quads, odd)
