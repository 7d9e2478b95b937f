"""From counts to snapshots: what the controller sees of live ports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from burstline.state.toeplitz import DEFAULT_KEY, SYMMETRIC_KEY, toeplitz
from burstline.steering.back_end import Limits
from burstline.steering.control.demand import demand_of, plain_of, steering_of
from burstline.steering.control.flow_rule import backward, can_have_rule, coarse_key, hashed, rules_for
from burstline.steering.control.in_force import Held, InForce, Wanted
from burstline.steering.control.sight import PLENTY, Reading, Sight
from burstline.steering.control.snapshot import Failure, Snapshot
from burstline.steering.software import key_of
from burstline.steering.target import Queue

CORES, BUCKETS, STEP = 2, 8, 0.5
LIMITS = Limits(100, None, 1000.0, BUCKETS)
RSS = [bucket % CORES for bucket in range(BUCKETS)]


def key(flow: int, version: int = 4) -> bytes:
    addresses = bytes((10, 0, 0, flow, 10, 9, 0, 1)) if version == 4 else bytes(15) + bytes((flow,)) + bytes((1,)) * 16
    head = bytes((17, version)) + (1000 + flow).to_bytes(2, "little") + (53).to_bytes(2, "little") + bytes(2)
    return (head + addresses).ljust(40, b"\0")


def bucket(flow: bytes) -> int:
    return toeplitz(DEFAULT_KEY, hashed(flow)) % BUCKETS


def in_bucket(number: int) -> bytes:
    return next(key(flow) for flow in range(250) if bucket(key(flow)) == number)


class Traffic:
    """Packets/s of flows, and of all others by bucket, as they add up."""

    def __init__(self, there: InForce, **options: Any) -> None:
        self.there, self.sight = there, Sight(DEFAULT_KEY, **options)
        self.time = 0.0
        self.by_bucket = np.zeros((CORES, BUCKETS), int)
        self.counts: dict[int, tuple[int, int]] = {}
        self.packets = [0] * CORES
        self.missed = 0
        assert self.look({}) is None

    def look(
        self, flows: dict[bytes, tuple[float, int]], mice: float = 0, *, busy: float = 0.5,
        hits: Mapping[int, int] = MappingProxyType({}), missed: int = 0, failures: Sequence[Failure] = (),
    ) -> Snapshot | None:  # fmt: skip
        """`flows` have packets/s and the core that they come to; `mice` are packets/s of each bucket."""
        self.time += STEP
        for flow, (rate, core) in flows.items():
            self._came(core, bucket(flow), rate)
        for number in range(BUCKETS):
            self._came(self.there.reta[number], number, mice)
        for handle, packets in hits.items():
            before = self.counts.get(handle, (0, 0))
            self.counts[handle] = before[0] + packets, before[1] + 100 * packets
        self.missed += missed
        listed = [(flow, [rate * (core == k) for k in range(CORES)]) for flow, (rate, core) in flows.items() if rate]
        now = Reading(
            self.time, list(self.packets), [100 * p for p in self.packets], [busy * self.time] * CORES, self.missed,
            self.by_bucket.copy(), listed, dict(self.counts),
        )  # fmt: skip
        return self.sight.see(now, self.there, LIMITS, failures)

    def _came(self, core: int, number: int, rate: float) -> None:
        self.by_bucket[core, number] += round(rate * STEP)
        self.packets[core] += round(rate * STEP)


def seen(snapshot: Snapshot | None) -> Snapshot:
    assert snapshot is not None
    return snapshot


def test_counts_become_rates_and_the_demand_is_what_came() -> None:
    there = InForce(RSS)
    traffic, heavy = Traffic(there), in_bucket(3)
    found = seen(traffic.look({heavy: (4000.0, 1)}, mice=100))
    assert [(c.core, c.packets, c.load, c.missed) for c in found.cores] == [(0, 400, 0.5, 0), (1, 4400, 0.5, 0)]
    assert found.buckets == (100, 100, 100, 4100, 100, 100, 100, 100)
    flow = found.flows[0]
    assert (flow.key, flow.bucket, flow.packets, flow.bytes, flow.core, flow.rule) == (heavy, 3, 4000, 400_000, 1, None)
    assert flow.age == STEP and seen(traffic.look({heavy: (4000.0, 1)}, mice=100)).flows[0].age == 2 * STEP
    demand = demand_of(found)
    assert demand.total == 4800 and demand.capacity == 4800
    assert steering_of(found).loads(demand, CORES).tolist() == [400, 4400]
    assert (found.device.exact_room, found.device.wildcard_room, found.device.reta) == (100, PLENTY, True)
    assert (found.reta, found.rss, found.pending, found.fixed) == (tuple(RSS), tuple(RSS), (), (0, 0))


def test_a_flow_that_a_rule_takes_elsewhere_is_part_of_its_bucket_and_listed_though_it_has_stopped() -> None:
    there, heavy = InForce(RSS), in_bucket(3)
    there.held[heavy] = Held(Wanted(heavy, 0), (7,))
    traffic = Traffic(there)
    found = seen(traffic.look({heavy: (4000.0, 0)}, mice=100, hits={7: 2000}))
    flow = found.flows[0]
    assert (flow.core, flow.rule, flow.hits, flow.bytes, found.buckets[3]) == (0, "exact", 2000, 400_000, 4100)
    demand = demand_of(found)
    assert steering_of(found).loads(demand, CORES).tolist() == [4400, 400]
    assert plain_of(found).loads(demand, CORES).tolist() == [400, 4400]
    for hits in (3, 0):  # too slow for the sketch, and then gone
        found = seen(traffic.look({}, mice=100, hits={7: hits}))
        assert [(f.key, f.packets, f.hits, f.rule) for f in found.flows] == [(heavy, hits / STEP, hits, "exact")]


def test_where_rules_do_not_count_what_cores_saw_are_hits() -> None:
    there, heavy = InForce(RSS), in_bucket(3)
    there.held[heavy] = Held(Wanted(heavy, 0), (7,))
    traffic = Traffic(there)
    assert seen(traffic.look({heavy: (4000.0, 0)})).flows[0].hits == 2000
    assert seen(traffic.look({})).flows[0].hits == 0


def test_what_rules_of_somebody_else_take_elsewhere_stays_where_it_is() -> None:
    there, theirs = InForce(RSS), in_bucket(3)
    found = seen(Traffic(there).look({theirs: (4000.0, 0)}, mice=100))
    assert found.flows == () and found.buckets[3] == 100 and found.fixed == (4000, 0)
    demand = demand_of(found)
    assert plain_of(found).loads(demand, CORES).tolist() == [4400, 400]


def test_pieces_and_what_is_no_ip_have_no_rule_and_are_not_listed() -> None:
    heavy = in_bucket(3)
    pieces, other = heavy[:2] + bytes(6) + heavy[8:], b"\0\0\x06\x08".ljust(40, b"\0")
    assert can_have_rule(heavy) and not can_have_rule(pieces) and not can_have_rule(other)
    traffic = Traffic(InForce(RSS))
    now = traffic.sight.see(
        Reading(9.0, [10, 10], [1, 1], [0, 0], 0, traffic.by_bucket, [(pieces, [9, 0]), (other, [9, 0])]),
        traffic.there, LIMITS,
    )  # fmt: skip
    assert seen(now).flows == ()


@pytest.mark.parametrize("hash_key", [DEFAULT_KEY, SYMMETRIC_KEY])
def test_both_directions_are_one_flow_of_one_bucket(hash_key: bytes) -> None:
    there, sight = InForce(RSS), Sight(hash_key, both_ways=True)
    forward, back = key(1), backward(key(1))
    assert backward(back) == forward and backward(key(1, 6)) != key(1, 6) and backward(backward(key(1, 6))) == key(1, 6)
    buckets = [toeplitz(hash_key, hashed(each)) % BUCKETS for each in (forward, back)]
    name, home = min(forward, back), RSS[toeplitz(hash_key, hashed(min(forward, back))) % BUCKETS]
    for core in (None, 1 - home, home):
        if core is not None:
            there.held[name] = Held(Wanted(name, core), (1, 2))
        at = [RSS[number] if core is None else core for number in buckets]
        by_bucket, rates = np.zeros((CORES, BUCKETS), int), []
        for number, where, each, rate in zip(buckets, at, (forward, back), (3000, 1000), strict=True):
            by_bucket[where, number] += rate
            rates.append((each, [float(rate * (where == k)) for k in range(CORES)]))
        sight = Sight(hash_key, both_ways=True)
        sight.see(Reading(0.0, [0, 0], [0, 0], [0, 0], 0, np.zeros_like(by_bucket)), there, LIMITS)
        packets = by_bucket.sum(axis=1).tolist()
        found = seen(sight.see(Reading(1.0, packets, packets, [1, 1], 0, by_bucket, rates), there, LIMITS))
        assert [(f.key, f.packets, f.core) for f in found.flows] == [(name, 4000, home if core is None else core)]
        assert sum(found.buckets) == found.buckets[found.flows[0].bucket] == 4000 and not any(found.fixed)
        assert found.device.rules_a_flow == 2


def test_what_was_missed_is_of_the_fullest_cores_and_failures_are_told() -> None:
    there, heavy, failure = InForce(RSS), in_bucket(3), Failure(3, "reta", "no")
    traffic = Traffic(there)
    found = seen(traffic.look({heavy: (4000.0, 1)}, mice=100, missed=500, failures=[failure]))
    assert sum(core.missed for core in found.cores) == pytest.approx(1000) and found.failures == (failure,)


def test_a_flow_that_is_dropped_by_a_rule_is_no_load_and_still_counted() -> None:
    there, heavy = InForce(RSS), in_bucket(3)
    there.held[heavy] = Held(Wanted(heavy, path="bypass"), (7,))
    found = seen(Traffic(there).look({}, mice=100, hits={7: 2000}))
    flow = found.flows[0]
    assert (flow.packets, flow.hits, flow.rule, found.buckets[3]) == (0, 2000, None, 100)


def test_rules_are_of_the_key_and_come_last() -> None:
    for flow in (key(1), key(1, 6)):
        one, two = rules_for(flow, Queue(1), mark=5, both=True)
        assert one.is_exact and key_of(one) == flow and key_of(two) == backward(flow)
        assert (one.to, one.mark, one.count, one.priority) == (Queue(1), 5, True, 65535)
        (coarse,) = rules_for(coarse_key(flow), Queue(1), count=False)
        assert coarse.matched().keys() == {"src", "dst", "proto"} and not coarse.count
