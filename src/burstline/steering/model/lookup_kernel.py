"""What a row of headers is looked up for, in compiled code: its hash, and the rule that decides over it."""

from __future__ import annotations

from burstline.native.memory import load8, load16, load32, load64, mix, store64
from burstline.native.struct_type import reference
from burstline.steering.model.lookup import (
    ALL,
    BETWEEN,
    BETWEEN_SIZE,
    BETWEENS,
    COUNTER,
    DROP,
    FATE,
    GROUP,
    GROUP_WORDS,
    MULTIPLIER,
    NEXT,
    NUMBER,
    QUEUE,
    RANK,
    SPREAD,
    LookupTables,
)
from burstline.steering.model.row import IP, IP_KIND, IPV4, IPV6, TRANSPORT, TRANSPORT_KIND
from burstline.steering.model.table import Counted

tables_at = reference(LookupTables)
PACKETS, BYTES = Counted.layout.offset("packets"), Counted.layout.offset("bytes")
SIGNED_MULTIPLIER = MULTIPLIER - ALL - 1
NOWHERE = -1
UNRANKED = 1 << 62


def hash_bytes(tables: int, data: int, first: int, count: int) -> int:
    """What `count` bytes add to the hash, which are its input from byte `first` on."""
    found = 0
    for k in range(count):
        found ^= load32(tables + 4 * (256 * (first + k) + load8(data + k)))
    return found


def hash_row(tables: LookupTables, row: int) -> int:
    """The Toeplitz hash of a packet; 0 without IP."""
    kind = load8(row + IP_KIND)
    if kind == IPV4:
        size, found = 8, hash_bytes(tables.toeplitz, row + IP + 12, 0, 8)
    elif kind == IPV6:
        size, found = 32, hash_bytes(tables.toeplitz, row + IP + 8, 0, 32)
    else:
        return 0
    if load8(row + TRANSPORT_KIND) & tables.hashed:
        found ^= hash_bytes(tables.toeplitz, row + TRANSPORT, size, 4)
    return found


def is_between(rule: int, row: int) -> bool:
    at = load64(rule + BETWEEN)
    for _ in range(load64(rule + BETWEENS)):
        value = 0
        for k in range(load64(at + 8)):
            value = value << 8 | load8(row + load64(at) + k)
        value &= load64(at + 16)
        if value < load64(at + 24) or value > load64(at + 32):
            return False
        at += BETWEEN_SIZE
    return True


def has_values(rule: int, group: int, row: int) -> bool:
    differ, words = 0, group + GROUP_WORDS
    for k in range(load64(group + 8)):
        differ |= load64(row + load64(words + 16 * k)) & load64(words + 16 * k + 8) ^ load64(rule + 8 * k)
    return differ == 0


def find_in(group: int, row: int, below: int) -> int:
    """The first rule of a group that matches and has a lower rank, or 0."""
    hashed, words = 0, group + GROUP_WORDS
    for k in range(load64(group + 8)):
        word = load64(row + load64(words + 16 * k)) & load64(words + 16 * k + 8)
        hashed = mix(hashed ^ word, SIGNED_MULTIPLIER)
    rule = load64(load64(group + 24) + 8 * (hashed & load64(group + 16)))
    while rule != 0 and load64(rule + RANK) < below:
        if has_values(rule, group, row) and is_between(rule, row):
            return rule
        rule = load64(rule + NEXT)
    return 0


def find(tables: LookupTables, row: int) -> int:
    """The rule that decides, or 0."""
    best, rank, group = 0, UNRANKED, tables.groups
    for _ in range(tables.count):
        if load64(group) > rank:
            break
        rule = find_in(group, row, rank)
        if rule != 0:
            best, rank = rule, load64(rule + RANK)
        group += GROUP
    return best


def queue_of(tables: LookupTables, rule: int, hashed: int) -> int:
    """Where a packet goes that this rule decides over, or none; NOWHERE where it is dropped."""
    by_hash = load16(tables.reta + 2 * (hashed & tables.reta_mask))
    if rule == 0:
        return NOWHERE if tables.isolated else by_hash
    fate = load64(rule + FATE)
    if fate == QUEUE:
        return load64(rule + NUMBER)
    if fate == SPREAD:
        group = load64(rule + NUMBER)
        return load16(group + 2 + 2 * (hashed % load16(group)))
    return NOWHERE if fate == DROP else by_hash


def count_packet(rule: int, length: int) -> None:
    counter = load64(rule + COUNTER) if rule != 0 else 0
    if counter != 0:
        store64(counter + PACKETS, load64(counter + PACKETS) + 1)
        store64(counter + BYTES, load64(counter + BYTES) + length)
