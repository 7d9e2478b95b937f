"""The compiled `RuleSet`: which rule each packet of a burst matches first.

Sixteen packets become vectors of their words once. Few rules are then compared one after the other with all of them;
of many, trees tell each packet a few, and it is compared with sixteen of those at once. Tree walks of sixteen packets
go step by step together, so that their cache misses overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from burstline.native.memory import (
    address_of,
    load8,
    load16,
    load32,
    load64,
    select,
    store32,
    store64,
    swap16,
    swap32,
)
from burstline.native.struct_type import reference
from burstline.packet.burst import BurstColumns
from burstline.packet.fields import PRESENT
from burstline.simd import minimum, u16x32, u32x16, u32x64
from burstline.simd import select as choose
from burstline.simd.memory import load_vector, scratch, store_vector, trailing_zeros
from burstline.state.published_kernel import used_tables
from burstline.state.rule_set import RuleSetHead, RuleSetTables, RuleTable
from burstline.state.rule_words import FLAGS_AT, HAS_PORTS, HAS_VLAN, IS_V4, IS_V6, NONE, VLAN_AT

LANES = 16
IPV4, IPV6, TCP, VLAN = (PRESENT[name] for name in ("ipv4", "ipv6", "tcp", "vlan"))
WITH_PORTS = TCP | PRESENT["udp"] | PRESENT["sctp"]
LEAF_BIT, PLACE = 1 << 31, (1 << 31) - 1
head_at, tables_at, table_at = reference(RuleSetHead), reference(RuleSetTables), reference(RuleTable)
zeros = address_of("burstline_zeros")
TABLES, READING = RuleSetHead.layout.offset("tables"), RuleSetHead.layout.offset("reading")


def leaf_matcher(address_words: int, stride: int, behind: bool = False) -> Callable[[int, int, int, int, int], int]:
    """`(blocks, first, last, key, least)`: the number of the first rule in these blocks that matches, or NONE; if
    `behind`, of those from number `least` on. The packet's words lie `stride` bytes apart at `key`."""
    addresses, words = 2 * address_words, 2 * address_words + 2
    size = 64 * (2 * words + 1)

    def match_leaf(blocks: int, first: int, last: int, key: int, least: int) -> int:
        found = NONE
        for number in range(first, last):
            block = blocks + number * size
            ports: Any = u16x32.cast(u32x16(load32(key + stride * addresses)))
            over = ports - load_vector(u16x32, block + 64 * addresses)
            within = minimum(over, load_vector(u16x32, block + 64 * (words + addresses)))
            differ: Any = u32x16(load32(key + stride * (words - 1))) ^ load_vector(u32x16, block + 64 * (words - 1))
            differ = differ & load_vector(u32x16, block + 64 * (2 * words - 1))
            for word in range(addresses):
                value: Any = u32x16(load32(key + stride * word)) ^ load_vector(u32x16, block + 64 * word)
                differ = differ | value & load_vector(u32x16, block + 64 * (words + word))
            fits = (differ == 0) & (u32x16.cast(within) == u32x16.cast(over))
            if behind:
                fits = fits & (load_vector(u32x16, block + 128 * words) >= least)
            # Whether there is one is not asked: nobody can predict it.
            one = load32(block + 128 * words + 4 * trailing_zeros(fits.bits() | 1 << 15))
            found = min(found, select(fits.any(), one, NONE))
        return found

    return match_leaf


def flat_matcher(address_words: int, stride: int) -> Callable[[int, int, int], int]:
    """`(table, key, after)`: the first rule behind number `after` that a packet matches, among all in order."""
    match_leaf: Any = leaf_matcher(address_words, stride, behind=True)
    size = 64 * (4 * address_words + 5)

    def match_behind(table: int, key: int, after: int) -> int:
        rules = table_at(table)
        low, high = 0, rules.flat_blocks
        while low + 1 < high:  # blocks whose rules are all before are passed over
            middle = (low + high) // 2
            if load32(rules.flat + middle * size + size - 64) <= after:
                low = middle
            else:
                high = middle
        found: int = match_leaf(rules.flat, low, rules.flat_blocks, key, after + 1)
        return found

    return match_behind


