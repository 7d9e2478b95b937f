"""The XDP program, in the kernel: any rules over any packets, as the plain loop over burstline's own parser decides."""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import burstline as bl
from burstline.packet.machine import TunnelPorts
from burstline.state.exact_rules import TableFull
from burstline.steering.rule import SteeringRule
from burstline.steering.rule_match import first_match
from burstline.steering.target import Cores, Drop, Queue
from burstline.steering.xdp.bpf import load_program
from burstline.steering.xdp.kinds import MOST_CONDITIONS
from burstline.steering.xdp.parse import MOST_STEPS
from mutations import mutants, seeds
from packet_corpus import corpus, truncations
from steering_rules import exact_rule, random_steering_rule
from test_rule_set import packets
from xdp_machine import QUEUES, SHORTEST, Machine, machine, packet, why_not

PACKETS = [data for data in packets() if len(data) >= SHORTEST]
VIEWS = [packet(data) for data in PACKETS]
TOEPLITZ = bl.Toeplitz()


@pytest.fixture(scope="module")
def xdp() -> Iterator[Machine]:
    with machine(flows=4096) as made:
        yield made


def rules_of(seed: int, wild: int, exact: int) -> list[SteeringRule]:
    chance = random.Random(seed)
    made = [random_steering_rule(chance) for _ in range(wild)]
    flows = (exact_rule(chance, chance.choice(VIEWS)) for _ in range(4 * exact))
    made += [rule for rule in flows if rule is not None][:exact]
    chance.shuffle(made)
    return made


def expected(rules: list[SteeringRule], pkt: bl.Packet, reta: list[int]) -> tuple[int, int]:
    """Queue, or -1, and mark, by a plain loop over the rules."""
    hashed = TOEPLITZ._hash(pkt)
    rss, rule = reta[hashed % len(reta)], first_match(rules, pkt)
    match rule and rule.to:
        case Drop():
            queue = -1
        case Queue(number):
            queue = number
        case Cores(numbers):
            queue = numbers[hashed * len(numbers) >> 32]
        case _:
            queue = rss
    return queue, 0 if rule is None or queue == -1 else rule.mark or 0


@pytest.mark.parametrize(("wild", "exact"), [(0, 0), (1, 0), (0, 40), (12, 40), (90, 200)])
def test_a_packet_goes_where_the_first_rule_that_matches_says(xdp: Machine, wild: int, exact: int) -> None:
    for seed in range(2):
        rules = rules_of(seed, wild, exact)
        handles = xdp.director.apply(rules)
        reta, decided = xdp.table.reta(), Counter[int]()
        for data, pkt in zip(PACKETS, VIEWS, strict=True):
            assert xdp.steer(data) == expected(rules, pkt, reta), data.hex()
            rule = first_match(rules, pkt)
            if rule is not None:
                decided[next(k for k, each in enumerate(rules) if each is rule)] += 1
        counts = xdp.director.counts()
        assert {k: counts[h][0] for k, h in enumerate(handles) if rules[k].count} == {
            k: decided[k] for k in range(len(rules)) if rules[k].count
        }


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 30))
def test_any_rules_over_any_packets(xdp: Machine, seed: int) -> None:
    chance = random.Random(seed)
    rules = rules_of(seed, chance.randrange(20), chance.randrange(20))
    xdp.director.apply(rules)
    reta = xdp.table.reta()
    for data, _ in mutants(chance, 40, seeds()):
        if len(data) >= SHORTEST:
            assert xdp.steer(data) == expected(rules, packet(data), reta), data.hex()


@pytest.mark.parametrize("toeplitz", [bl.Toeplitz(), bl.Toeplitz(symmetric=True), bl.Toeplitz(fields="addresses")])
def test_without_rules_the_hash_is_that_of_toeplitz(toeplitz: bl.Toeplitz) -> None:
    with machine(toeplitz=toeplitz, buckets=512) as xdp:
        chance = random.Random(2)
        seen = Counter[int]()
        for data, pkt in zip(PACKETS, VIEWS, strict=True):
            reta = [chance.randrange(QUEUES) for _ in range(512)]
            xdp.table.set_reta(reta)
            queue = xdp.steer(data)[0]
            assert queue == reta[toeplitz._hash(pkt) & 511]
            seen[queue] += 1
        assert len(seen) == QUEUES


def test_a_bucket_moves_alone(xdp: Machine) -> None:
    xdp.director.apply([])
    for data, pkt in zip(PACKETS[:100], VIEWS, strict=False):
        before, bucket = xdp.table.reta(), TOEPLITZ._hash(pkt) & 127
        moved = (before[bucket] + 1) % QUEUES
        xdp.director.move_bucket(bucket, moved)
        assert xdp.steer(data)[0] == moved
        assert xdp.table.reta() == [*before[:bucket], moved, *before[bucket + 1 :]]
    with pytest.raises(bl.UsageError, match="there is no bucket 128 or no queue 0"):
        xdp.director.move_bucket(128, 0)


