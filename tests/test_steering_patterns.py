"""Steering rules as patterns: a NIC in software, which looks at the items' bytes, decides as the rules say."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burstline.dpdk.flow_refused import FlowRefused
from burstline.errors import UsageError
from burstline.packet.machine import TunnelPorts
from burstline.packet.packet import Packet
from burstline.packet.parser import LINK_ETHERNET, parse_levels
from burstline.state.toeplitz import DEFAULT_KEY, SYMMETRIC_KEY, Toeplitz
from burstline.steering.back_end import CannotSteer
from burstline.steering.hardware.actions import Action
from burstline.steering.hardware.back_end import RteFlow
from burstline.steering.hardware.driver import find, from_table, recorded
from burstline.steering.hardware.flow_device import FlowRule
from burstline.steering.hardware.items import LAYOUTS, Part, item, parts_of
from burstline.steering.hardware.pattern import BUDGET, patterns_of
from burstline.steering.hardware.reach import reached
from burstline.steering.model.nic import NicModel
from burstline.steering.overlap import overlap
from burstline.steering.reta import differences, moves, shares
from burstline.steering.rule import WITH_PORTS, SteeringRule
from burstline.steering.rule_match import first_match, matches
from burstline.steering.target import Cores, Drop, Queue
from packet_corpus import corpus, truncations
from steering_rules import exact_rule, random_steering_rule
from test_rule_set import packets

DROPS = (Action("DROP"),)
ABLE = [name for name, driver in recorded().items() if driver.rules]


def read(data: bytes) -> Packet:
    return Packet(bytearray(data), len(data), 0, 0, parse_levels(data, len(data), LINK_ETHERNET))


PACKETS = [*packets(), *[data for _, data in truncations()][::7]]
VIEWS = [read(data) for data in PACKETS]


def near(chance: random.Random) -> SteeringRule:
    """A rule of some packet's own fields, so that drivers that compare whole fields have rules that match."""
    pkt = chance.choice(VIEWS)
    header, ports = pkt.ipv4 or pkt.ipv6, pkt.tcp or pkt.udp or pkt.sctp
    kind, to = chance.randrange(4), {"to": f"queue {chance.randrange(4)}"}
    made = exact_rule(chance, pkt) if kind < 2 else None
    if made is not None:
        flow = made.matched()
        return (
            made
            if kind
            else SteeringRule(**{name: flow[name] for name in ("src", "dst", "proto", "sport", "dport")}, **to)
        )
    if kind == 2 and ports and pkt.proto in WITH_PORTS:
        return SteeringRule(proto=pkt.proto, dport=ports.dport, **to)
    given_: dict[str, Any] = {"to": chance.choice(("queue 1", "drop", "rss")), "priority": chance.randrange(3)}
    wanted = {
        "src": str(header.src) if header else None, "dst": str(header.dst) if header else None,
        "proto": pkt.proto if header else None, "dport": ports.dport if ports else None,
        "vlan": pkt.vlan.id if pkt.vlan else None,
    }  # fmt: skip
    given_ |= {name: value for name, value in wanted.items() if value is not None and chance.random() < 0.5}
    try:
        return SteeringRule(**given_)
    except UsageError:  # ports without a protocol that has them
        return near(chance)


def held(driver: str, rules: list[SteeringRule]) -> tuple[NicModel, dict[int, SteeringRule]]:
    """A NIC with those of the rules that its driver can do, added one by one."""
    nic = NicModel(driver)
    back_end, there = RteFlow(nic), {}
    for rule in rules:
        try:
            there[back_end.add(rule)] = rule
        except CannotSteer as error:
            assert error.field in str(error.message)
    return nic, there


def check(nic: NicModel, rules: list[SteeringRule], data: bytes, pkt: Packet) -> None:
    """What is matched is right for every packet; of those within reach the right rule is."""
    found, rule = nic.classify(data), first_match(rules, pkt)
    if not reached(nic.personality, pkt):
        return
    by_hash = nic.table().reta[found.hash % nic.reta_size]
    if rule is None:
        assert (found.handle, found.queue, found.mark) == (0, by_hash, None)
        return
    assert found.handle != 0
    to = rule.to
    queues = (
        {None} if isinstance(to, Drop) else {to.number} if isinstance(to, Queue) else {*to.numbers}
        if isinstance(to, Cores) else {by_hash}
    )  # fmt: skip
    assert found.queue in queues
    assert found.mark == (None if isinstance(to, Drop) else rule.mark)


@pytest.mark.parametrize("driver", ABLE)
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(1, 8))
def test_a_nic_decides_as_the_rules_say(driver: str, seed: int, count: int) -> None:
    chance = random.Random(seed)
    rules = [near(chance) if chance.random() < 0.6 else random_steering_rule(chance) for _ in range(count)]
    nic, there = held(driver, rules)
    for number in chance.sample(range(len(PACKETS)), 150):
        check(nic, list(there.values()), PACKETS[number], VIEWS[number])