match_leaf4: Any = leaf_matcher(1, 64)
match_leaf6: Any = leaf_matcher(4, 4)
behind4: Any = flat_matcher(1, 64)
behind6: Any = flat_matcher(4, 4)


def step(nodes: int, reference: int, key: int, stride: int) -> int:
    """From a node on to the next; a leaf stays."""
    is_leaf = reference & LEAF_BIT != 0
    node = nodes + 4 * select(is_leaf, 0, reference)
    cut = load32(node)
    value = load32(key + (cut & 0xFF) * stride)
    piece = value >> (cut >> 8 & 0xFF) & ((1 << (cut >> 16)) - 1)
    return select(is_leaf, reference, load32(node + 4 + 4 * piece))


def compare_all(rows: int, count: int, room: int) -> Any:
    """The first rule that each of sixteen packets matches, whose words lie in `room`; the rows begin with the last."""
    source: Any = load_vector(u32x16, room)
    target: Any = load_vector(u32x16, room + 64)
    ports: Any = load_vector(u16x32, room + 128)
    masked: Any = load_vector(u32x16, room + 192)
    found: Any = u32x16(NONE)
    for k in range(count):
        row = rows + 36 * k
        over = ports - u16x32.cast(u32x16(load32(row + 8)))
        within = minimum(over, u16x32.cast(u32x16(load32(row + 24))))
        differ = (source ^ load32(row)) & load32(row + 16) | (target ^ load32(row + 4)) & load32(row + 20)
        differ = differ | (masked ^ load32(row + 12)) & load32(row + 28)
        fits = (differ == 0) & (u32x16.cast(within) == u32x16.cast(over))
        found = choose(fits, u32x16(load32(row + 32)), found)
    return found


def compare_by_trees(table: int, room: int, found_at: int) -> None:
    """The same of many rules, of packets that are all IPv4."""
    rules = table_at(table)
    nodes, blocks, counts, trees = rules.nodes, rules.blocks, rules.counts, rules.trees
    references = scratch()
    store_vector(found_at, u32x16(NONE))
    for tree in range(trees):
        root = load32(rules.roots + 4 * tree)
        for k in range(LANES):
            store32(references + 4 * k, root)
        for _ in range(load32(rules.depths + 4 * tree)):
            for k in range(LANES):
                store32(references + 4 * k, step(nodes, load32(references + 4 * k), room + 4 * k, 64))
        for k in range(LANES):
            first = load32(references + 4 * k) & PLACE
            number = match_leaf4(blocks, first, first + load32(counts + 4 * first), room + 4 * k, 0)
            store32(found_at + 4 * k, min(load32(found_at + 4 * k), number))


def match_one(table: int, key: int) -> int:
    """The first rule that an IPv6 packet matches."""
    rules = table_at(table)
    found = NONE
    for tree in range(rules.trees):
        leaf = load32(rules.roots + 4 * tree)
        while leaf & LEAF_BIT == 0:
            leaf = step(rules.nodes, leaf, key, 4)
        first = leaf & PLACE
        found = min(found, match_leaf6(rules.blocks, first, first + load32(rules.counts + 4 * first), key, 0))
    return found


def masked_word(burst: BurstColumns, i: int) -> int:
    """What of a packet is compared under a mask."""
    present, data = burst.present[i], burst.data[i]
    is4, is6, ports, tagged = present & IPV4 != 0, present & IPV6 != 0, present & WITH_PORTS != 0, present & VLAN != 0
    word = select(is4, IS_V4, 0) | select(is6, IS_V6, 0) | select(is4 | is6, burst.proto[i] & 0xFF, 0)
    word |= select(ports, HAS_PORTS, 0) | select(tagged, HAS_VLAN, 0)
    word |= load8(select(present & TCP != 0, data + burst.l4[i] + 13, zeros())) << FLAGS_AT
    return word | (swap16(load16(select(tagged, data + 14, zeros()))) & 0xFFF) << VLAN_AT


def ports_word(burst: BurstColumns, i: int) -> int:
    """Both ports as they lie in the packet."""
    has_them = burst.present[i] & WITH_PORTS != 0
    return load32(select(has_them, burst.data[i] + burst.l4[i], zeros()))


