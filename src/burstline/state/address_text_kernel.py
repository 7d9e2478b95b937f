"""Addresses as text, many at once: dotted decimals, and RFC 5952 as inet_ntop of glibc writes it."""

from __future__ import annotations

from burstline.native.memory import load8, store8, store32

DOT, COLON, ZERO, A = 46, 58, 48, 97


def decimal(to: int, number: int) -> int:
    """Writes 0 to 255; returns where it ends."""
    if number >= 100:
        store8(to, ZERO + number // 100)
        to += 1
    if number >= 10:
        store8(to, ZERO + number // 10 % 10)
        to += 1
    store8(to, ZERO + number % 10)
    return to + 1


def dotted(to: int, address: int) -> int:
    for k in range(4):
        if k:
            store8(to, DOT)
            to += 1
        to = decimal(to, load8(address + k))
    return to


def group(address: int, k: int) -> int:
    return load8(address + 2 * k) << 8 | load8(address + 2 * k + 1)


def hexadecimal(to: int, number: int) -> int:
    begun = False
    for shift in (12, 8, 4, 0):
        digit = number >> shift & 15
        if digit != 0 or begun or shift == 0:
            store8(to, ZERO + digit if digit < 10 else A + digit - 10)
            to += 1
            begun = True
    return to


def grouped(to: int, address: int) -> int:
    """The first of the longest runs of two or more zero groups becomes `::`."""
    best, longest, begin, run = -1, 1, 0, 0
    for k in range(8):
        if group(address, k) != 0:
            run = 0
            continue
        if run == 0:
            begin = k
        run += 1
        if run > longest:
            best, longest = begin, run
    k = 0
    while k < 8:
        if k == best:
            store8(to, COLON)
            to += 1
            k += longest
            if k == 8:
                store8(to, COLON)
                to += 1
            continue
        if k != 0:
            store8(to, COLON)
            to += 1
        if k == 6 and best == 0 and (longest == 6 or (longest == 5 and group(address, 5) == 0xFFFF)):
            return dotted(to, address + 12)
        to = hexadecimal(to, group(address, k))
        k += 1
    return to


def write_addresses(addresses: int, versions: int, count: int, data: int, ends: int) -> int:
    """Of `count` rows of 16 bytes and an IP version each: texts one behind the other to `data`, and where each ends as
    32 bits to `ends`. Other versions have no text. Returns how many bytes there are."""
    to = data
    for row in range(count):
        version = load8(versions + row)
        if version == 4:
            to = dotted(to, addresses + 16 * row)
        elif version == 6:
            to = grouped(to, addresses + 16 * row)
        store32(ends + 4 * row, to - data)
    return to - data