@pytest.mark.parametrize("driver", ABLE)
def test_what_matches_a_pattern_matches_the_rule_within_reach_or_not(driver: str) -> None:
    chance, matched, tried = random.Random(7), 0, 0
    for _ in range(2000):
        rule = near(chance) if chance.random() < 0.7 else random_steering_rule(chance)
        nic, there = held(driver, [rule])
        if not there:
            continue
        tried += 1
        for data, pkt in zip(PACKETS, VIEWS, strict=True):
            if nic.classify(data).handle:
                matched += 1
                assert matches(rule, pkt), (str(rule), data.hex())
        if tried == 20:
            break
    assert tried == 20
    assert matched > 20


def test_the_nic_in_software_takes_most_rules_and_reaches_most_packets() -> None:
    chance = random.Random(1)
    rules = [random_steering_rule(chance) for _ in range(200)]
    taken = 0
    for rule in rules:
        with contextlib.suppress(CannotSteer):
            taken += bool(patterns_of(rule, find("model")))
    assert taken > 190
    within = sum(reached(find("model"), pkt) for pkt in VIEWS)
    assert within > len(VIEWS) / 2
    assert all(reached(find("model"), read(corpus()[name])) for name in ("ipv4 tcp", "ipv6 udp in a vlan", "arp"))


def test_each_pattern_of_a_rule_matches_packets_that_no_other_does() -> None:
    chance = random.Random(3)
    for _ in range(60):
        rule = random_steering_rule(chance)
        patterns = patterns_of(rule, find("model"), budget=10_000)
        assert len({pattern.items for pattern in patterns}) == len(patterns)
        for data in chance.sample(PACKETS, 40):
            hits = 0
            for pattern in patterns:
                nic = NicModel("model")
                nic.create(FlowRule(pattern.items, DROPS, 0))
                hits += nic.classify(data).handle != 0
            assert hits <= 1


def rule(**given_: Any) -> SteeringRule:
    return SteeringRule(**{"to": "queue 1", **given_})


@pytest.mark.parametrize(
    ("driver", "given_", "field", "says"),
    [
        ("net_null", {"proto": "tcp"}, "to", "net_null has no rte_flow rules"),
        ("net_unheard_of", {"proto": "tcp"}, "to", "net_unheard_of has no rte_flow rules"),
        ("net_tap", {"dport": 80}, "proto", "the rule means SCTP, too"),
        ("net_tap", {"proto": "tcp", "dport": "80-443"}, "dport", "matches single ports"),
        ("net_tap", {"vlan": 16, "src": "10.0.0.0/8"}, "vlan", "takes 1 to 15 for vid of VLAN, not 16"),
        ("net_tap", {"vlan": 5}, "vlan", "cannot end with VLAN"),
        ("net_tap", {"flags": "S/SA"}, "flags", "does not match flags of TCP"),
        ("net_tap", {"tunnel": "vxlan"}, "tunnel", "matches no vxlan"),
        ("net_tap", {"proto": "udp", "mark": 3}, "mark", "marks no packets"),
        ("net_tap", {"proto": "udp", "count": True}, "count", "counts no packets"),
        ("net_tap", {"proto": "udp", "to": "cores 0, 1"}, "to", "has no action RSS"),
        ("net_tap", {"proto": "udp", "to": "rss"}, "to", "leaves packets to RSS"),
        ("net_ixgbe", {"proto": "tcp", "dport": 80}, "src", "matches no IPv6, which the rule means, too"),
        ("net_ixgbe", {"src": "10.0.0.0/8", "proto": "tcp"}, "proto", "matches TCP with a port only"),
        ("net_ixgbe", {"src": "10.0.0.0/8", "mark": 3}, "mark", "marks no packets"),
        ("net_mlx5", {"src": "10.0.0.0/8", "mark": 0xFFFFF0}, "mark", "marks with numbers up to 16,777,199"),
        ("net_i40e", {"src": "10.0.0.0/8"}, "src", "matches whole addresses"),
        ("net_i40e", {"src_mac": 5}, "src_mac", "does not match src of ETH"),
        ("net_ice", {"proto": "tcp"}, "proto", "refuses a pattern that compares nothing"),
        ("net_ice", {"dport": 80, "to": "cores 0, 2"}, "to", "spreads over neighbouring queues only"),
        ("net_bnxt", {"src": "10.0.0.1", "proto": "tcp", "sport": 1, "dport": 2}, "dst", "together only"),
        ("net_e1000_igb", {"proto": "tcp", "dport": 80, "src": "10.0.0.1"}, "src", "does not match src of IPV4"),
        ("net_mlx5", {"tunnel": "vxlan", "tunnel_id": 0}, "tunnel_id", "takes 1 to 16,777,215 for vni"),
        ("net_mlx5", {"proto": "tcp", "sport": "1-65534", "dport": "1-65534"}, "sport", "takes 1,800 rules"),
        ("model", {"proto": 51}, "proto", "NICs see the first and rules mean the last"),
        ("model", {"src": "2001:db8::/32", "proto": 43}, "proto", "NICs see the first and rules mean the last"),
        ("model", {"tunnel": "vxlan", "dport": 1000}, "dport", "at the destination port 4789 alone"),
        ("model", {"to": "queue 4"}, "to", "there is no queue 4"),
    ],
)  # fmt: skip
def test_what_a_driver_cannot_do_names_the_field(driver: str, given_: dict[str, Any], field: str, says: str) -> None:
    back_end = RteFlow(NicModel(driver))
    with pytest.raises(CannotSteer) as raised:
        back_end.add(rule(**given_))
    assert raised.value.field == field
    assert raised.value.message.startswith(f"{field}: ")
    assert says in raised.value.message
    assert raised.value.hint
    assert back_end.used == 0


