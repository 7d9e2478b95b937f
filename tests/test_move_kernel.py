"""What moves of flows are made of, piece by piece: who has a packet in each phase, packets that stand for flows, edits
that are planned, refused and carried out, and swaps in between."""

from __future__ import annotations

import itertools
import random
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import burstline as bl
from burstline import dpdk
from burstline.engine.moves.move_kernel import HERE, HOLD, place, still_left
from burstline.engine.moves.ownership import Ownership, Planned
from burstline.engine.moves.phases import ANNOUNCED, CHANGED, CLOSING, EXPORTING, FRAME, RELEASED, Mover
from burstline.engine.worker import QUEUE_SIZE, PortQueue, PortWorker
from burstline.errors import BurstlineError
from burstline.native.kernel import Kernel
from burstline.offload.twins import Twins
from burstline.packet.flow_key import KEY_SIZE, flow_key
from burstline.state.region import Block, Region
from burstline.state.steering_table import SteeringTable
from burstline.state.toeplitz import DEFAULT_KEY, toeplitz
from burstline.steering.edit import AddRules, Done, Edit, MoveBucket, RemoveRules
from dpdk_live import alone, pool
from test_flow_moves import FLOWS, frame, rule
from xdp_machine import packet

quickly = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
PHASES = (ANNOUNCED, CHANGED, EXPORTING, RELEASED, CLOSING)
WORKERS, BUCKETS = 3, 16
compiled_place = Kernel("burstline.engine.moves.move_kernel:place", *[int] * 6)
arrived = Kernel("burstline.engine.moves.move_kernel:arrived", PortWorker, int, int, int)
write_frame = Kernel("burstline.engine.moves.sift_kernel:write_frame", int, int)


# ---- who has a packet ----


def places(phase: int, before: int, after: int, holds: bool = False, ruled: bool = True) -> list[int]:
    """What each worker does with a packet."""
    return [place(me, phase, before, after, ruled, holds) for me in range(WORKERS)]


def test_compiled_each_packet_has_the_same_place() -> None:
    queues = range(-1, WORKERS)
    for given_ in itertools.product(range(WORKERS), PHASES, queues, queues, (False, True), (False, True)):
        assert compiled_place(*map(int, given_)) == place(*given_), given_


def test_a_flow_that_moves_is_handled_by_one_worker_at_a_time_and_by_nobody_while_its_record_is_on_its_way() -> None:
    for before, after in itertools.permutations(range(WORKERS), 2):
        for holds in (False, True):
            for phase in (ANNOUNCED, CHANGED):
                assert [k for k, to in enumerate(places(phase, before, after, holds)) if to == HERE] == [before]
                assert places(phase, before, after, holds)[after] == HOLD
            assert HERE not in places(EXPORTING, before, after, holds)
        assert [k for k, to in enumerate(places(RELEASED, before, after)) if to == HERE] == [after]


def test_what_comes_while_older_packets_are_held_waits_behind_them() -> None:
    for before, after in itertools.permutations(range(WORKERS), 2):
        for phase in PHASES:
            assert places(phase, before, after, holds=True)[after] == HOLD
        assert places(CLOSING, before, after)[after] == HERE


def test_what_is_passed_on_goes_to_where_the_flow_goes_and_stays_there() -> None:
    for phase, holds, ruled in itertools.product(PHASES, (False, True), (False, True)):
        for before, after in itertools.product(range(WORKERS), repeat=2):
            found = places(phase, before, after, holds, ruled)
            assert all(to in (HERE, HOLD, after) for to in found)
            assert found[after] in (HERE, HOLD)
            assert phase != CLOSING or not any(to >= 0 for to in found)


def test_a_flow_that_does_not_move_is_handled_where_it_comes_unless_a_rule_may_have_sent_it_astray() -> None:
    for phase, queue, holds in itertools.product(PHASES, range(WORKERS), (False, True)):
        assert places(phase, queue, queue, holds, ruled=False) == [HERE] * WORKERS
        others = HERE if phase == CLOSING else queue
        assert places(phase, queue, queue, holds) == [HERE if k == queue else others for k in range(WORKERS)]


def test_what_a_rule_drops_or_a_device_places_is_handled_where_it_comes() -> None:
    for phase, queue, holds, ruled in itertools.product(PHASES, range(-1, WORKERS), (False, True), (False, True)):
        assert places(phase, -1, queue, holds, ruled) == places(phase, queue, -1, holds, ruled) == [HERE] * WORKERS


# ---- when a port has no more packets by the old rules ----


