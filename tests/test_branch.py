"""Branches lead packets the same way compiled and interpreted, by number and by protocol, or are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

import burstline as bl
from both_modes import run_both, stage_of
from burstline.compiler.errors import CompileError
from burstline.compiler.stage_facts import facts_of
from burstline.engine.program import prepare
from burstline.packet.fields import HEADER
from burstline.pipeline.fingerprint import fingerprint
from scapy_frames import ETHER, EXTENDED, TCP4, UDP4, V4, V6

FEW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
FRAMES = [
    bytes(frame)
    for frame in (
        TCP4,
        UDP4,
        EXTENDED,
        Ether(**ETHER) / ARP(),
        Ether(**ETHER) / IP(**V4) / ICMP(),
        Ether(**ETHER) / IPv6(**V6) / IPv6ExtHdrFragment(id=7) / UDP(sport=1, dport=2),
        Ether(**ETHER) / Dot1Q(vlan=5) / IP(**V4) / UDP(sport=3, dport=53),
        Ether(**ETHER) / IP(**V4) / UDP(dport=4789) / VXLAN(vni=9) / Ether() / IP(**V4) / TCP(dport=80),
        Ether(**ETHER) / IP(**V4) / UDP(dport=4789) / VXLAN(vni=9) / Ether() / ARP(),
        Ether(**ETHER) / Raw(b"nothing that is known"),
        Raw(b"short"),
    )
]


@bl.stage
def count_dns(pkt: Any) -> Any:
    return bl.drop("dns") if pkt.udp.sport & 1 else None


@bl.stage
def count_web(pkt: Any) -> Any:
    return bl.CONSUME


dns, web = bl.Chain(count_dns, name="dns"), bl.Chain(count_web, name="web")
WAYS: list[Any] = [dns, web, None, bl.PASS, bl.DROP, bl.CONSUME, bl.drop("other"), bl.drop("another"), bl.send(1)]
ways = st.sampled_from(WAYS)
ports = st.integers(0, 8) | st.sampled_from([53, 80, 65535])


def udp_to(port: int) -> bytes:
    return bytes(Ether(**ETHER) / IP(**V4) / UDP(sport=port ^ 5, dport=port))


@FEW
@given(st.dictionaries(ports, ways, min_size=1), ways, st.lists(ports, max_size=40))
def test_by_number_packets_go_the_same_way_in_both_modes(table: dict[int, Any], default: Any, sent: list[int]) -> None:
    branch = bl.Branch(table, default=default)

    @bl.stage
    def sort_out(pkt: Any) -> Any:
        return branch[pkt.udp.dport]

    done = run_both([sort_out, count_dns], [udp_to(p) for p in sent]).equal()
    assert done.report.received.packets == len(sent)
    lost = sum(table.get(p, default) in (bl.DROP,) for p in sent)
    assert done.counts["drops"].get("sort_out", (0, 0))[0] == lost


@FEW
@given(st.dictionaries(st.sampled_from(sorted(HEADER)), ways, min_size=1), ways, st.booleans())
def test_by_protocol_packets_go_the_same_way_in_both_modes(table: dict[str, Any], default: Any, inner: bool) -> None:
    branch = bl.Branch(table, default=default)

    @bl.stage
    def outer_way(pkt: Any) -> Any:
        return branch[pkt]

    @bl.stage
    def inner_way(pkt: Any) -> Any:
        return branch[pkt.inner]

    run_both([inner_way if inner else outer_way, count_dns], FRAMES).equal()


def test_the_first_header_of_the_branch_that_is_there_decides() -> None:
    one = bl.Branch({"vlan": bl.drop("vlan"), "udp": bl.drop("udp"), "ipv4": bl.drop("ipv4")}, default=bl.drop("none"))
    two = bl.Branch({"ipv4": bl.drop("ipv4"), "udp": bl.drop("udp"), "vlan": bl.drop("vlan")}, default=bl.drop("none"))
    both = [stage_of("def sort_out(pkt):\n return way[pkt]\n", way=way) for way in (one, two)]
    frames = [FRAMES[6], FRAMES[4], FRAMES[5], FRAMES[3]]
    counts = [run_both([stage], frames).equal().counts["drops"] for stage in both]
    assert [{name: n for name, (n, _) in c.items()} for c in counts] == [
        {"vlan": 1, "ipv4": 1, "udp": 1, "none": 1},
        {"ipv4": 2, "udp": 1, "none": 1},
    ]


def test_a_prefix_map_makes_it_a_branch_by_table() -> None:
    prefixes = bl.PrefixMap({"10.0.0.0/8": 1, "10.1.0.0/16": 2})
    routes = bl.Branch({1: web, 2: bl.drop("two")}, default=bl.drop("no route"))
    route = stage_of(
        "def route(pkt):\n return routes[prefixes.get(pkt.ipv4.dst, 0)]\n", routes=routes, prefixes=prefixes
    )
    frames = [bytes(Ether() / IP(dst=to)) for to in ("10.2.0.1", "10.1.0.1", "11.0.0.1", "10.9.9.9")]
    counts = run_both([route], frames).equal().counts
    assert counts["consumed"][0] == 2
    assert {name: n for name, (n, _) in counts["drops"].items()} == {"two": 1, "no route": 1}


@pytest.mark.parametrize("dispatch", ["fused", "tail", "called"])
def test_a_branch_works_however_stages_are_reached(dispatch: str) -> None:
    branch = bl.Branch({1: dns, 2: web}, default=bl.DROP)
    stage = stage_of("def sort_out(pkt):\n way = branch[pkt.udp.dport]\n return way\n", branch=branch)
    counts = run_both([stage], [udp_to(p) for p in (1, 2, 3)], dispatch=dispatch).equal().counts
    assert (counts["sent"][0], counts["consumed"][0], counts["drops"]["sort_out"][0]) == (1, 1, 1)


def test_what_a_branch_leads_to_is_part_of_the_pipeline() -> None:
    branch = bl.Branch({"tcp": web, "udp": dns}, default=bl.drop("x"))
    stage = stage_of("def sort_out(pkt):\n return branch[pkt]\n", branch=branch)
    assert [c.name for c in bl.Pipeline(stage).chains] == ["main", "web", "dns"]
    facts = facts_of(stage)
    assert [tuple(o) for o in facts.outcomes] == [("chain", "dns"), ("chain", "web"), ("drop", "x")]
    assert facts.reads == ["tcp", "udp"]


def test_another_table_is_another_program() -> None:
    def key(table: dict[int, Any], default: Any) -> list[Any]:
        stage = stage_of("def s(pkt):\n return branch[pkt.length]\n", branch=bl.Branch(table, default=default))
        return list(map(repr, fingerprint(bl.Pipeline(stage))))

    base = key({1: web, 2: dns}, None)
    assert key({1: web, 2: dns}, bl.PASS) == base
    for other in (key({1: web, 3: dns}, None), key({1: web, 2: dns}, bl.DROP), key({1: web, 2: bl.send(0)}, None)):
        assert other != base


def test_a_circle_through_a_branch_is_refused_with_its_path() -> None:
    space: dict[str, Any] = {}
    back = stage_of("def back(pkt):\n return space_branch[pkt]\n", **space)
    first = bl.Chain(back, name="first")
    second = bl.Chain(stage_of("def on(pkt):\n return ways[pkt.length]\n", ways=bl.Branch({1: first})), name="second")
    back.function.__globals__["space_branch"] = bl.Branch({"tcp": second})
    start = stage_of("def start(pkt):\n return first\n", first=first)
    with pytest.raises(bl.UsageError, match="chains lead in a circle: first -> second -> first"):
        bl.Pipeline(start)


@pytest.mark.parametrize(
    ("table", "default", "said", "hint"),
    [
        ({}, None, "dict with entries", "bl.Branch"),
        ([dns], None, "dict with entries", "bl.Branch"),
        ({"tpc": dns}, None, "no header 'tpc'", "did you mean 'tcp'"),
        ({"xyzzy": dns}, None, "no header 'xyzzy'", "there are: eth"),
        ({53: dns, "tcp": web}, None, "either by number or by protocol", "two branches"),
        ({1.5: dns}, None, "1.5 is no key", "PrefixMap"),
        ({True: dns}, None, "True is no key", "PrefixMap"),
        ({bl.ip("10.0.0.1"): dns}, None, "is no key", "PrefixMap"),
        ({1 << 63: dns}, None, "more than 64 bits", "64 bits with a sign"),
        ({53: 1}, None, "the way of 53", "bl.Chain"),
        ({53: count_dns}, None, "no chain and no verdict", "bl.Chain"),
        ({53: dns}, "drop", "the default", "bl.Chain"),
    ],
)
def test_what_makes_no_branch_is_refused(table: Any, default: Any, said: str, hint: str) -> None:
    with pytest.raises(bl.UsageError) as refused:
        bl.Branch(table, default=default)
    assert said in refused.value.message
    assert hint in str(refused.value.hint)


@pytest.mark.parametrize(
    ("body", "said", "hint"),
    [
        ("return by_port[pkt]", "a branch by number looks at an integer, not at a packet", "by_port[pkt.udp.dport]"),
        ("return by_port[pkt.udp]", "looks at an integer, not at the udp header", "by_port"),
        ("return by_port[pkt.ipv4.src]", "looks at an integer, not at an IPv4 address", "by_port"),
        ("return by_name[pkt.udp.dport]", "by protocol looks at a packet, not at a number", "by_protocol[pkt]"),
        ("return by_port", "a stage returns a verdict, not a branch", "bl.PASS"),
        ("return by_port(pkt)", "`by_port` is a branch; it is not called", "by_port[pkt.udp.dport]"),
    ],
)
def test_a_branch_used_wrongly_is_refused_with_its_place(body: str, said: str, hint: str) -> None:
    stage = stage_of(f"def s(pkt):\n {body}\n", by_port=bl.Branch({1: dns}), by_name=bl.Branch({"tcp": dns}))
    with pytest.raises(CompileError) as refused:
        prepare(bl.Pipeline(stage), mode="file", capacity=64, workers=1, dispatch="auto")
    assert said in refused.value.message
    assert hint in str(refused.value.hint)
