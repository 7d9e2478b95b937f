"""A flow table by itself: lookups and updates of keys that lie behind each other, as the engine's loops do them."""

from __future__ import annotations

from benchmarks.harness.flow_loop import KEY, Context, Flow
from burstline.native.memory import load32, load64, store64
from burstline.native.struct_type import reference
from burstline.state.flow_head import Geometry
from burstline.state.flow_keys import FieldKeys
from burstline.state.flow_keys_kernel import hasher
from burstline.state.flow_table_kernel import table_kernels

BURST, FAR, NEAR = 256, 32, 16
keys_of_flows = FieldKeys(KEY)
hash_key = hasher(keys_of_flows)
SIZE = keys_of_flows.size
_kernels = table_kernels(Geometry(SIZE, False, Flow.layout), hash_key, sides=False)
record_of, foresee, prefetch_bucket, begin, end = (
    _kernels.record_of, _kernels.foresee, _kernels.prefetch_bucket, _kernels.begin, _kernels.end,
)  # fmt: skip
flow_at = reference(Flow)


def first_look(table: int, keys: int, hashes: int, k: int) -> None:
    hash = hash_key(keys + k * SIZE)
    store64(hashes + 8 * k, hash)
    prefetch_bucket(table, hash)


def update_flows(context: Context) -> int:
    table, hashes, lengths = context.table, context.hashes, context.lengths
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
            flow = flow_at(record_of(table, keys + k * SIZE, load64(hashes + 8 * k), k, 0))
            flow.packets += 1
            flow.bytes += load32(lengths + 4 * (at + k))
            flow.last = at + k
        end(table)
        at += BURST
    return 0