def test_tunnels_at_other_ports_are_not_those_of_hardware() -> None:
    with pytest.raises(CannotSteer, match=r"\[parser\] finds vxlan at other ports than 4789"):
        patterns_of(rule(tunnel="vxlan"), find("model"), ports=TunnelPorts(vxlan=(4789, 8472)))


def test_what_rules_take() -> None:
    def kinds(driver: str, **given_: Any) -> list[str]:
        return ["/".join(i.kind for i in p.items) for p in patterns_of(rule(**given_), find(driver))]

    assert kinds("net_mlx5", src="10.0.0.0/8", proto="tcp") == ["ETH/IPV4/TCP"]
    assert kinds("net_mlx5", proto="udp") == ["ETH/IPV4/UDP", "ETH/IPV6/UDP"]
    assert kinds("net_tap", src="10.0.0.0/8") == ["ETH/IPV4", "ETH/VLAN/IPV4"]
    assert kinds("net_ice", src="10.0.0.1") == ["ETH/IPV4", "ETH/IPV4/TCP", "ETH/IPV4/UDP", "ETH/IPV4/SCTP"]
    assert kinds("net_igc", proto="tcp", dport=80) == ["ETH/IPV4/TCP"]
    assert kinds("net_mlx5", tunnel="gre", tunnel_id=7, src="::/0") == ["ETH/IPV6/GRE/GRE_KEY"]
    assert kinds("model") == ["ETH"]
    assert len(patterns_of(rule(dport="80-443"), find("model"))) == 2 * 3 * 3
    assert len(patterns_of(rule(src="0.0.0.0/0", proto="tcp", dport="80-443"), find("net_mlx5"))) == 8
    assert max(len(patterns_of(rule(dport="1-65534", proto="tcp"), find("net_mlx5"))), 1) == 60 <= BUDGET


def test_items_hold_what_they_are_made_of() -> None:
    made = item("IPV4", {"src": Part(0x0A000000, 0xFF000000), "proto": Part(6, 255)})
    assert (made.spec, made.last) == (bytes(9) + b"\x06" + bytes(2) + b"\x0a" + bytes(7), b"")
    assert made.mask == bytes(9) + b"\xff" + bytes(2) + b"\xff" + bytes(7)
    assert parts_of(made) == {"src": Part(0x0A000000, 0xFF000000), "proto": Part(6, 255)}
    ranged = item("UDP", {"dport": Part(80, 0xFFFF, 443), "sport": Part(7, 0xFFFF)})
    assert (ranged.spec[:4], ranged.last[:4]) == (b"\0\x07\0\x50", b"\0\x07\x01\xbb")
    assert item("VLAN", {"more": Part(1, 1)}).spec == bytes(4) + b"\x01" + bytes(3)
    assert {kind: len(item(kind, {next(iter(LAYOUTS[kind].fields)): Part(1, 1)}).spec) for kind in LAYOUTS} == {
        kind: layout.size for kind, layout in LAYOUTS.items()
    }


# ---- the data of drivers ----


UNTOLD = ("driver", "sources", "quirks", "rules", "isolates")


UNTOLD = ("driver", "sources", "quirks", "rules", "isolates")


def test_all_that_a_driver_is_said_to_do_has_a_source() -> None:
    for name, driver in recorded().items():
        if name == "model":
            continue
        plain = from_table({"driver": name})
        for key, value in vars(driver).items():
            told = key in driver.sources or key in UNTOLD
            assert value == getattr(plain, key) or told, f"{name}: {key}"
        for where in [*driver.sources.values(), *(quirk.source for quirk in driver.quirks)]:
            assert any(word in where for word in ("drivers/net/", "doc/guides/", "assumed", "burstline")), (name, where)
        assert driver.sources


