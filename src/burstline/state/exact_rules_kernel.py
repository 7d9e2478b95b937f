"""The compiled side of `ExactRules`: what the control thread writes, and what workers read at the same time."""

from __future__ import annotations

from burstline.native.memory import copy, load64, load_acquire, prefetch, store64, store_release
from burstline.packet.flow_key import KEY_SIZE
from burstline.packet.flow_key_kernel import hash_flow_key
from burstline.state.exact_rules import DEAD, DECISION_AT, FREE, KEY_AT, LEAST_TAG, RANK_AT, SLOT, ExactTable


def tag_of(hashed: int) -> int:
    return LEAST_TAG if hashed in (FREE, DEAD) else hashed


def is_key(slot: int, key: int) -> bool:
    differ = load64(slot + KEY_AT) ^ load64(key)
    for at in range(8, KEY_SIZE, 8):
        differ |= load64(slot + KEY_AT + at) ^ load64(key + at)
    return differ == 0


def find_rule(slots: int, mask: int, key: int, hashed: int) -> int:
    """The address of the slot of a key's rule, or 0."""
    tag = tag_of(hashed)
    at = tag & mask
    while True:
        slot = slots + SLOT * at
        found = load_acquire(slot)
        if found == tag and is_key(slot, key):
            return slot
        if found == FREE:
            return 0
        at = at + 1 & mask


def fetch_rule(slots: int, mask: int, hashed: int) -> None:
    prefetch(slots + SLOT * (tag_of(hashed) & mask))


def write_rule(table: ExactTable, key: int, tag: int, rank: int, decision: int) -> None:
    """Into the next free slot; there is one."""
    at = tag & table.mask
    while load64(table.slots + SLOT * at) != FREE:
        at = at + 1 & table.mask
    slot = table.slots + SLOT * at
    copy(slot + KEY_AT, key, KEY_SIZE)
    store64(slot + RANK_AT, rank)
    store64(slot + DECISION_AT, decision)
    store_release(slot, tag)
    table.count += 1


def put_rules(table: ExactTable, keys: int, ranks: int, decisions: int, count: int) -> int:
    """Rules for so many keys."""
    for k in range(count):
        key = keys + KEY_SIZE * k
        hashed, rank, decision = hash_flow_key(key), load64(ranks + 8 * k), load64(decisions + 8 * k)
        slot = find_rule(table.slots, table.mask, key, hashed)
        if slot != 0:
            store64(slot + RANK_AT, rank)
            store64(slot + DECISION_AT, decision)
        else:
            write_rule(table, key, tag_of(hashed), rank, decision)
    return count


def remove_rules(table: ExactTable, keys: int, count: int) -> int:
    """How many of the keys had a rule."""
    removed = 0
    for k in range(count):
        key = keys + KEY_SIZE * k
        slot = find_rule(table.slots, table.mask, key, hash_flow_key(key))
        if slot != 0:
            store_release(slot, DEAD)
            table.count -= 1
            table.dead += 1
            removed += 1
    return removed


def copy_rules(to: ExactTable, source: ExactTable) -> int:
    for at in range(source.mask + 1):
        slot = source.slots + SLOT * at
        tag = load64(slot)
        if tag != FREE and tag != DEAD:
            write_rule(to, slot + KEY_AT, tag, load64(slot + RANK_AT), load64(slot + DECISION_AT))
    return to.count
