"""Longest-prefix match against a search through all prefixes, as data structure, interpreted and compiled."""

from __future__ import annotations

import ctypes
import ipaddress
import socket
import struct
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import burstline as bl
from both_modes import run_both, stage_of
from burstline.errors import BurstlineError, UsageError
from burstline.pipeline.needs import needs_of
from burstline.state import prefix_table
from burstline.state.prefix_map import MAX_VALUE

quickly = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Found(bl.Record):
    value: bl.i64
    known: bl.boolean
    other: bl.i64


LOOK = """
def look(pkt):
    r = seen.new()
    if pkt.ipv4:
        r.value = routes.get(pkt.ipv4.dst, -7)
        r.known = pkt.ipv4.dst in routes
        r.other = routes.get(pkt.ipv6.dst, 5)
    else:
        r.value = routes.get(pkt.ipv6.dst, -7)
        r.known = pkt.ipv6.dst in routes
        r.other = routes.get(pkt.ipv4.dst, 5)
"""


def networks(version: int) -> st.SearchStrategy[str]:
    """Prefixes that often share their first bits, so that they nest."""
    bits = 32 if version == 4 else 128
    kind: Any = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
    base = 0x0A << 24 if version == 4 else 0x20010DB8 << 96

    def network(length: int, low: int, anywhere: bool) -> str:
        number = (low if anywhere else base | low >> 13) >> bits - length << bits - length if length else 0
        return str(kind((number & (1 << bits) - 1, length)))

    return st.builds(network, st.integers(0, bits), st.integers(0, (1 << bits) - 1), st.booleans())


ROUTES = st.lists(st.tuples(networks(4) | networks(6), st.integers(0, MAX_VALUE)), max_size=25)


def interesting(routes: dict[str, int], data: st.DataObject) -> list[Address]:
    """The edges of every prefix, what lies just outside, and anything else."""
    found: set[Address] = {data.draw(st.ip_addresses()) for _ in range(3)}
    for text in routes:
        network = ipaddress.ip_network(text)
        for edge in (int(network.network_address), int(network.broadcast_address)):
            for near in (edge - 1, edge, edge + 1):
                if 0 <= near < 1 << network.max_prefixlen:
                    found.add(type(network.network_address)(near))
    return sorted(found, key=lambda a: (a.version, a))


def slowly(routes: dict[str, int], address: Address, default: int) -> int:
    """By looking at every prefix."""
    nets = ((ipaddress.ip_network(text), value) for text, value in routes.items())
    holding = [(n.prefixlen, value) for n, value in nets if n.version == address.version and address in n]
    return max(holding)[1] if holding else default


def packet_to(address: Address) -> bytes:
    if address.version == 4:
        head = struct.pack(">BBHIBBH", 0x45, 0, 20, 0, 64, 59, 0)
        return bytes(12) + b"\x08\0" + head + socket.inet_aton("192.0.2.1") + address.packed
    return bytes(12) + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, 0, 59, 64) + bytes(16) + address.packed


@quickly
@given(ROUTES, st.data())
def test_the_longest_prefix_wins_in_both_modes(given_routes: list[tuple[str, int]], data: st.DataObject) -> None:
    routes = dict(given_routes)
    addresses = interesting(routes, data)
    stage = stage_of(LOOK, routes=bl.PrefixMap(routes), seen=bl.Digest(Found))
    rows = run_both([stage], [packet_to(a) for a in addresses]).equal().state["Digest 0"]
    names = [s.name for s in Found.layout]
    for address, row in zip(addresses, rows, strict=True):
        found = dict(zip(names, row, strict=True))
        wanted = slowly(routes, address, -7)
        assert (found["value"], found["known"]) == (wanted, wanted != -7)
        zero = ipaddress.ip_address("::" if address.version == 4 else "0.0.0.0")
        assert found["other"] == slowly(routes, zero, 5), "an absent header's address is all zeros"


