"""One's complement sums (RFC 1071) over memory and over chains of mbufs, for checksum offload; to be compiled.

Words are added as they lie in memory (RFC 1071 section 2.B), so that nothing is turned round but numbers that are not
from the packet: a sum here is one of little-endian words.
"""

from __future__ import annotations

from typing import Any

from burstline.native.build import apart
from burstline.native.memory import load8, load16, load32, load64, select, shift_right, swap16, unsigned_divide
from burstline.offload import mbuf as m
from burstline.offload.checksums.add_words import BIAS, add_words
from burstline.simd import m64, u8x64, u32x16
from burstline.simd.memory import load_masked, load_vector, masks_bytes

LOW = 0xFFFFFFFF


def folded(total: int) -> int:
    """16 bits of a sum of up to 48; 0 of no words but zeros."""
    total = (total & LOW) + shift_right(total, 32)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return (total & 0xFFFF) + (total >> 16)


def checksum_of(total: int) -> int:
    """What to write where this is the sum of all else."""
    return folded(total) ^ 0xFFFF


def halves(word: int) -> int:
    """The sum of two words of 32 bits in one of 64."""
    return (word & LOW) + shift_right(word, 32)


def is_right(total: int) -> bool:
    """Whether a sum of up to 64 bits, in which not all words are 0, is one of what is covered and its checksum."""
    return unsigned_divide(total, 0xFFFF) * 0xFFFF == total


@apart
def sum_words(data: int, size: int) -> int:
    """Of 1 byte to 64 KiB: less than 2**33."""
    return sum_here(data, size)


def sum_here(data: int, size: int) -> int:
    """The same, as a part of what asks for it."""
    return sum_lines(data, size) if masks_bytes() else sum_anywhere(data, size)


def sum_lines(data: int, size: int) -> int:
    """By whole lines of the cache, of which the first and the last are masked."""
    place = data & ~63
    end = data + size
    last = end & ~63
    lines = (end - place + 63) >> 6
    head: Any = u32x16.cast(load_masked(u8x64, place, m64(bits_between(data - place, end - place))))
    one: Any = add_words(u32x16(0), head)
    place += 64
    if place + 256 <= last:
        two: Any = u32x16(0)
        three: Any = u32x16(0)
        four: Any = u32x16(0)
        while place + 256 <= last:
            one = add_words(one, load_vector(u32x16, place))
            two = add_words(two, load_vector(u32x16, place + 64))
            three = add_words(three, load_vector(u32x16, place + 128))
            four = add_words(four, load_vector(u32x16, place + 192))
            place += 256
        one = (one + two) + (three + four)
    while place < last:
        one = add_words(one, load_vector(u32x16, place))
        place += 64
    if place < end:
        tail: Any = u32x16.cast(load_masked(u8x64, place, m64(bits_between(0, end - place))))
        one = add_words(one, tail)
    total = lanes_sum(one + lines * BIAS)
    return swap16(folded(total)) if data & 1 else total  # RFC 1071 section 2.B


def bits_between(first: int, end: int) -> int:
    """Those from the first of 64 on up to the end, which may be behind them."""
    return (-1 << first) & ~select(end > 63, 0, -1 << (end & 63))


def sum_anywhere(data: int, size: int) -> int:
    """Of what a vector holds as words of 32 bits, all and the upper halves are added: the lower halves are the
    difference."""
    whole: Any = u32x16(0)
    upper: Any = u32x16(0)
    place = data
    end = data + (size & ~127)
    while place < end:
        a: Any = load_vector(u32x16, place)
        b: Any = load_vector(u32x16, place + 64)
        whole = whole + (a + b)
        upper = upper + ((a >> 16) + (b >> 16))
        place += 128
    total = lanes_sum((whole - (upper << 16)) + upper) if size > 127 else 0
    return total + sum_rest(place, size & 127)


def lanes_sum(lanes: Any) -> int:
    """Of less than 2**28 in each."""
    eight: Any = lanes.shuffle(0, 1, 2, 3, 4, 5, 6, 7) + lanes.shuffle(8, 9, 10, 11, 12, 13, 14, 15)
    four: Any = eight.shuffle(0, 1, 2, 3) + eight.shuffle(4, 5, 6, 7)
    two: Any = four.shuffle(0, 1) + four.shuffle(2, 3)
    total: int = two.sum()
    return total


def sum_rest(place: int, left: int) -> int:
    """Of few bytes."""
    total = 0
    end = place + (left & ~7)
    while place < end:
        total += halves(load64(place))
        place += 8
    if left & 4:
        total += load32(place)
        place += 4
    if left & 2:
        total += load16(place)
        place += 2
    if left & 1:
        total += load8(place)
    return total


def sum_chain(mbuf: int, at: int, end: int) -> int:
    """Of the bytes from `at` to `end` of a packet, which are there, in however many mbufs it lies. Less than 2**48."""
    total, done = 0, 0
    while at < end:
        size = load16(mbuf + m.DATA_LEN)
        if at < size:
            stop = min(size, end)
            part = folded(sum_words(data_of(mbuf) + at, stop - at))
            total += swap16(part) if done & 1 else part  # RFC 1071 section 2.B: a byte on, all bytes are swapped
            done += stop - at
            at = stop
        at -= size
        end -= size
        mbuf = load64(mbuf + m.NEXT)
    return total


def sum_packet(mbuf: int, at: int, end: int) -> int:
    """The same; nothing but the first mbuf is looked at where all of it lies there."""
    if at >= end:
        return 0
    if end <= load16(mbuf + m.DATA_LEN):
        return sum_words(data_of(mbuf) + at, end - at)
    return sum_chain(mbuf, at, end)


def data_of(mbuf: int) -> int:
    return load64(mbuf + m.BUF_ADDR) + load16(mbuf + m.DATA_OFF)
