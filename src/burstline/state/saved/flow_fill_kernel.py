"""The compiled index of a flow table whose entries were put back: every entry is named in it, as `insert` does."""

from __future__ import annotations

from burstline.native.memory import load64, mix
from burstline.packet.flow_key_kernel import SECRET_1, SECRET_2, SECRET_3, hash_flow_key
from burstline.state.flow_head import TableHead
from burstline.state.flow_index_kernel import put

KEY_BITS = 0xFFFFFFFFFFFF


def fill(table: TableHead, stride: int, words: int, first: int, last: int) -> int:
    """Entries `first` to `last`. `words` is of a key that is not the usual one, else 0 (flow_keys_kernel.hasher)."""
    for number in range(first, last + 1):
        key = table.entries + number * stride
        if words == 0:
            hashed = hash_flow_key(key)
        else:
            hashed = mix((load64(key) & KEY_BITS) ^ SECRET_1, load64(key + 8) ^ SECRET_2)
            for word in range(2, words):
                hashed = mix(hashed ^ SECRET_3, load64(key + 8 * word) ^ SECRET_1)
        put(table.index, table.buckets, hashed, number)
    return 0