@pytest.mark.parametrize("many", [1 << 14, 1])
@pytest.mark.parametrize("version", [4, 6])
def test_large_tables_are_fetched_ahead_and_find_the_same(
    version: int, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefix_table, "FAR", 1)
    monkeypatch.setattr(prefix_table, "MANY", many)  # with 1, roots are as wide as they get
    random = Random(version * many)
    bits = 32 if version == 4 else 128
    kind: Any = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    routes = {}
    for _ in range(3000):
        length = random.choice([*range(bits + 1), *range(18, 26), *range(28, 50)]) % (bits + 1)
        near = (0x0A << 24 if version == 4 else 0x20010DB8 << 96) | random.getrandbits(bits - 8) >> random.choice(
            [0, 12]
        )
        number = (near if random.random() < 0.8 else random.getrandbits(bits)) >> bits - length << bits - length
        routes[f"{kind(number & (1 << bits) - 1)}/{length}"] = random.getrandbits(30)
    networks = [ipaddress.ip_network(text) for text in random.sample(sorted(routes), 150)]
    edges = [kind(edge) for n in networks for edge in (int(n[0]), int(n[-1]))]
    addresses = [*edges, *(kind(random.getrandbits(bits)) for _ in range(50))]
    prefixes = bl.PrefixMap(routes)
    stage = stage_of(LOOK, routes=prefixes, seen=bl.Digest(Found))
    rows = run_both([stage], [packet_to(a) for a in addresses]).equal().state["Digest 0"]
    place = [s.name for s in Found.layout].index("value")
    assert [row[place] for row in rows] == [prefixes.get(a, -7) for a in addresses]
    assert [prefixes.get(a, -7) for a in addresses[::10]] == [slowly(routes, a, -7) for a in addresses[::10]]


@pytest.mark.parametrize("routes", [["0.0.0.0/0"], ["10.1.2.3/32"], ["::/0"], ["2001:db8::1/128"], ["::/0", "::1/128"]])
def test_the_shortest_and_the_longest_prefixes_alone(routes: list[str]) -> None:
    given = dict(zip(routes, range(5, 9), strict=False))
    addresses = [
        bl.ip(a) for a in ("10.1.2.3", "10.1.2.2", "255.255.255.255", "2001:db8::1", "2001:db8::", "::1", "::")
    ]
    stage = stage_of(LOOK, routes=bl.PrefixMap(given), seen=bl.Digest(Found))
    rows = run_both([stage], [packet_to(a) for a in addresses]).equal().state["Digest 0"]
    place = [s.name for s in Found.layout].index("value")
    assert [row[place] for row in rows] == [slowly(given, a, -7) for a in addresses]


def test_workers_share_a_table_until_a_prefix_is_added() -> None:
    def tables(head: int) -> tuple[int, int]:
        one, two = (ctypes.c_int64.from_address(head + offset).value for offset in (0, 8))
        return one, two

    routes = bl.PrefixMap({"10.0.0.0/8": 1})
    first, second = tables(routes.address(0)), tables(routes.address(1))
    assert first == second
    routes.add("10.1.0.0/16", 2)
    assert tables(routes.address(2)) != first
    assert tables(routes.address(0)) == first


def test_few_prefixes_take_little_memory_however_far_apart_they_are() -> None:
    routes = prefix_table.build(bl.PrefixMap({f"{k * 31}.0.{k}.0/24": k for k in range(8)})._as_numbers(4))
    assert routes.region.size < 1 << 19


def test_what_stages_look_up_is_fetched_by_its_field_and_only_where_there_are_prefixes() -> None:
    def addresses(source: str, **names: Any) -> set[tuple[str, str]]:
        return set(needs_of(bl.Pipeline(stage_of(source, **names))).addresses)

    routes = bl.PrefixMap({"10.0.0.0/8": 1})
    source = "def look(pkt):\n    pkt.eth.src = pkt.eth.dst\n    if {} in routes:\n        return bl.DROP"
    assert addresses(source.format("pkt.ipv4.dst"), routes=routes) == {("ipv4", "dst")}
    assert addresses(source.format("pkt.ipv6.src"), routes=routes) == {("ipv6", "src")}
    assert addresses(source.format("pkt.inner.ipv4.src"), routes=routes) == set()
    assert addresses("def look(pkt):\n    if pkt.ipv4.dst == pkt.ipv4.src:\n        return bl.DROP") == set()