def left_behind(batch: int, twins: int = 0) -> int:
    """Of 100 packets that may wait at a port, when a poll brought none."""
    mover, worker = Block(Mover.layout), Block(PortWorker.layout, 128)
    left, queue = Region(8), Region(QUEUE_SIZE)
    left.set_i64(0, 100)
    queue.set_i64(PortQueue.layout.offset("twins"), twins)
    mover.set(seen=CHANGED, left=left.address)
    worker.set(moves=mover.address, queues=queue.address, batch=batch)
    assert arrived(worker.address, 0, 0, 0) == 0
    return left.i64(0)


def test_a_port_is_empty_when_its_driver_gave_none_and_not_when_software_held_all_back() -> None:
    assert left_behind(32) == 0
    twins = Block(Twins.layout)
    for came, left in ((32, 68), (31, 0), (0, 0)):
        twins.set(came=came, burst=64)
        assert left_behind(64, twins.address) == left


def test_a_driver_that_never_gives_more_than_32_packets_is_not_taken_for_empty() -> None:
    assert [still_left(1000, came, 256) for came in (0, 31, 32, 64, 256)] == [0, 0, 968, 936, 744]
    assert [still_left(1000, came, 8) for came in (0, 7, 8)] == [0, 0, 992] and still_left(20, 32, 32) == 0


# ---- packets that stand for flows ----


def key(version: int, proto: int, src: bytes, dst: bytes, sport: int, dport: int) -> bytes:
    head = bytes((proto, version)) + sport.to_bytes(2, "little") + dport.to_bytes(2, "little") + b"\0\0"
    return (head + src + dst).ljust(KEY_SIZE, b"\0")


def made_of(key: bytes) -> bytes:
    keys, room = Region(KEY_SIZE), Region(FRAME)
    keys.write(0, key)
    room.write(0, b"\xff" * FRAME)  # as another flow may have left it
    size = write_frame(keys.address, room.address)
    assert 54 <= size <= FRAME
    return room.read(0, size)


def key_again(data: bytes) -> bytes:
    return flow_key(data, packet(data)._levels.outer)


port = st.integers(0, 65535)
ICMP, TCP, UDP, SCTP, ICMP6 = 1, 6, 17, 132, 58


@quickly
@given(st.sampled_from([4, 6]), st.sampled_from([TCP, UDP, SCTP]), st.data())
def test_the_packet_of_a_flow_with_ports_has_its_key(version: int, proto: int, data: st.DataObject) -> None:
    size = 4 if version == 4 else 16
    src, dst = (data.draw(st.binary(min_size=size, max_size=size)) for _ in range(2))
    wanted = key(version, proto, src, dst, data.draw(port), data.draw(port))
    assert key_again(made_of(wanted)) == wanted


@quickly
@given(st.sampled_from([(4, ICMP), (6, ICMP6), (4, 2), (4, 50), (6, 50), (4, 89), (6, 59), (4, 253)]), st.data())
def test_the_packet_of_a_flow_without_ports_has_its_key(kind: tuple[int, int], data: st.DataObject) -> None:
    size = 4 if kind[0] == 4 else 16
    src, dst = (data.draw(st.binary(min_size=size, max_size=size)) for _ in range(2))
    wanted = key(*kind, src, dst, 0, 0)
    assert key_again(made_of(wanted)) == wanted


@quickly
@given(st.sampled_from([0x0806, 0x88CC, 0x88B5, 0x8035, 0x9000, 0xFFFF]) | st.integers(0x0601, 0x07FF))
def test_the_packet_of_a_flow_without_ip_has_its_key(ether_type: int) -> None:
    wanted = key(0, 0, b"", b"", ether_type, 0)
    assert key_again(made_of(wanted)) == wanted


@quickly
@given(st.sampled_from([4, 6]), st.sampled_from([TCP, UDP, SCTP, ICMP]), st.data())
def test_a_table_says_of_it_where_packets_of_the_flow_go(version: int, proto: int, data: st.DataObject) -> None:
    size = 4 if version == 4 else 16
    src, dst = (data.draw(st.binary(min_size=size, max_size=size)) for _ in range(2))
    sport, dport = (data.draw(port), data.draw(port)) if proto != ICMP else (0, 0)
    table = SteeringTable(WORKERS, buckets=BUCKETS)
    ends = src + dst + (b"" if proto == ICMP else sport.to_bytes(2, "big") + dport.to_bytes(2, "big"))
    seen = packet(made_of(key(version, proto, src, dst, sport, dport)))
    assert table.bucket(seen) == toeplitz(DEFAULT_KEY, ends) % BUCKETS


# ---- edits, planned and carried out ----

SOME = 6  # flows that there are rules for
PACKETS = [packet(frame(flow, 0)) for flow in range(SOME + 2)]
HASHED = [SteeringTable(1, buckets=BUCKETS).bucket(each) for each in PACKETS]


