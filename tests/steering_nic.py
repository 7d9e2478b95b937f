"""What tests of NICs that steer share: packets, rules near them, and whether a NIC in software decides as rules say."""

from __future__ import annotations

import random
from typing import Any

from burstline.errors import UsageError
from burstline.packet.packet import Packet
from burstline.packet.parser import LINK_ETHERNET, parse_levels
from burstline.steering.back_end import CannotSteer
from burstline.steering.hardware.actions import Action
from burstline.steering.hardware.back_end import RteFlow
from burstline.steering.hardware.reach import reached
from burstline.steering.model.nic import NicModel
from burstline.steering.rule import WITH_PORTS, SteeringRule
from burstline.steering.rule_match import first_match
from burstline.steering.target import Cores, Drop, Queue
from packet_corpus import truncations
from steering_rules import exact_rule, random_steering_rule
from test_rule_set import packets

DROPS = (Action("DROP"),)


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
        plain = {name: made.matched()[name] for name in ("src", "dst", "proto", "sport", "dport")}
        return made if kind else SteeringRule(**plain, **to)
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


def flow(number: int, **more: Any) -> SteeringRule:
    given_ = {"src": f"10.1.{number >> 8}.{number & 255}", "dst": "10.2.0.1", "proto": "udp", "sport": 5, "dport": 9}
    return SteeringRule(**{**given_, "to": "queue 1", **more})


def in_force(nic: NicModel) -> list[Any]:
    """What decides over packets, whatever the rules are called there."""
    return [nic.table().reta, *sorted(map(repr, nic._entries.values()))]


def rules_at_random(chance: random.Random, count: int) -> list[SteeringRule]:
    return [near(chance) if chance.random() < 0.5 else random_steering_rule(chance) for _ in range(count)]


def agrees(nic: NicModel, rules: list[SteeringRule], chance: random.Random) -> None:
    for number in chance.sample(range(len(PACKETS)), 60):
        if reached(nic.personality, VIEWS[number]):
            found, rule = nic.classify(PACKETS[number]), first_match(rules, VIEWS[number])
            assert (found.handle != 0) == (rule is not None)
            assert rule is None or str(rule.to) != "drop" or found.queue is None
