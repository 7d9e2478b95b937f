"""`SteeringTable` and the software director: any rules over any packets, compiled = interpreted = a plain loop."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from both_modes import pcap_of, run_both, stage_of
from burstline.engine.offline import FileRun
from burstline.packet.packet import Packet
from burstline.packet.parser import LINK_ETHERNET, parse_levels
from burstline.simd import level
from burstline.state.exact_rules import TableFull
from burstline.steering.back_end import BackEnd, CannotSteer, add_together
from burstline.steering.director import SoftwareDirector
from burstline.steering.rule import SteeringRule
from burstline.steering.rule_match import first_match
from burstline.steering.software import key_of
from burstline.steering.target import Cores, Drop, Queue
from steering_rules import exact_rule, random_steering_rule
from test_rule_set import packets

QUEUES = 4
TABLE, QUEUE_SUM, MARK_SUM = bl.SteeringTable(QUEUES, flows=4096), bl.Counter("queues"), bl.Counter("marks")
STAGE = """
def look(pkt):
    weight = (pkt.time // 1000) & 0xFFFF
    queue = TABLE.queue(pkt)
    QUEUE_SUM.add((queue + 2) * weight)
    MARK_SUM.add(TABLE.mark(pkt) * weight)
    if queue < 0:
        return bl.DROP
"""
PIPELINE = bl.Pipeline(stage_of(STAGE, TABLE=TABLE, QUEUE_SUM=QUEUE_SUM, MARK_SUM=MARK_SUM))
PACKETS = packets()


def read(data: bytes) -> Packet:
    return Packet(bytearray(data), len(data), 0, 0, parse_levels(data, len(data), LINK_ETHERNET))


VIEWS = [read(data) for data in PACKETS]


def expected(rules: list[SteeringRule], pkt: Packet, table: bl.SteeringTable = TABLE) -> tuple[set[int], int]:
    """The queues that a packet may go to, by a plain loop over the rules, and its mark."""
    rss = table.bucket(pkt) % QUEUES
    rule = first_match(rules, pkt)
    if rule is None:
        return {rss}, 0
    to = rule.to
    queues = (
        {-1} if isinstance(to, Drop) else {to.number} if isinstance(to, Queue) else {*to.numbers}
        if isinstance(to, Cores) else {rss}
    )  # fmt: skip
    return queues, rule.mark or 0


def rules_of(seed: int, wild: int, exact: int) -> list[SteeringRule]:
    chance = random.Random(seed)
    made = [random_steering_rule(chance) for _ in range(wild)]
    flows = (exact_rule(chance, chance.choice(VIEWS)) for _ in range(4 * exact))
    made += [rule for rule in flows if rule is not None][:exact]
    chance.shuffle(made)
    return made


@pytest.mark.parametrize(("wild", "exact"), [(0, 0), (1, 0), (0, 40), (12, 40), (90, 200)])
def test_a_packet_goes_where_the_first_rule_that_matches_says(wild: int, exact: int) -> None:
    for seed in range(3):
        rules = rules_of(seed, wild, exact)
        SoftwareDirector(TABLE).apply(rules)
        for pkt in VIEWS:
            queues, mark = expected(rules, pkt)
            assert TABLE.queue(pkt) in queues
            assert TABLE.mark(pkt) == mark
        run_both(PIPELINE, PACKETS, out=None).equal()


@pytest.mark.parametrize("simd", [each for each in level.known() if each != level.known()[-1]])
def test_narrower_vectors_find_the_same(simd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSTLINE_SIMD", simd)
    SoftwareDirector(TABLE).apply(rules_of(5, 20, 20))
    run_both(PIPELINE, PACKETS, out=None).equal()


def test_several_workers_share_the_rules_and_add_up_their_counts(tmp_path: Path) -> None:
    source = tmp_path / "in.pcap"
    source.write_bytes(pcap_of(PACKETS))
    rules = rules_of(9, 20, 60)
    director = SoftwareDirector(TABLE)
    handles = director.apply(rules)
    decided = [first_match(rules, pkt) for pkt in VIEWS]
    for workers in (1, 2):
        TABLE.reset()
        FileRun(PIPELINE, str(source), None, workers=workers).run()
        found = director.counts()
        for handle, rule in zip(handles, rules, strict=True):
            mine = [len(data) for data, by in zip(PACKETS, decided, strict=True) if by is rule]
            assert found.get(handle, (0, 0)) == ((len(mine), sum(mine)) if rule.count else (0, 0))


def test_rules_that_come_and_go_leave_those_that_stay() -> None:
    chance = random.Random(4)
    director, held = SoftwareDirector(TABLE), dict[int, SteeringRule]()
    director.apply([])
    for _ in range(300):
        if held and chance.random() < 0.45:
            gone = chance.choice(list(held))
            director.remove(gone)
            del held[gone]
        else:
            rule = random_steering_rule(chance) if chance.random() < 0.3 else exact_rule(chance, chance.choice(VIEWS))
            if rule is not None:
                held[director.add(rule)] = rule
        pkt = chance.choice(VIEWS)
        queues, mark = expected(list(held.values()), pkt)
        assert (TABLE.queue(pkt) in queues, TABLE.mark(pkt)) == (True, mark)
    assert director.rules() == held
    run_both(PIPELINE, PACKETS, out=None).equal()


def test_the_queues_of_buckets_can_be_any() -> None:
    SoftwareDirector(TABLE).apply([])
    before = TABLE.reta()
    TABLE.set_reta([(7 * bucket + 3) % QUEUES for bucket in range(TABLE.buckets)])
    for pkt in VIEWS:
        assert TABLE.queue(pkt) == (7 * TABLE.bucket(pkt) + 3) % QUEUES
    run_both(PIPELINE, PACKETS, out=None).equal()
    TABLE.set_reta(before)
    with pytest.raises(bl.UsageError, match="a RETA of 2 entries"):
        TABLE.set_reta([0, 1])
    for bucket, queue in ((128, 0), (-1, 0), (0, QUEUES)):
        with pytest.raises(bl.UsageError, match=f"there is no bucket {bucket} or no queue {queue}"):
            TABLE.move_bucket(bucket, queue)
    assert TABLE.reta() == before


def test_a_set_that_is_refused_leaves_the_one_before() -> None:
    director = SoftwareDirector(TABLE)
    rules = rules_of(2, 5, 5)
    director.apply(rules)
    before = [(TABLE.queue(pkt), TABLE.mark(pkt)) for pkt in VIEWS]
    with pytest.raises(bl.UsageError, match="rule 1: to: there is no queue 4"):
        director.apply([SteeringRule(to="drop"), SteeringRule(to="queue 4")])
    other = SoftwareDirector(TABLE, {0: 0, 1: 1}.__getitem__)
    with pytest.raises(bl.UsageError, match="steering rule: to: no worker runs on core 7"):
        other.add(SteeringRule(to="cores 0, 7"))
    assert [(TABLE.queue(pkt), TABLE.mark(pkt)) for pkt in VIEWS] == before


def test_the_director_is_a_back_end() -> None:
    director: BackEnd = SoftwareDirector(bl.SteeringTable(2))
    forth = SteeringRule(src="10.0.0.1", dst="10.0.0.2", proto="tcp", sport=1, dport=2, to="queue 1")
    back = SteeringRule(src="10.0.0.2", dst="10.0.0.1", proto="tcp", sport=2, dport=1, to="queue 7")
    with pytest.raises(bl.UsageError, match="to: there is no queue 7"):
        add_together(director, [forth, back])
    assert isinstance(director, SoftwareDirector)
    assert director.rules() == {}


def test_a_set_that_is_refused_leaves_the_counts_too(tmp_path: Path) -> None:
    source = tmp_path / "in.pcap"
    source.write_bytes(pcap_of(PACKETS))
    director = SoftwareDirector(TABLE)
    handles = director.apply([SteeringRule(proto="udp", count=True), SteeringRule(priority=1, count=True)])
    FileRun(PIPELINE, str(source), None, workers=1).run()
    before = director.counts()
    assert sum(packets for packets, _ in before.values()) == len(PACKETS)
    assert all(packets for packets, _ in before.values())
    with pytest.raises(CannotSteer, match="rule 2: to: there is no queue 9") as caught:
        director.apply([SteeringRule(count=True), SteeringRule(count=True), SteeringRule(to="queue 9", count=True)])
    assert caught.value.field == "to"
    assert director.counts() == before
    director.remove(handles[0])
    assert director.counts() == {handles[1]: before[handles[1]]}
    added = director.add(SteeringRule(count=True))
    assert director.counts()[added] == (0, 0), "by the counter that was free again"
    director.apply([SteeringRule(count=True)])
    assert [*director.counts().values()] == [(0, 0)]


def flow(number: int, **more: Any) -> SteeringRule:
    return SteeringRule(
        src=f"10.1.{number >> 8 & 255}.{number & 255}", dst="10.2.0.1", proto="udp", sport=1 + (number >> 16), dport=9,
        **more,
    )  # fmt: skip


def test_a_full_table_refuses_all_of_what_is_too_many() -> None:
    table = bl.SteeringTable(2, flows=10)
    director = SoftwareDirector(table)
    director.apply([flow(n, to="queue 1") for n in range(8)])
    with pytest.raises(TableFull, match="11 exact rules are more than 10"):
        director.apply([flow(n, to="queue 0") for n in range(11)])
    handles = [director.add(flow(n, to="queue 1")) for n in (8, 9)]
    with pytest.raises(TableFull):
        director.add(flow(10, to="queue 1"))
    director.remove(handles[0])
    director.add(flow(10, to="queue 1"))
    assert len(table.exact) == 10
    assert (director.limits.exact, director.limits.wildcards, director.limits.reta_size) == (0, None, 128)
    assert [table.exact.find(key_of(flow(n))) is not None for n in range(11)] == [n != 8 for n in range(11)]


def test_removed_rules_do_not_fill_the_table() -> None:
    table = bl.SteeringTable(2, flows=64)
    director = SoftwareDirector(table)
    for n in range(3000):
        director.remove(director.add(flow(n, to="queue 1")))
    director.add(flow(1, to="queue 1"))
    assert len(table.exact) == 1
    assert table.exact.find(key_of(flow(1))) is not None
    assert table.exact.find(key_of(flow(2))) is None


def test_rules_change_while_packets_flow_and_each_packet_has_an_old_one_or_a_new_one(tmp_path: Path) -> None:
    """Half of the flows change between two queues at a time, the others keep theirs: none is ever seen elsewhere."""
    table, wrong, seen = bl.SteeringTable(4, flows=4096), bl.Counter("wrong"), bl.Counter("seen")
    ones, twos = bl.Counter("one"), bl.Counter("two")
    stage = stage_of(
        """
def look(pkt):
    queue = table.queue(pkt)
    seen.add(1)
    if queue == 1:
        ones.add(1)
    if queue == 2:
        twos.add(1)
    if pkt.udp.sport == 1 and queue != 3 or pkt.udp.sport == 2 and queue != 1 and queue != 2:
        wrong.add(1)
""",
        table=table, wrong=wrong, seen=seen, ones=ones, twos=twos,
    )  # fmt: skip
    flows = [(flow(n), n >> 16) for n in [*range(500), *range(1 << 16, (1 << 16) + 500)]]
    frames = [
        bytes(12) + b"\x08\0\x45\0" + (28).to_bytes(2, "big") + bytes(4) + b"\x40\x11\0\0"
        + rule.src.network_address.packed + rule.dst.network_address.packed  # type: ignore[union-attr]
        + (1 + side).to_bytes(2, "big") + b"\0\x09\0\x08\0\0"
        for rule, side in flows
    ]  # fmt: skip
    source = tmp_path / "in.pcap"
    source.write_bytes(pcap_of(frames * 200))
    director = SoftwareDirector(table)
    director.apply([flow(n % 65536 + (n & 1 << 16), to="queue 1" if n >> 16 else "queue 3") for n in
                    [*range(500), *range(1 << 16, (1 << 16) + 500)]])  # fmt: skip
    done = threading.Event()

    def change() -> None:
        chance = random.Random(1)
        keys = [key_of(rule) for rule, side in flows if side]
        while not done.is_set():
            some = chance.sample(keys, 50)
            to = chance.choice((1, 2))
            table.put(b"".join(some), [1 << 32] * 50, [bl_decision(to)] * 50)
            table.remove(key_of(flow(60000)))
            table.put(key_of(flow(60000)), [1 << 32], [bl_decision(0)])

    other = threading.Thread(target=change)
    other.start()
    try:
        FileRun(bl.Pipeline(stage), str(source), None, workers=1).run()
    finally:
        done.set()
        other.join()
    assert seen.value == 200 * len(frames)
    assert wrong.value == 0
    assert ones.value and twos.value, "changes were seen"


def bl_decision(queue: int) -> Any:
    from burstline.state.steering_words import Decision

    return Decision(queue=queue)
