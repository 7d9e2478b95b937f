"""CRC32c, the checksum of SCTP (RFC 9260 appendix A), over memory and over chains of mbufs; to be compiled.

By the CPU's instruction where it has one (x86: SSE4.2, Arm: CRC32), eight bytes at a time; by tables elsewhere, also
eight at a time (M. E. Kounavis, F. L. Berry, "A Systematic Approach to Building High Performance Software-based CRC
Generators", ISCC 2005).
"""

from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir
from numba.core import types

from burstline.native.memory import I32, I64, load8, load16, load32, load64, primitive, shift_right
from burstline.offload import mbuf as m
from burstline.offload.checksums.sum_kernel import data_of
from burstline.simd import level
from burstline.simd.lanes import intrinsic

POLYNOMIAL = 0x82F63B78  # 0x1EDC6F41 with its bits turned round, as they are sent
START = 0xFFFFFFFF
i64 = types.int64


@functools.cache
def tables() -> tuple[int, ...]:
    """Eight of 256 numbers: what a byte adds to the CRC with none to seven bytes behind it."""
    found = list(range(256))
    for _ in range(8):
        found = [entry >> 1 ^ (POLYNOMIAL if entry & 1 else 0) for entry in found]
    for k in range(256, 8 * 256):
        before = found[k - 256]
        found.append(before >> 8 ^ found[before & 255])
    return tuple(found)


@primitive("crc_tables", i64)
def crc_tables(b: Any) -> Any:
    """The address of `tables`."""
    room = b.module.globals.get("crc32c_tables")
    if room is None:
        kind = ir.ArrayType(I32, len(tables()))
        room = ir.GlobalVariable(b.module, kind, "crc32c_tables")
        room.initializer = ir.Constant(kind, list(tables()))
        room.global_constant, room.linkage = True, "internal"
    return b.ptrtoint(room, I64)


@primitive("has_crc", types.boolean)
def has_crc(b: Any) -> Any:
    """Whether the CPU that code is made for has the instruction."""
    return ir.IntType(1)(_instruction() is not None)


def _instruction() -> str | None:
    features = level.features()
    return "x86" if "sse4.2" in features else "aarch64" if {"neon", "crc"} <= features else None


@primitive("crc_word", i64, i64, i64)
def crc_word(b: Any, crc: Any, word: Any) -> Any:
    """The CRC with eight bytes more, by the instruction; not for where there is none."""
    if _instruction() == "aarch64":
        return b.zext(intrinsic(b, "llvm.aarch64.crc32cx", I32, [b.trunc(crc, I32), word]), I64)
    if _instruction() == "x86":
        return intrinsic(b, "llvm.x86.sse42.crc32.64.64", I64, [crc, word])
    return ir.Constant(I64, ir.Undefined)


def crc_by_tables(crc: int, word: int, at: int) -> int:
    """The CRC with eight bytes more."""
    first, second = (crc ^ word) & START, shift_right(word, 32)
    found = load32(at + 7 * 1024 + (first & 255) * 4) ^ load32(at + 6 * 1024 + (first >> 8 & 255) * 4)
    found ^= load32(at + 5 * 1024 + (first >> 16 & 255) * 4) ^ load32(at + 4 * 1024 + (first >> 24) * 4)
    found ^= load32(at + 3 * 1024 + (second & 255) * 4) ^ load32(at + 2 * 1024 + (second >> 8 & 255) * 4)
    return found ^ load32(at + 1024 + (second >> 16 & 255) * 4) ^ load32(at + (second >> 24) * 4)


def crc_more(crc: int, data: int, size: int) -> int:
    """The CRC, not yet complemented, with `size` bytes more."""
    at = crc_tables()
    end = data + (size & ~7)
    while data < end:
        crc = crc_word(crc, load64(data)) if has_crc() else crc_by_tables(crc, load64(data), at)
        data += 8
    for k in range(size & 7):
        crc = crc >> 8 ^ load32(at + ((crc ^ load8(data + k)) & 255) * 4)
    return crc


def crc_chain(crc: int, mbuf: int, at: int, end: int) -> int:
    """The same of the bytes from `at` to `end` of a packet, which are there."""
    while at < end:
        size = load16(mbuf + m.DATA_LEN)
        if at < size:
            stop = min(size, end)
            crc = crc_more(crc, data_of(mbuf) + at, stop - at)
            at = stop
        at -= size
        end -= size
        if at < end:
            mbuf = load64(mbuf + m.NEXT)
    return crc


def sctp_checksum(mbuf: int, l4: int, end: int) -> int:
    """As it lies in memory, read as a little-endian number: of the packet with zeros where the checksum is."""
    crc = crc_chain(START, mbuf, l4, l4 + 8)
    for _ in range(4):
        crc = crc >> 8 ^ load32(crc_tables() + (crc & 255) * 4)
    return crc_chain(crc, mbuf, l4 + 12, end) ^ START