def test_the_data_names_what_there_is() -> None:
    for driver in recorded().values():
        for kind, fields in driver.items.items():
            assert fields.keys() <= LAYOUTS[kind].fields.keys()
            assert {*fields.values()} <= {"mask", "full", "range", "spec"}
        named = [*driver.values, *(each for group in driver.together for each in group)]
        assert all(driver.can(*each.split(".")) for each in named)
        assert driver.actions <= {"QUEUE", "RSS", "DROP", "PASSTHRU"}
        assert driver.beside <= {"MARK", "COUNT"}
        assert not driver.rules or driver.updates > 0


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(KeyError, match="net_x: colour"):
        from_table({"driver": "net_x", "colour": "blue"})


# ---- what the patterns rest on ----


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 32))
def test_rules_that_a_packet_matches_both_of_overlap(seed: int) -> None:
    chance = random.Random(seed)
    one, other = (near(chance) if chance.random() < 0.5 else random_steering_rule(chance) for _ in range(2))
    assert overlap(one, other) == overlap(other, one)
    if not overlap(one, other):
        assert not any(matches(one, pkt) and matches(other, pkt) for pkt in VIEWS)


def test_rules_that_exclude_each_other_do_not_overlap() -> None:
    apart = [
        ({"src": "10.0.0.0/9"}, {"src": "10.128.0.0/9"}), ({"proto": "tcp"}, {"proto": "udp"}),
        ({"dport": "1-79"}, {"dport": "80"}), ({"flags": "S/SA"}, {"flags": "A/A"}), ({"vlan": 1}, {"vlan": 2}),
        ({"src": "::/0"}, {"dst": "10.0.0.1"}), ({"proto": "icmp"}, {"dport": 80}), ({"src_mac": 1}, {"src_mac": 2}),
        ({"tunnel": "gre"}, {"tunnel": "vxlan"}),
        ({"tunnel": "gtpu", "tunnel_id": 1}, {"tunnel": "gtpu", "tunnel_id": 2}),
    ]  # fmt: skip
    for one, other in apart:
        assert not overlap(rule(**one), rule(**other))
    assert overlap(rule(src="10.0.0.0/8"), rule(dst="10.0.0.0/8"))


@pytest.mark.parametrize("key", [DEFAULT_KEY, SYMMETRIC_KEY[:40], SYMMETRIC_KEY])
def test_the_nic_hashes_as_burstline_does(key: bytes) -> None:
    nic, ours = NicModel("model", key=key), Toeplitz(key)
    within = [(data, pkt) for data, pkt in zip(PACKETS, VIEWS, strict=True) if reached(nic.personality, pkt)]
    assert len({nic.classify(data).hash for data, _ in within}) > 50
    for data, pkt in within:
        assert nic.classify(data).hash == ours.hash(pkt)


# ---- RETA ----


@given(st.lists(st.integers(0, 5), min_size=1, max_size=64), st.lists(st.floats(0, 9), min_size=1, max_size=6))
def test_weights_become_shares_with_as_few_moves_as_can_be(present: list[int], weights: list[float]) -> None:
    if sum(weights) <= 0:
        with pytest.raises(UsageError):
            shares(weights, len(present))
        return
    wanted = shares(weights, len(present))
    assert sum(wanted) == len(present)
    assert all(abs(got - len(present) * w / sum(weights)) < 1 for got, w in zip(wanted, weights, strict=True))
    after, made = list(present), moves(present, weights)
    for bucket, queue in made:
        assert after[bucket] != queue
        after[bucket] = queue
    assert [after.count(queue) for queue in range(len(weights))] == wanted
    too_many = sum(max(present.count(q) - (wanted[q] if q < len(wanted) else 0), 0) for q in range(6))
    assert len(made) == too_many, "each move brings one bucket from a queue with too many to one with too few"


def test_differences_are_those_of_two_tables() -> None:
    assert differences([0, 1, 2, 3], [0, 2, 2, 0]) == [(1, 2), (3, 0)]
    with pytest.raises(UsageError, match="a RETA of 2 entries"):
        differences([0, 1, 2], [0, 1])


def test_a_nic_that_validates_all_still_refuses_at_creation() -> None:
    from burstline.steering.model.faults import Faults

    nic = NicModel("net_tap", faults=Faults(validates_all=True))
    bad = FlowRule((item("ETH", {}), item("VXLAN", {})), DROPS)
    nic.validate(bad)
    with pytest.raises(FlowRefused, match="item is not supported"):
        nic.create(bad)
    with pytest.raises(FlowRefused):
        NicModel("net_tap").validate(bad)