def wild(low: int, width: int, to: str, priority: int) -> bl.SteeringRule:
    return bl.SteeringRule(dport=f"{1000 + low}-{1000 + low + width}", to=to, priority=priority)


exact_rules = st.builds(rule, st.integers(0, SOME - 1), st.integers(0, WORKERS - 1))
targets = st.sampled_from(["queue 0", "queue 1", "queue 2", "drop", "rss"])
wild_rules = st.builds(wild, st.integers(0, SOME), st.integers(0, 3), targets, st.integers(0, 2))
some_rules = st.lists(exact_rules | wild_rules, min_size=1, max_size=3)
moves = st.builds(MoveBucket, st.integers(0, BUCKETS - 1), st.integers(0, WORKERS - 1))
# What is to be done, and whether the ports refuse it; rules that go are named by a number, whatever handle that is.
wishes = st.one_of(
    st.tuples(st.just("add"), some_rules), st.tuples(st.just("remove"), st.integers(0, 20)),
    st.tuples(st.just("move"), moves),
)  # fmt: skip
steps = st.lists(st.lists(st.tuples(wishes, st.booleans()), min_size=1, max_size=4), max_size=6)


class Model:
    """Rules in the order they were given, by handle, and the queue of each bucket: brute force."""

    def __init__(self) -> None:
        self.rules: dict[int, bl.SteeringRule] = {}
        self.reta = [bucket % WORKERS for bucket in range(BUCKETS)]

    def queues(self) -> list[int]:
        return [self._queue(flow) for flow in range(len(PACKETS))]

    def _queue(self, flow: int) -> int:
        hits = [each for each in self.rules.values() if self._matches(each, flow)]
        to = str(min(hits, key=lambda each: each.priority).to) if hits else "rss"  # the first of several
        return -1 if to == "drop" else int(to.split()[1]) if to.startswith("queue") else self.reta[HASHED[flow]]

    def _matches(self, each: bl.SteeringRule, flow: int) -> bool:
        if each.is_exact:
            return any(str(each) == str(rule(flow, queue)) for queue in range(WORKERS))
        assert each.dport is not None
        return each.dport[0] <= 1000 + flow <= each.dport[1]

    def have(self, edit: Edit, handles: Sequence[int]) -> None:
        match edit:
            case AddRules(rules):
                self.rules |= dict(zip(handles, rules, strict=True))
            case RemoveRules(gone):
                for handle in gone:
                    del self.rules[handle]
            case MoveBucket(bucket, queue):
                self.reta[bucket] = queue


class Ports:
    """Refuses what it is told to, and keeps the rest as it was told it."""

    def __init__(self) -> None:
        self.model, self.refuses, self._numbers = Model(), False, itertools.count(1000)

    def change(self, edits: Sequence[Edit]) -> list[Done]:
        (edit,) = edits
        if self.refuses:
            return [Done(error=BurstlineError("the device says no"))]
        handles = tuple(next(self._numbers) for _ in getattr(edit, "rules", ()))
        self.model.have(edit, handles)
        return [Done(handles)]


class Bench:
    def __init__(self) -> None:
        self.ports, self.model = Ports(), Model()
        self.tables = SteeringTable(WORKERS, buckets=BUCKETS), SteeringTable(WORKERS, buckets=BUCKETS)
        self.owned = Ownership(self.ports, self.tables, lambda core: core)
        self.owned.begin([], self.model.reta)

    def edit(self, wish: tuple[str, Any]) -> Edit:
        match wish:
            case "add", rules:
                return AddRules(tuple(rules))
            case "remove", number:
                return RemoveRules(
                    (list(self.model.rules)[number % len(self.model.rules)] if self.model.rules else 99,)
                )
        edit: Edit = wish[1]
        return edit

    def asked(self) -> tuple[list[int], list[int]]:
        one, other = ([table.queue(each) for each in PACKETS] for table in self.tables)
        return one, other


@settings(quickly, max_examples=60)
@given(steps)
@example([[(("add", [rule(1, 0), rule(1, 1)]), False)], [(("remove", 0), True)], [(("add", [rule(1, 2)]), True)]])
def test_whatever_ports_refuse_both_tables_and_the_ports_end_with_the_same_rules(step: list[Any]) -> None:
    bench = Bench()
    for wished in step:
        edits = [bench.edit(wish) for wish, _ in wished]
        refused = dict(zip(map(id, edits), (refuses for _, refuses in wished), strict=True))
        for batch in bench.owned.batches(edits):
            before = bench.model.queues()
            plans: list[tuple[Edit, Planned]] = []
            for edit in batch:
                with suppress(BurstlineError):  # there is no such rule any more
                    plans.append((edit, bench.owned.planned(edit)))
            carried = []
            for edit, plan in plans:
                bench.ports.refuses = refused[id(edit)]
                try:
                    plan.carry_out()
                except BurstlineError:
                    plan.take_back()
                else:
                    carried.append(plan)
                    bench.model.have(edit, plan.handles)
            assert bench.asked() == (before, bench.model.queues()), "before is as it was until that is settled"
            for plan in carried:
                plan.settle()
            now = bench.model.queues()
            assert (*bench.asked(), bench.ports.model.queues()) == (now, now, now)
    assert [each.rule for each in bench.owned.all()] == list(bench.model.rules.values())


