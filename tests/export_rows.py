"""Rows of a flow table that no packet made, for tests of exporters."""

from __future__ import annotations

from typing import Any

import numpy as np

import burstline as bl
from burstline.export.shape import Shape

START = 1_700_000_000_000_000_000


class Sample(bl.Record):
    first: bl.i64
    last: bl.i64
    packets: bl.u32
    bytes: bl.u64
    packets_back: bl.u32
    tcp_flags: bl.u8
    mark: bl.u16
    rate: bl.f64
    name: bl.bytes_[6]
    gateway: bl.ipv4
    closed: bl.boolean


def shape(**options: Any) -> Shape:
    return bl.FlowTable(Sample, 1000, both_ways=True, vlan=True, **options).exports.shape


def rows(count: int, versions: tuple[int, ...] = (4, 6), seed: int = 1) -> Any:
    """Different ones: `bytes` counts them."""
    random = np.random.default_rng(seed)
    found = np.zeros(count, shape().dtype)
    found["version"] = random.choice(versions, count)
    found["protocol"] = 6
    for end in ("src", "dst"):
        found[end] = random.integers(0, 256, (count, 16), "u1")
        found[end][found["version"] != 6, 4:] = 0
        found[end][found["version"] == 0] = 0
    found["sport"], found["dport"] = random.integers(0, 65536, (2, count))
    found["vlan"] = random.integers(0, 4096, count)
    found["first"] = START + random.integers(0, 10**12, count)
    found["last"] = found["first"] + 5_123_456_789
    found["packets"], found["packets_back"] = random.integers(1, 1 << 32, (2, count))
    found["bytes"] = np.arange(count)
    found["tcp_flags"], found["mark"] = 0x1B, random.integers(0, 65536, count)
    found["rate"], found["name"], found["closed"] = random.random(count), b"abc", random.integers(0, 2, count)
    found["gateway"] = random.integers(0, 1 << 32, count)
    found["reason"] = random.choice([b"idle", b"active", b"evicted", b"closed", b"end"], count)
    return found
