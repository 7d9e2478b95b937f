"""The compiled Toeplitz hash of sixteen packets at once, by tables of half bytes.

Sixteen packets' bytes of one place lie in a register four times, once for each byte of the hash; looked up in the
tables of their place, they are what that place adds to sixteen hashes. What is absent is zero, and zeros add nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from burstline.native.memory import load16, load32, load64, select, store32
from burstline.native.struct_type import reference
from burstline.packet.burst import BurstColumns
from burstline.packet.fields import FRAGMENT, PRESENT
from burstline.simd import u8x64, u32x16
from burstline.simd.memory import load_vector, scratch, store_vector
from burstline.state.rule_set_kernel import zeros
from burstline.state.toeplitz import ToeplitzHead

LANES = 16
IPV4, IPV6 = PRESENT["ipv4"], PRESENT["ipv6"]
WITH_PORTS = PRESENT["tcp"] | PRESENT["udp"] | PRESENT["sctp"]
head_at = reference(ToeplitzHead)


def four_times(octets: Any, place: int) -> Any:
    """Byte `place` of sixteen words, four times over."""
    if place == 0:
        one = octets.every(4, 0)
    elif place == 1:
        one = octets.every(4, 1)
    elif place == 2:
        one = octets.every(4, 2)
    else:
        one = octets.every(4, 3)
    return one.concat(one).concat(one.concat(one))


def word_hasher(words: int) -> Callable[[int, int], Any]:
    """`(tables, room)`: the hashes of sixteen inputs of so many 32-bit words, each word of all of them together, as
    they lie in the packet."""

    def hash_words(tables: int, room: int) -> Any:
        added: Any = u8x64(0)
        for word in range(words):
            octets: Any = load_vector(u8x64, room + 64 * word)
            for place in range(4):
                table = tables + 512 * word + 128 * place
                one = four_times(octets, place)
                added = added ^ load_vector(u8x64, table).lookup_beside(one & 15)
                added = added ^ load_vector(u8x64, table + 64).lookup_beside(one >> 4)
        return u32x16.cast(added.transpose(4))

    return hash_words


hash_words3: Any = word_hasher(3)
hash_words9: Any = word_hasher(9)


def hash_packets(head_address: int, burst: BurstColumns, count: int, own: int) -> int:
    """Write the hash of each packet of a burst to the worker's results. `own` is the worker's list, or 0."""
    head = head_at(head_address)
    tables, results, with_ports = head.tables, head.results, head.ports != 0
    room, rows, found_at = scratch(), scratch(), scratch()
    for first in range(0, count, LANES):
        sixes = 0
        for k in range(LANES):
            at = min(first + k, count - 1)
            i = load16(own + 8 + 2 * at) if own != 0 else at
            present = burst.present[i]
            addresses = load64(select(present & IPV4 != 0, burst.data[i] + burst.l3[i] + 12, zeros()))
            has_ports = (present & WITH_PORTS != 0) & (present & FRAGMENT == 0) & with_ports
            ports = load32(select(has_ports, burst.data[i] + burst.l4[i], zeros()))
            is6 = present & IPV6 != 0
            store32(room + 4 * k, addresses)
            store32(room + 64 + 4 * k, addresses >> 32)
            store32(room + 128 + 4 * k, select(is6, 0, ports))
            sixes |= select(is6, 1 << k, 0)
        found: Any = hash_words3(tables, room)
        if sixes != 0:
            found = found ^ hash6(burst, first, count, own, with_ports, tables, rows)
        if own == 0:
            store_vector(results + 4 * first, found)
        else:
            store_vector(found_at, found)
            for k in range(min(LANES, count - first)):
                store32(results + 4 * load16(own + 8 + 2 * (first + k)), load32(found_at + 4 * k))
    return 0


def hash6(burst: BurstColumns, first: int, count: int, own: int, with_ports: bool, tables: int, rows: int) -> Any:
    """The same of those that are IPv6; 0 of others."""
    for k in range(LANES):
        at = min(first + k, count - 1)
        i = load16(own + 8 + 2 * at) if own != 0 else at
        present = burst.present[i]
        header = select(present & IPV6 != 0, burst.data[i] + burst.l3[i] + 8, zeros())
        for word in range(8):
            store32(rows + 64 * word + 4 * k, load32(header + 4 * word))
        has_ports = (present & WITH_PORTS != 0) & (present & (IPV6 | FRAGMENT) == IPV6) & with_ports
        store32(rows + 512 + 4 * k, load32(select(has_ports, burst.data[i] + burst.l4[i], zeros())))
    return hash_words9(tables, rows)