def flows_of(edit: Edit, rules: dict[int, bl.SteeringRule]) -> set[Any] | None:
    """What an edit has to do with; None where that may be any flow."""
    match edit:
        case MoveBucket(bucket, _):
            return {("bucket", bucket)}
        case AddRules(added):
            named = list(added)
        case RemoveRules(handles):
            named = [rules[handle] for handle in handles]
    return {str(each.dport) for each in named} if all(each.is_exact for each in named) else None


@settings(quickly, max_examples=60)
@given(st.lists(exact_rules | wild_rules, max_size=5), st.lists(wishes, max_size=10))
def test_edits_that_go_together_have_no_flow_in_common_and_keep_their_order(
    there: list[bl.SteeringRule], wished: list[tuple[str, Any]]
) -> None:
    bench = Bench()
    for each in there:
        plan = bench.owned.planned(AddRules((each,)))
        plan.carry_out()
        plan.settle()
        bench.model.have(AddRules((each,)), plan.handles)
    edits = [bench.edit(wish) for wish in wished if wish[0] != "remove" or bench.model.rules]
    batches = list(bench.owned.batches(edits))
    assert [edit for batch in batches for edit in batch] == edits
    for batch in batches:
        found = [flows_of(edit, bench.model.rules) for edit in batch]
        for one, other in itertools.combinations(found, 2):
            assert one is not None and other is not None and not one & other
        assert len({isinstance(edit, MoveBucket) for edit in batch}) == 1
    for batch, following in itertools.pairwise(batches):
        last = flows_of(following[0], bench.model.rules)
        held = [flows_of(edit, bench.model.rules) for edit in batch]
        kinds = {isinstance(edit, MoveBucket) for edit in (batch[0], following[0])}
        assert len(kinds) == 2 or last is None or None in held or any(last & each for each in held if each)


# ---- swaps in between ----


class Wide(bl.Record):
    unknown: bl.bytes_[40]
    astray: bl.u64
    packets: bl.u64


class Narrow(bl.Record):
    packets: bl.u16
    astray: bl.cold[bl.u16]


def counting(record: type[bl.Record], **options: Any) -> tuple[bl.Pipeline, bl.FlowTable[Any]]:
    from test_flow_moves import app

    return app(record, **options)


def swapped(seed: int, workers: int) -> dict[str, Any]:
    from moves_machine import Machine
    from test_flow_moves import any_edits

    sys.setswitchinterval(0.0002)
    chance, other, sent = random.Random(seed), random.Random(seed + 1), [0] * FLOWS
    made = [counting(record) for record in (Narrow, Wide, Narrow)]
    with pool(8191) as mbufs:
        machine = Machine(made[0][0], workers, mbufs)
        done, handles = threading.Event(), list[int]()

        def move() -> None:
            while not done.is_set():
                for each in machine.moves.change(any_edits(chance, workers, handles)):
                    handles.extend(each.handles)

        def swap() -> None:
            for pipeline, _ in made[1:]:
                until = machine.moves.moves + 5
                while machine.moves.moves < until:
                    done.wait(0.001)
                with machine.moves.still(lambda: machine.versions.pipeline):
                    machine.versions.swap(pipeline)

        threads = [threading.Thread(target=move), threading.Thread(target=swap)]
        for thread in threads:
            thread.start()
        while sum(sent) < 2000 or machine.moves.moves < 20 or threads[1].is_alive():
            flow = min(int(other.expovariate(0.1)), FLOWS - 1)
            machine.send(frame(flow, sent[flow]))
            sent[flow] += 1
        done.set()
        for thread in threads:
            thread.join()
        report = machine.finish()
        rows = made[-1][1].to_numpy()
    return {**report, "sent": {5000 + k: n for k, n in enumerate(sent) if n},
            "flows": [tuple(map(int, row)) for row in rows[["sport", "packets", "astray"]]]}  # fmt: skip


@pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
def test_a_swap_to_records_of_another_layout_between_moves_keeps_each_record() -> None:
    found = alone(swapped, 3, 2)
    assert found["records"] and not found["left"]
    assert not sum(astray for *_, astray in found["flows"]), found
    assert {sport: packets for sport, packets, _ in found["flows"]} == found["sent"]
    assert len(found["flows"]) == len(found["sent"])