def test_every_frame_of_the_corpus_and_every_truncation_of_it(xdp: Machine) -> None:
    """Of rules that ask for each thing once: all that the parser finds is found."""
    asked = [
        {"tunnel": "vxlan"}, {"tunnel": "geneve"}, {"tunnel": "gtpu"}, {"tunnel": "gre", "tunnel_id": 42},
        {"tunnel": "gre"}, {"vlan": 5}, {"flags": "P/P"}, {"proto": "sctp"}, {"src": "2001:db8::/32", "dport": "443"},
        {"src": "192.0.2.0/24", "dport": "443"}, {"src": "2001:db8::/32"}, {"src": "192.0.2.0/24", "proto": "udp"},
    ]  # fmt: skip
    for turn in range(len(asked)):
        order = asked[turn:] + asked[:turn]
        rules = [SteeringRule(**each, to="queue 1", mark=k + 1) for k, each in enumerate(order)]
        xdp.director.apply(rules)
        reta, marks = xdp.table.reta(), set[int]()
        frames = list(corpus().items()) + (list(truncations()) if turn == 0 else [])
        for name, data in frames:
            if len(data) >= SHORTEST:
                found = xdp.steer(data)
                assert found == expected(rules, packet(data), reta), name
                marks.add(found[1])
        assert len(marks) > 6


def test_tunnels_are_found_at_the_ports_that_are_set() -> None:
    data = bytearray(corpus()["vxlan of arp"])
    at = data.index((4789).to_bytes(2, "big"))
    data[at : at + 2] = (8472).to_bytes(2, "big")
    for ports, found in (((4789,), False), ((4789, 8472), True)):
        with machine(tunnels=TunnelPorts(vxlan=ports)) as xdp:
            xdp.director.apply([SteeringRule(tunnel="vxlan", to="drop")])
            assert (xdp.steer(bytes(data))[0] == -1) is found


def test_headers_behind_the_window_or_too_many_of_them_are_not_found(xdp: Machine) -> None:
    """As far as the documentation says, and then nothing but the default."""
    plain = corpus()["ipv4 udp"]
    xdp.director.apply([SteeringRule(proto="udp", to="drop")])
    for tags, found in ((MOST_STEPS - 3, True), (MOST_STEPS - 2, False), (200, False)):
        data = plain[:12] + bytes.fromhex("81000005") * tags + plain[12:]
        assert (xdp.steer(data)[0] == -1) is found


def test_rules_come_and_go_one_by_one(xdp: Machine) -> None:
    chance, held = random.Random(4), dict[int, SteeringRule]()
    xdp.director.apply([])
    reta = xdp.table.reta()
    for _ in range(60):
        if held and chance.random() < 0.45:
            gone = chance.choice(list(held))
            xdp.director.remove(gone)
            del held[gone]
        else:
            rule = random_steering_rule(chance) if chance.random() < 0.3 else exact_rule(chance, chance.choice(VIEWS))
            if rule is not None:
                held[xdp.director.add(rule)] = rule
        for pkt in chance.sample(VIEWS, 20):
            assert xdp.steer(bytes(pkt._data)) == expected(list(held.values()), pkt, reta)
    assert xdp.director.rules() == held


def test_what_is_too_much_is_refused_and_the_rules_before_stay(xdp: Machine) -> None:
    before = [SteeringRule(dport=443, to="drop")]
    xdp.director.apply(before)
    flows = [
        SteeringRule(src=f"10.0.{n >> 8}.{n & 255}", dst="10.9.9.9", proto="tcp", sport=5, dport=6, to=1)
        for n in range(4097)
    ]
    with pytest.raises(TableFull, match="4,097 exact rules are more than 4,096"):
        xdp.director.apply(flows)
    ports = [SteeringRule(dport=port, to="queue 1") for port in range(MOST_CONDITIONS // 2)]
    with pytest.raises(TableFull, match="are too many for an XDP program"):
        xdp.director.apply(ports)
    with pytest.raises(bl.UsageError, match="to: there is no queue 4"):
        xdp.director.add(SteeringRule(to="queue 4"))
    assert list(xdp.director.rules().values()) == before
    reta = xdp.table.reta()
    for data, pkt in zip(PACKETS[:200], VIEWS, strict=False):
        assert xdp.steer(data) == expected(before, pkt, reta)


def test_as_many_wildcards_as_there_is_room_for_are_verified(xdp: Machine) -> None:
    """Of three comparisons each, with all words that there are."""
    chance = random.Random(8)
    rules = [SteeringRule(to="drop", dport=9)]
    while len(rules) < MOST_CONDITIONS // 10:
        rule = random_steering_rule(chance)
        if len(rule.matched()) >= 3:
            rules.append(rule)
    xdp.director.apply(rules)
    reta = xdp.table.reta()
    for data, pkt in zip(PACKETS[:100], VIEWS, strict=False):
        assert xdp.steer(data) == expected(rules, pkt, reta)


def test_a_program_that_the_kernel_refuses_is_an_error_with_the_verifiers_words() -> None:
    if why := why_not():
        pytest.skip(why)
    leave = struct.pack("<BBhi", 0x95, 0, 0, 0)
    with pytest.raises(bl.BurstlineError, match="the kernel did not take the XDP program") as caught:
        load_program("refused", leave)
    assert "R0 !read_ok" in caught.value.message
    assert caught.value.hint and "steer in software" in caught.value.hint