def test_prefixes_may_be_written_as_ipaddress_reads_them() -> None:
    routes = bl.PrefixMap({"10.0.0.0/255.0.0.0": 1, "192.0.2.1": 2, "::ffff:192.0.2.1": 3, "2001:DB8::/032": 4})
    found = [routes.get(bl.ip(a), -1) for a in ("10.9.9.9", "192.0.2.1", "::ffff:192.0.2.1", "2001:db8::9")]
    assert found == [1, 2, 3, 4]


def test_a_prefix_added_later_counts_from_the_next_run_on() -> None:
    routes = bl.PrefixMap({"10.0.0.0/8": 1})
    stage = stage_of(LOOK, routes=routes, seen=bl.Digest(Found))
    packets = [packet_to(ipaddress.ip_address("10.1.2.3"))]
    values = []
    for prefix, value in (("10.0.0.0/8", 1), ("10.1.0.0/16", 2), ("10.1.2.3/32", 3), ("10.1.2.3/32", 4)):
        routes.add(prefix, value)
        (row,) = run_both([stage], packets).equal().state["Digest 0"]
        values.append(row[[s.name for s in Found.layout].index("value")])
    assert values == [1, 2, 3, 4]
    assert len(routes) == 3


def test_a_set_tells_what_lies_in_it() -> None:
    blocked = bl.PrefixSet(["10.0.0.0/8", "2001:db8::/32", "192.0.2.77"])
    inside = ["10.255.255.255", "2001:db8:ffff::", "192.0.2.77"]
    outside = ["11.0.0.0", "2001:db9::", "192.0.2.78"]
    assert [bl.ip(a) in blocked for a in inside + outside] == [True] * 3 + [False] * 3
    source = "def look(pkt):\n    if pkt.ipv4.dst in blocked or pkt.ipv6.dst in blocked:\n        return bl.DROP"
    packets = [packet_to(bl.ip(a)) for a in inside + outside]
    outcome = run_both([stage_of(source, blocked=blocked)], packets).equal()
    assert outcome.counts["drops"]["look"][0] == 3
    assert [p.data for p in outcome.written] == packets[3:]


def test_a_set_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "blocked.txt"
    path.write_text("# what we block\n10.0.0.0/8\n\n  2001:db8::/32   # documentation\n192.0.2.1\n")
    blocked = bl.PrefixSet.load(path)
    assert len(blocked) == 3
    assert bl.ip("192.0.2.1") in blocked
    path.write_text("10.0.0.0/8\n10.0.0.1/8\n")
    with pytest.raises(UsageError, match=r"blocked.txt:2: not a prefix: 10.0.0.1/8 has host bits set"):
        bl.PrefixSet.load(path)
    with pytest.raises(BurstlineError, match=r"cannot read prefixes from .*missing.txt: No such file"):
        bl.PrefixSet.load(tmp_path / "missing.txt")
    path.write_bytes(b"\xff\xfe10.0.0.0/8")
    with pytest.raises(BurstlineError, match=r"blocked.txt is no text"):
        bl.PrefixSet.load(path)


@pytest.mark.parametrize(
    ("prefix", "value", "match"),
    [
        ("10.0.0.0/33", 1, "not a prefix"),
        ("10.0.0.1/8", 1, "has host bits set"),
        ("nonsense", 1, "not a prefix"),
        ("10.0.0.0/8", -1, "value -1 is out of range"),
        ("10.0.0.0/8", MAX_VALUE + 1, "is out of range"),
    ],
)
def test_what_is_no_route_is_refused(prefix: str, value: int, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        bl.PrefixMap({prefix: value})
