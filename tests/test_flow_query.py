"""What people look for among flows is found, sorted, as a search in plain Python finds it."""

from __future__ import annotations

import ipaddress
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import burstline as bl
from burstline.errors import UsageError
from burstline.packet.packet import Packet
from burstline.packet.parser import parse_levels
from burstline.packet.transitions import LINK_ETHERNET
from burstline.view.flow_query import MOST, FlowQuery, select
from burstline.view.flow_words import shown_value


class Flow(bl.Record):
    packets: bl.u64
    bytes: bl.u64
    server: bl.ipv4


def frame(src: str, dst: str, proto: int, sport: int, dport: int) -> bytes:
    ports = sport.to_bytes(2, "big") + dport.to_bytes(2, "big")
    one, other = ipaddress.ip_address(src), ipaddress.ip_address(dst)
    if one.version == 4:
        head = bytes([0x45, 0, 0, 40, 0, 0, 0, 0, 64, proto, 0, 0]) + one.packed + other.packed
        return bytes(12) + b"\x08\x00" + head + ports + bytes(16)
    return (
        bytes(12)
        + b"\x86\xdd"
        + bytes([0x60, 0, 0, 0, 0, 20, proto, 64])
        + one.packed
        + other.packed
        + ports
        + bytes(16)
    )


def table_of(flows: list[tuple[str, str, int, int, int, int]]) -> bl.FlowTable[Flow]:
    """Each: addresses, protocol, ports, bytes."""
    table = bl.FlowTable(Flow)
    for number, (src, dst, proto, sport, dport, size) in enumerate(flows):
        data = bytearray(frame(src, dst, proto, sport, dport))
        packet = Packet(data, len(data), number, 0, parse_levels(memoryview(data), len(data), LINK_ETHERNET))
        record = table[packet]
        record.packets += 1
        record.bytes = size
        record.server = int(ipaddress.ip_address("192.0.2.1"))
    return table


ENDS = st.sampled_from(["10.0.0.1", "10.0.0.200", "10.64.3.3", "192.0.2.7", "11.0.0.1"])
V6 = st.sampled_from(["2001:db8::1", "2001:db8:0:8000::2", "fe80::1"])
PORTS = st.integers(1, 9)
FLOWS = st.one_of(ENDS, V6).flatmap(
    lambda src: st.tuples(
        st.just(src), V6 if ":" in src else ENDS, st.sampled_from([6, 17]), PORTS, PORTS, st.integers(0, 50)
    )
)
WORDS = {
    "tcp": lambda f: f[2] == 6,
    "7": lambda f: 7 in f[2:5],
    "10.0.0.1": lambda f: "10.0.0.1" in f[:2],
    "10.0.0.0/10": lambda f: any(ipaddress.ip_address(a) in ipaddress.ip_network("10.0.0.0/10") for a in f[:2]),
    "2001:db8::/49": lambda f: any(ipaddress.ip_address(a) in ipaddress.ip_network("2001:db8::/49") for a in f[:2]),
    "bytes>20": lambda f: f[5] > 20,
    "bytes<5": lambda f: f[5] < 5,
    "dport=3": lambda f: f[4] == 3,
}


@settings(deadline=None, max_examples=60)
@given(
    st.lists(FLOWS, max_size=20, unique_by=lambda f: f[:5]), st.lists(st.sampled_from(sorted(WORDS)), max_size=2),
    st.booleans(),
)  # fmt: skip
def test_a_search_finds_what_plain_python_finds(flows: list[Any], words: list[str], descending: bool) -> None:
    table = table_of(flows)
    found = select(table, table.to_numpy(), FlowQuery(" ".join(words), "bytes", descending))
    names = [column["name"] for column in found["columns"]]
    wanted = [flow for flow in flows if all(WORDS[word](flow) for word in words)]
    assert (found["total"], found["matched"]) == (len(flows), len(wanted))
    got = [
        tuple(row[names.index(n)] for n in ("src", "dst", "protocol", "sport", "dport", "bytes"))
        for row in found["rows"]
    ]
    assert sorted(got) == sorted(wanted)
    sizes = [row[-1] for row in got]
    assert sizes == sorted(sizes, reverse=descending)


