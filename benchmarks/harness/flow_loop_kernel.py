"""A flow table by itself: lookups and updates of keys that lie behind each other, as the engine's loops do them."""

from __future__ import annotations

from benchmarks.harness.flow_loop import KEY, Context, Flow
from burstline.native.memory import clear, load16, load32, load64, store16, store64
from burstline.native.struct_type import reference
from burstline.state.flow_head import Geometry
from burstline.state.flow_keys import FieldKeys
from burstline.state.flow_keys_kernel import hasher
from burstline.state.flow_table_kernel import table_kernels

BURST, FAR, NEAR, CLASSES = 256, 32, 16, 256
keys_of_flows = FieldKeys(KEY)
hash_key = hasher(keys_of_flows)
SIZE = keys_of_flows.size
_kernels = table_kernels(Geometry(SIZE, False, Flow.layout), hash_key)
record_of, foresee, prefetch_bucket, begin, end = (
    _kernels.record_of, _kernels.foresee, _kernels.prefetch_bucket, _kernels.begin, _kernels.end,
)  # fmt: skip
flow_at = reference(Flow)


def first_look(table: int, keys: int, hashes: int, k: int) -> None:
    hash = hash_key(keys + k * SIZE)
    store64(hashes + 8 * k, hash)
    prefetch_bucket(table, hash)


def update(context: Context, table: int, keys: int, at: int, k: int) -> None:
    flow = flow_at(record_of(table, keys + k * SIZE, load64(context.hashes + 8 * k), k, 0))
    flow.packets += 1
    flow.bytes += load32(context.lengths + 4 * (at + k))
    flow.last = at + k


def update_flows(context: Context) -> int:
    table, hashes = context.table, context.hashes
    at = 0
    while at < context.count:
        keys, n = context.keys + at * SIZE, min(BURST, context.count - at)
        begin(table, 0, n)
        for k in range(min(n, FAR)):
            first_look(table, keys, hashes, k)
        for k in range(min(n, NEAR)):
            foresee(table, load64(hashes + 8 * k), k)
        for k in range(n):
            if k + FAR < n:
                first_look(table, keys, hashes, k + FAR)
            if k + NEAR < n:
                foresee(table, load64(hashes + 8 * (k + NEAR)), k + NEAR)
            update(context, table, keys, at, k)
        end(table)
        at += BURST
    return 0


def sort_by_flow(hashes: int, n: int, order: int) -> None:
    """Numbers of 16 bits of a burst's packets, by eight bits of their hashes; where those are equal, as they came."""
    counts = order + 2 * BURST
    clear(counts, 2 * CLASSES)
    for k in range(n):
        place = counts + 2 * (load64(hashes + 8 * k) & CLASSES - 1)
        store16(place, load16(place) + 1)
    total = 0
    for c in range(CLASSES):
        here = load16(counts + 2 * c)
        store16(counts + 2 * c, total)
        total += here
    for k in range(n):
        place = counts + 2 * (load64(hashes + 8 * k) & CLASSES - 1)
        at = load16(place)
        store16(order + 2 * at, k)
        store16(place, at + 1)


def update_sorted(context: Context) -> int:
    """The same with each burst's packets in the order of their flows."""
    table, hashes, order = context.table, context.hashes, context.order
    at = 0
    while at < context.count:
        keys, n = context.keys + at * SIZE, min(BURST, context.count - at)
        begin(table, 0, n)
        for k in range(n):
            first_look(table, keys, hashes, k)
        sort_by_flow(hashes, n, order)
        for p in range(min(n, NEAR)):
            k = load16(order + 2 * p)
            foresee(table, load64(hashes + 8 * k), k)
        for p in range(n):
            if p + NEAR < n:
                ahead = load16(order + 2 * (p + NEAR))
                foresee(table, load64(hashes + 8 * ahead), ahead)
            update(context, table, keys, at, load16(order + 2 * p))
        end(table)
        at += BURST
    return 0
