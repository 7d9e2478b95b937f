"""The compiled half of a flow table whose records follow their flows to another worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from burstline.native.build import apart
from burstline.native.memory import (
    call_address,
    copy,
    load16,
    load32,
    load64,
    load_acquire,
    store32,
    store64,
    store_release,
)
from burstline.native.struct_type import reference
from burstline.packet.flow_key import KEY_SIZE
from burstline.state.digest import DigestHead
from burstline.state.digest_kernel import digest_new
from burstline.state.flow_head import EVICTED, MARK_AT, SIDE, Geometry, TableHead
from burstline.state.flow_keys import FlowKeys, TupleKeys
from burstline.state.flow_keys_kernel import order_ends, swap_ends
from burstline.state.flow_moves import LOOKS, ROWS, ROWS_AT, ROWS_PUT, ROWS_TAKEN, Moving, Sifting
from burstline.state.flow_table_kernel import TableKernels

table_at, moving_at, sifting_at = reference(TableHead), reference(Moving), reference(Sifting)
ring_at = reference(DigestHead)


@dataclass(frozen=True)
class MoveKernels:
    move_out: Callable[[int, int, int, int], int]  # (table, its number, Moving, now): 1 when all that move are out
    move_in: Callable[[int, int, int], int]  # (table, row, now)


def sift_keys(moving: Moving, keys: int, count: int) -> None:
    """Ask for packets of `count` flows."""
    sifting = sifting_at(moving.sifting)
    sifting.mbufs, sifting.keys, sifting.count = 0, keys, count
    call_address(moving.sift, moving.sifting)


def queue_of(moving: Moving, queues: int, rules: int, k: int) -> int:
    """A worker's number, or -1 for packets that a rule drops, and where nobody knows."""
    queue, rule = load32(queues + 4 * k), load64(rules + 8 * k)
    if queue >= moving.workers or (rule != 0 and load64(rule + 16) & moving.unknown != 0):
        return -1
    return queue


def queue_after(moving: Moving, k: int) -> int:
    sifting = sifting_at(moving.sifting)
    return queue_of(moving, sifting.after, sifting.rule_after, k)


def goes_to(moving: Moving, k: int) -> int:
    """The worker that the k-th flow goes to from this one, or -1."""
    after = queue_after(moving, k)
    before = queue_of(moving, sifting_at(moving.sifting).before, sifting_at(moving.sifting).rule_before, k)
    return after if before == moving.index and after != before else -1


def move_kernels(at: Geometry, keys: FlowKeys, hash_key: Callable[[int], int], made: TableKernels) -> MoveKernels:
    """Of one table. Records of tables whose keys do not say which flow of the port they are of stay."""
    moves = isinstance(keys, TupleKeys) and not keys.tunnel
    listed, ordered = moves and keys.size == KEY_SIZE, keys.both_ways
    stride, cold_stride, size = at.stride, at.cold_stride, at.key
    find, unlink, give_back = made.entries.find, made.entries.unlink, made.entries.give_back
    insert, inherit_some = made.room.insert, made.heirs.inherit_some

    def send(table: TableHead, own: int, moving: Moving, number: int, to: int) -> bool:
        """Put a record into the link to a worker; False where that is full."""
        link = load64(moving.links + 16 * to)
        put = load64(link + ROWS_PUT)
        if put - load_acquire(link + ROWS_TAKEN) == ROWS:
            return False
        row, entry = load64(link + ROWS_AT) + (put & (ROWS - 1)) * moving.row, table.entries + number * stride
        store64(row, own)
        copy(row + 8, entry, stride)
        if cold_stride:
            copy(row + 8 + stride, table.cold + number * cold_stride, cold_stride)
        unlink(table, hash_key(entry), number)
        give_back(table, number)
        store_release(link + ROWS_PUT, put + 1)
        moving.moved += 1
        return True

    def goes_as(table: TableHead, number: int, key: int) -> bool:
        """The flow's first packet went as this key says. A record for both directions follows that one."""
        return (load16(table.entries + number * stride + MARK_AT) ^ load16(key + MARK_AT)) & SIDE == 0

    def look_at_listed(table: TableHead, own: int, moving: Moving) -> int:
        while moving.next < moving.listed_count:
            key = moving.keys
            copy(key, moving.listed + KEY_SIZE * moving.next, KEY_SIZE)
            sift_keys(moving, key, 1)
            to = goes_to(moving, 0)
            if to >= 0:
                if ordered:
                    order_ends(key)
                number = find(table, key, hash_key(key))
                is_that = number != 0 and (not ordered or goes_as(table, number, key))
                if is_that and not send(table, own, moving, number, to):
                    return 0
            moving.next += 1
        return 1

    def look_at_entries(table: TableHead, own: int, moving: Moving) -> int:
        count, number = 0, moving.next
        for _ in range(LOOKS):
            number += 1
            if number > table.used:
                break
            entry = table.entries + number * stride
            if load64(entry) < 0:
                key = moving.keys + KEY_SIZE * count
                copy(key, entry, KEY_SIZE)
                if ordered and load16(entry + MARK_AT) & SIDE != 0:
                    swap_ends(key)
                store32(moving.numbers + 4 * count, number)
                count += 1
        if count:
            sift_keys(moving, moving.keys, count)
        for k in range(count):
            to = goes_to(moving, k)
            if to >= 0 and not send(table, own, moving, load32(moving.numbers + 4 * k), to):
                moving.next = load32(moving.numbers + 4 * k) - 1
                return 0
        moving.next = number
        return 1 if number > table.used else 0

    @apart
    def move_out(address: int, own: int, moving_address: int, now: int) -> int:
        if not moves:
            return 1
        table, moving = table_at(address), moving_at(moving_address)
        if table.old != 0 and (table.free != 0 or table.used < table.capacity):
            inherit_some(table, now)  # first come those that lie where a swap left them
            return 0
        if listed and moving.listed_count != 0:
            return look_at_listed(table, own, moving)
        return look_at_entries(table, own, moving)

    @apart
    def move_in(address: int, row: int, now: int) -> int:
        """A record for which there is no room, or another one already, leaves as one that was evicted does."""
        table, entry = table_at(address), row + 8
        hash = hash_key(entry)
        number = table.capacity + 1
        if find(table, entry, hash) == 0:
            number = insert(table, entry, hash, now)
        if number <= table.capacity:
            copy(table.entries + number * stride + size, entry + size, stride - size)
            if cold_stride:
                copy(table.cold + number * cold_stride, entry + stride, cold_stride)
            return 0
        table.evicted += 1
        if table.ring != 0:
            out = digest_new(ring_at(table.ring), table.ring, stride + cold_stride + 8)
            copy(out, entry, stride + cold_stride)
            store64(out + stride + cold_stride, EVICTED)
        return 0

    return MoveKernels(move_out, move_in)