def test_pages_follow_each_other_and_are_bounded() -> None:
    flows = [("10.0.0.1", "10.0.0.2", 6, 1, k, k) for k in range(1, 31)]
    table = table_of(flows)
    rows = table.to_numpy()
    pages = [select(table, rows, FlowQuery(sort="bytes", limit=10, offset=at))["rows"] for at in (0, 10, 20, 30)]
    assert [len(page) for page in pages] == [10, 10, 10, 0]
    assert [row[-2] for page in pages for row in page] == list(range(30, 0, -1))
    many = np.repeat(rows, 100)
    assert len(select(table, many, FlowQuery(limit=10**9))["rows"]) == MOST


def test_sorted_by_address_they_are_in_the_order_of_addresses() -> None:
    ends = ["10.0.0.2", "9.255.0.1", "10.0.0.10", "192.0.2.1"]
    table = table_of([(end, "10.1.1.1", 6, 1, 1, 1) for end in ends])
    found = select(table, table.to_numpy(), FlowQuery(sort="src", descending=False))
    at = [column["name"] for column in found["columns"]].index("src")
    assert [row[at] for row in found["rows"]] == sorted(ends, key=ipaddress.ip_address)
    kinds = {column["name"]: column["kind"] for column in found["columns"]}
    assert (kinds["src"], kinds["server"], kinds["bytes"]) == ("text", "text", "number")
    assert found["rows"][0][-1] == "192.0.2.1"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (FlowQuery("colour"), "'colour' is nothing that flows are searched by"),
        (FlowQuery("bytes>many"), "'many' is no number"),
        (FlowQuery(sort="colour"), "flows have no field 'colour'"),
    ],
)
def test_words_that_mean_nothing_are_refused(query: FlowQuery, message: str) -> None:
    table = table_of([("10.0.0.1", "10.0.0.2", 6, 1, 1, 1)])
    with pytest.raises(UsageError, match=message):
        select(table, table.to_numpy(), query)


def test_a_table_of_other_fields_is_searched_by_these() -> None:
    table = bl.FlowTable(Flow, key=("ipv4.src", "udp.dport"))
    data = bytearray(frame("10.0.0.9", "10.0.0.2", 17, 1, 53))
    table[Packet(data, len(data), 0, 0, parse_levels(memoryview(data), len(data), LINK_ETHERNET))].bytes = 5
    rows = table.to_numpy()
    assert select(table, rows, FlowQuery("bytes=5"))["matched"] == 1
    with pytest.raises(UsageError, match="not understood") as caught:
        select(table, rows, FlowQuery("udp"))
    assert "field=number" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("protocol", 6, "tcp"), ("protocol", 200, "200"), ("sport", 65535, "65535"), ("bytes", 1234567, "1,234,567"),
        ("src", None, "-"), ("ratio", 0.5, "0.500"), ("closed", True, "True"),
    ],
)  # fmt: skip
def test_values_are_written_as_people_read_them(name: str, value: Any, text: str) -> None:
    assert shown_value(name, value) == text


class Measured(bl.Record):
    bytes: bl.f64


def test_what_is_no_number_in_json_is_none() -> None:
    data = bytearray(frame("10.0.0.1", "10.0.0.2", 17, 1, 2))
    table = bl.FlowTable(Measured)
    record = table[Packet(data, len(data), 0, 0, parse_levels(memoryview(data), len(data), LINK_ETHERNET))]
    for value in (math.nan, math.inf, -math.inf, 2.5):
        record.bytes = value
        found = select(table, table.to_numpy(), FlowQuery())
        (row,) = found["rows"]
        assert row[[column["name"] for column in found["columns"]].index("bytes")] == (value if value == 2.5 else None)
        json.dumps(found, allow_nan=False)
    assert shown_value("bytes", None) == "-"
