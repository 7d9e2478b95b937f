"""What every back end of the flow director must do, whoever carries the rules out: cases as data, put to real packets.

A case is rules, and what of them may be refused: by which back end, and for which field (steering_refusals.py). Where
a back end accepts, each packet that it sees as the parser does goes where the plain loop over the rules says
(`rule_match.first_match`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from burstline.packet.packet import Packet
from burstline.packet.parser import LINK_ETHERNET, parse_levels
from burstline.state.toeplitz import Toeplitz
from burstline.steering.back_end import BackEnd, CannotSteer, TableFull, add_together
from burstline.steering.both_directions import reversed_rule
from burstline.steering.hardware.driver import HardwareDriver
from burstline.steering.hardware.reach import reached
from burstline.steering.rule import SteeringRule
from burstline.steering.rule_match import first_match
from burstline.steering.target import Cores, Drop, Queue
from packet_corpus import ETHER
from steering_nic import PACKETS
from steering_refusals import REFUSED

QUEUES, BUCKETS = 4, 128
TOEPLITZ = Toeplitz()
HARDWARE = ("model", "net_mlx5", "net_ice", "net_i40e", "net_ixgbe", "net_tap", "net_bnxt")
NO_RULES = "net_ring"  # a NIC that has a RETA alone


class Bench(Protocol):
    """A back end with packets before it, without any rule."""

    @property
    def name(self) -> str: ...

    @property
    def back_end(self) -> BackEnd: ...

    @property
    def driver(self) -> HardwareDriver | None:
        """Of hardware, how far it looks."""
        ...

    def steer(self, packet: bytes) -> tuple[int, int]:
        """Queue, -1 where it is dropped, and mark, 0 where there is none."""
        ...


@dataclass(frozen=True)
class Case:
    name: str
    rules: tuple[Mapping[str, Any], ...]

    def outcome(self, back_end: str) -> str:
        """`does`, or the field that it is refused for."""
        by_field = REFUSED.get(back_end, {})
        return next((field for field, names in by_field.items() if self.name in names), "does")


def view(data: bytes) -> Packet:
    return Packet(bytearray(data), len(data), 0, 0, parse_levels(data, len(data), LINK_ETHERNET))


def ip(proto: int, payload: bytes, src: str = "10.0.0.1", dst: str = "10.9.0.1") -> bytes:
    header = b"\x45\0" + (20 + len(payload)).to_bytes(2, "big") + bytes(4) + bytes((64, proto, 0, 0))
    return header + b"".join(bytes(map(int, address.split("."))) for address in (src, dst)) + payload


def ports(proto: int, sport: int, dport: int, flags: int = 2) -> bytes:
    both = struct.pack("!HH", sport, dport)
    return both + (bytes(8) + bytes((0x50, flags)) + bytes(6) if proto == 6 else struct.pack("!HH", 8, 0))


def framed(payload: bytes, kind: int = 0x0800, tags: tuple[int, ...] = ()) -> bytes:
    made = bytes.fromhex("020000000001020000000002")
    made += b"".join(struct.pack("!HH", 0x8100, tag) for tag in tags)
    return (made + kind.to_bytes(2, "big") + payload).ljust(60, b"\0")


def flow(number: int, proto: int = 17) -> tuple[str, str, int, int]:
    return f"10.0.{number >> 4}.{number + 1}", f"10.9.0.{number % 3}", 5000 + number, (53, 80, 443, 8080)[number % 4]


FLOWS = [(proto, *flow(number)) for number in range(24) for proto in (6, 17)]
OWN = [framed(ip(p, ports(p, s, d), a, b)) for p, a, b, s, d in FLOWS]
OWN += [framed(ip(p, ports(p, d, s), b, a)) for p, a, b, s, d in FLOWS]
OF_FLOWS = list(OWN)
OWN += [framed(ip(6, ports(6, 1, 80, flags))) for flags in (1, 2, 4, 0x10, 0x12, 0x18)]
OWN += [framed(ip(17, ports(17, 5, 53)), tags=tags) for tags in ((5,), (7,), (0x2005,), (5, 9), (9, 5))]
INNER = ip(17, ports(17, 7, 8), "172.16.0.1", "172.16.0.2")
for number in (7, 42, 100, 0x123456):
    vni = (number << 8).to_bytes(4, "big")
    for port, head in (
        (4789, b"\x08\0\0\0" + vni + bytes(12) + b"\x08\0"), (6081, b"\0\0\x08\0" + vni),
        (2152, b"\x30\xff" + len(INNER).to_bytes(2, "big") + number.to_bytes(4, "big")),
    ):  # fmt: skip
        udp = struct.pack("!HHHH", 999, port, 8 + len(head) + len(INNER), 0)
        OWN.append(framed(ip(17, udp + head + INNER)))
    OWN.append(framed(ip(47, b"\x20\0\x08\0" + number.to_bytes(4, "big") + INNER)))
    OWN.append(framed(ip(47, b"\0\0\x08\0" + INNER)))
ALL = [data for data in (*OWN, *PACKETS[::6]) if len(data) >= 14]  # less no kernel has an XDP program run on
SEEN = [(data, view(data)) for data in ALL]


def exact(number: int, **more: Any) -> dict[str, Any]:
    proto, src, dst, sport, dport = FLOWS[number]
    return {"src": src, "dst": dst, "proto": proto, "sport": sport, "dport": dport, **more}


def one(name: str, **given: Any) -> Case:
    return several(name, [{"to": "queue 3", **given}])


def several(name: str, rules: list[Mapping[str, Any]]) -> Case:
    return Case(name, tuple(rules))


CASES: list[Case] = [
    one("everything"),
    one("source prefix", src="10.0.0.0/23"),
    one("destination prefix", dst="10.9.0.0/31"),
    one("source address", src="10.0.0.1"),
    one("prefix of IPv6", dst="2001:db8::/32"),
    one("address of IPv6", src="2001:db8::1"),
    one("one version", src="0.0.0.0/0"),
    one("the other version", src="::/0"),
    one("protocol", proto="udp"),
    one("protocol without ports", proto="icmp"),
    one("protocol over one version", src="0.0.0.0/0", proto="tcp"),
    one("destination port", dport=80),
    one("source port of one protocol", proto="tcp", sport=5004),
    one("range of ports", proto="udp", dport="50-90"),
    one("wide range", proto="tcp", sport="1-65534", src="0.0.0.0/0"),
    one("VLAN", vlan=5),
    one("VLAN and port", vlan=5, proto="udp", dport=53),
    one("source MAC", src_mac="02:00:00:00:00:02"),
    one("destination MAC", dst_mac=ETHER["dst"]),
    one("TCP flags", flags="S/SA"),
    one("TCP flags of one version", src="10.0.0.0/8", flags="A/A"),
    one("VXLAN", tunnel="vxlan"),
    one("VXLAN with id", tunnel="vxlan", tunnel_id=100),
    one("Geneve", tunnel="geneve"),
    one("Geneve with id", tunnel="geneve", tunnel_id=7),
    one("GTP-U", tunnel="gtpu"),
    one("GTP-U with id", tunnel="gtpu", tunnel_id=0x123456),
    one("GRE", tunnel="gre"),
    one("GRE with key", tunnel="gre", tunnel_id=42),
    one("drop", proto="udp", src="0.0.0.0/0", to="drop"),
    one("drop a flow", **exact(3, to="drop")),
    one("mark", proto="udp", src="0.0.0.0/0", mark=77),
    one("mark of a flow", **exact(5, to="queue 2", mark=9)),
    one("mark alone", src="0.0.0.0/0", proto="udp", to="rss", mark=5),
    one("count", src="0.0.0.0/0", proto="udp", count=True),
    one("count of a flow", **exact(5, to="queue 2", count=True)),
    one("group by hash", src="0.0.0.0/0", proto="udp", to="cores 0, 1, 3"),
    one("group of neighbours", src="0.0.0.0/0", proto="udp", to="cores 2, 3"),
    one("group of a flow", **exact(2, to="cores 0, 1")),
    several("exact flows", [exact(k, to=f"queue {k % 4}") for k in range(0, 40, 3)]),
    several("counted flows", [exact(k, to=f"queue {k % 4}", count=True) for k in range(0, 12)]),
    several("a flow out of its prefix", [
        exact(4, to="queue 1"), {"src": "10.0.0.0/8", "to": "queue 2", "priority": 1}]),
    several("a flow out of its protocol", [
        exact(4, to="queue 1"), {"src": "0.0.0.0/0", "proto": 6, "to": "queue 2", "priority": 1}]),
    several("three priorities", [
        {"src": "0.0.0.0/0", "to": "queue 1", "priority": 7}, {"src": "10.0.0.0/8", "to": "queue 2", "priority": 5},
        {"src": "10.0.0.0/24", "to": "queue 3", "priority": 2}]),
    several("a rule between two that compare the same", [
        {"src": "10.0.0.1", "to": "queue 1"}, {"dst": "10.9.0.1", "to": "queue 2", "priority": 1},
        {"src": "10.0.1.17", "to": "queue 3", "priority": 2}]),
    several("the first of one priority", [{"proto": "udp", "to": "queue 1"}, {"dport": 53, "to": "queue 2"}]),
    several("rules beside each other", [{"src": f"10.0.{k}.0/24", "to": f"queue {k + 1}"} for k in range(3)]),
    several("all but a flow dropped", [exact(1, to="queue 0", mark=3), {"to": "drop", "priority": 9}]),
]  # fmt: skip


def queues_of(rule: SteeringRule | None, pkt: Packet, reta: list[int]) -> set[int]:
    """The queues that a packet may go to."""
    by_hash = reta[TOEPLITZ._hash(pkt) & len(reta) - 1]
    match rule and rule.to:
        case Drop():
            return {-1}
        case Queue(number):
            return {number}
        case Cores(numbers):
            return {*numbers}
    return {by_hash}


def agrees(bench: Bench, rules: Mapping[int, SteeringRule], reta: list[int], *, every: int = 1) -> None:
    """Each packet goes where the rules say, again and again the same way, and is counted once by the rule that decides.
    `rules` are those in force, in the order that they were given."""
    before = bench.back_end.counts()
    expected = {handle: (0, 0) for handle, rule in rules.items() if rule.count}
    seen = [(data, pkt) for data, pkt in SEEN[::every] if bench.driver is None or reached(bench.driver, pkt)]
    for data, pkt in seen:
        rule = first_match(rules.values(), pkt)
        queue, mark = bench.steer(data)
        allowed = queues_of(rule, pkt, reta)
        assert queue in allowed, f"queue {queue}, not {allowed}, by {rule}: {data.hex()}"
        assert mark == (0 if queue < 0 or rule is None else rule.mark or 0), f"mark {mark} by {rule}: {data.hex()}"
        if len(allowed) > 1:
            assert bench.steer(data)[0] == queue, "a flow stays in its queue"
        if rule is not None and rule.count:
            handle = next(h for h, each in rules.items() if each is rule)
            packets, octets = expected[handle]
            expected[handle] = packets + 1, octets + len(data)
    after = bench.back_end.counts()
    bytes_too = bench.driver is None or bench.driver.counts_bytes
    for handle, (packets, octets) in expected.items():
        grown = tuple(new - old for new, old in zip(after[handle], before[handle], strict=True))
        to = rules[handle].to
        times = 2 if isinstance(to, Cores) and len(to.numbers) > 1 else 1  # of a group each was put twice
        assert grown == (times * packets, times * octets if bytes_too else 0)


def plain() -> list[int]:
    return [bucket % QUEUES for bucket in range(BUCKETS)]


def run_case(bench: Bench, case: Case) -> str:
    """`does`, or the field that it was refused for. Rules come at once; then one goes, and comes back."""
    rules, back_end = [SteeringRule(**each) for each in case.rules], bench.back_end
    try:
        handles = back_end.apply(rules)
    except CannotSteer as error:
        assert error.hint
        agrees(bench, {}, plain())
        return error.field
    there = dict(zip(handles, rules, strict=True))
    agrees(bench, there, plain())
    rule = there.pop(handles[0])
    back_end.remove(handles[0])
    agrees(bench, there, plain(), every=4)
    there[back_end.add(rule)] = rule  # behind those of its priority
    agrees(bench, there, plain(), every=4)
    back_end.apply([])
    return "does"


# ---- what takes more than rules and packets ----


def buckets_move(bench: Bench) -> None:
    reta = plain()
    for bucket in range(0, BUCKETS, 3):
        reta[bucket] = (reta[bucket] + 1) % QUEUES
        bench.back_end.move_bucket(bucket, reta[bucket])
    agrees(bench, {}, reta)
    reta = [(3 * bucket + 1) % QUEUES for bucket in range(BUCKETS)]
    bench.back_end.set_reta(reta)
    agrees(bench, {}, reta)
    bench.back_end.set_reta(plain())
    agrees(bench, {}, plain())


def both_directions_go_together(bench: Bench) -> None:
    """And neither is there where one cannot be."""
    forth = SteeringRule(**exact(7, to="queue 2"))
    pair = [forth, reversed_rule(forth)]
    handles = add_together(bench.back_end, pair)
    agrees(bench, dict(zip(handles, pair, strict=True)), plain())
    impossible = SteeringRule(**exact(9, to="queue 77"))
    with pytest.raises(CannotSteer) as raised:
        add_together(bench.back_end, [SteeringRule(**exact(8, to="queue 1")), impossible])
    assert raised.value.field == "to"
    agrees(bench, dict(zip(handles, pair, strict=True)), plain())
    for handle in handles:
        bench.back_end.remove(handle)
    agrees(bench, {}, plain())


def others_come_in_place(bench: Bench) -> None:
    """Those that stay count on, where they are told apart from new ones."""
    first = [SteeringRule(**exact(k, to="queue 1")) for k in (0, 2, 4, 6)]
    then = [first[1], SteeringRule(**exact(10, to="queue 3")), first[3], SteeringRule(**exact(0, to="queue 2"))]
    bench.back_end.apply(first)
    there = dict(zip(bench.back_end.apply(then), then, strict=True))
    agrees(bench, there, plain())
    bench.back_end.close()
    agrees(bench, {}, plain())


def a_full_table_leaves_all_as_before(bench: Bench) -> None:
    """The bench has little room."""
    there: dict[int, SteeringRule] = {}
    with pytest.raises(TableFull):
        for number in range(len(FLOWS)):
            rule = SteeringRule(**exact(number, to=f"queue {number % 4}"))
            there[bench.back_end.add(rule)] = rule
    assert there
    agrees(bench, there, plain())
    with pytest.raises(TableFull):
        bench.back_end.apply([SteeringRule(**exact(number, to="queue 0")) for number in range(len(FLOWS))])
    agrees(bench, there, plain())
    handle = next(iter(there))
    bench.back_end.remove(handle)
    del there[handle]
    rule = SteeringRule(**exact(len(FLOWS) - 2, to="queue 1"))
    there[bench.back_end.add(rule)] = rule
    agrees(bench, there, plain())


def what_nobody_can_do_names_its_field(bench: Bench) -> None:
    keeps = SteeringRule(**exact(1, to="queue 3"))
    there = {bench.back_end.add(keeps): keeps}
    for given in ({"to": "queue 4"}, {"to": "core 99"}, {"to": "cores 0, 99"}):
        for call in (bench.back_end.add, lambda rule: bench.back_end.apply([keeps, rule])):
            with pytest.raises(CannotSteer) as raised:
                call(SteeringRule(**exact(2, **given)))
            assert raised.value.field == "to"
            assert raised.value.hint
    agrees(bench, there, plain())
    with pytest.raises(KeyError):
        bench.back_end.remove(987)
    bench.back_end.close()


Scene = Callable[[Bench], None]
SCENES: tuple[Scene, ...] = (
    buckets_move, both_directions_go_together, others_come_in_place, a_full_table_leaves_all_as_before,
    what_nobody_can_do_names_its_field,
)  # fmt: skip
WITHOUT_RULES: tuple[Scene, ...] = (buckets_move,)
LITTLE_ROOM = 9  # rules, in the scene of a full table