def collect(burst: BurstColumns, first: int, last: int, own: int, room: int) -> None:
    """The words of sixteen packets from number `first` on, each word of all of them together; packets behind number
    `last` are that one again."""
    rows = scratch()
    for k in range(LANES):
        at = min(first + k, last)
        i = load16(own + 8 + 2 * at) if own != 0 else at
        is4 = burst.present[i] & IPV4 != 0
        store64(rows + 16 * k, load64(select(is4, burst.data[i] + burst.l3[i] + 12, zeros())))
        store32(rows + 16 * k + 8, ports_word(burst, i))
        store32(rows + 16 * k + 12, masked_word(burst, i))
    whole: Any = load_vector(u32x64, rows)
    turn(whole, room)


def turn(whole: Any, room: int) -> None:
    """Sixteen rows of four words, as words of sixteen packets."""
    store_vector(room, whole.every(4, 0).byteswap())
    store_vector(room + 64, whole.every(4, 1).byteswap())
    store_vector(room + 128, u16x32.cast(whole.every(4, 2)).byteswap())
    store_vector(room + 192, whole.every(4, 3))


def collect6(burst: BurstColumns, i: int, key: int) -> None:
    """The words of one IPv6 packet behind each other."""
    header = burst.data[i] + burst.l3[i]
    for word in range(8):
        store32(key + 4 * word, swap32(load32(header + 8 + 4 * word)))
    ports = ports_word(burst, i)
    store32(key + 32, (ports & 0x00FF00FF) << 8 | ports >> 8 & 0x00FF00FF)
    store32(key + 36, masked_word(burst, i))


def match_group(table: int, fours: int, sixes: int, room: int, found_at: int) -> None:
    """The first rule that each of sixteen packets matches, whose words lie in `room`; not of those in `sixes`."""
    rules = table_at(table)
    if rules.few != 0:
        store_vector(found_at, compare_all(rules.rows, rules.count, room))
        return
    compare_by_trees(table, room, found_at)
    others = ~(fours | sixes) & 0xFFFF
    while others != 0:
        k = trailing_zeros(others)
        others &= others - 1
        store32(found_at + 4 * k, match_leaf4(rules.flat, 0, rules.flat_blocks, room + 4 * k, 0))


def match_rules(head_address: int, burst: BurstColumns, count: int, own: int) -> int:
    """Write for each packet of a burst the number of its rule to the worker's results, NONE where there is none. `own`
    is the worker's list, or 0."""
    tables = tables_at(used_tables(head_address + TABLES, head_address + READING))
    results = head_at(head_address).results
    room, found_at = scratch(), scratch()
    for first in range(0, count, LANES):
        collect(burst, first, count - 1, own, room)
        kinds: Any = load_vector(u32x16, room + 192)
        sixes = ((kinds & IS_V6) != 0).bits()
        match_group(tables.v4, ((kinds & IS_V4) != 0).bits(), sixes, room, found_at)
        sixes &= (1 << min(LANES, count - first)) - 1
        while sixes != 0:
            k = trailing_zeros(sixes)
            sixes &= sixes - 1
            collect6(burst, load16(own + 8 + 2 * (first + k)) if own != 0 else first + k, room + 512)
            store32(found_at + 4 * k, match_one(tables.v6, room + 512))
        if own == 0:
            store_vector(results + 4 * first, load_vector(u32x16, found_at))
        else:
            for k in range(min(LANES, count - first)):
                store32(results + 4 * load16(own + 8 + 2 * (first + k)), load32(found_at + 4 * k))
    return 0


def next_rule(head_address: int, burst: BurstColumns, i: int, after: int) -> int:
    """The number of the first rule behind number `after` that a packet matches, or -1."""
    tables = tables_at(head_at(head_address).reading)
    key = scratch()
    if burst.present[i] & IPV6 != 0:
        collect6(burst, i, key)
        found = behind6(tables.v6, key, after)
    else:
        collect(burst, i, i, 0, key)
        found = behind4(tables.v4, key, after)
    return -1 if found == NONE else found


def rule_value(head_address: int, number: int) -> int:
    """The value of a rule, or -1 where there is none of that number."""
    tables = tables_at(head_at(head_address).reading)
    return load32(tables.values + 4 * number) if 0 <= number < tables.count else -1
