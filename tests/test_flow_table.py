"""Flow tables against a dict: which flow a packet belongs to, growth, refusals, and the read-out of several workers."""

from __future__ import annotations

import ipaddress
import random
import struct
import sys
from collections import Counter as Tally
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import burstline as bl
from both_modes import Both, pcap_of, run_both, stage_of
from burstline.errors import BurstlineError, UsageError
from burstline.native.kernel import Kernel
from burstline.state.region import Region
from scapy_frames import ARP4

ETHER = bytes(12)
Tuple5 = tuple[Any, Any, int, int, int]  # source, destination, protocol, source port, destination port


class Flow(bl.Record):
    packets: bl.u64
    bytes: bl.u64
    first: bl.cold[bl.i64]
    label: bl.bytes_[5]
    peer: bl.ipv4
    peer6: bl.ipv6
    ratio: bl.f64
    odd: bl.boolean


class Small(bl.Record):
    packets: bl.u8


class Empty(bl.Record):
    pass


def frame(flow: Tuple5, payload: int = 0) -> bytes:
    """An IPv4 or IPv6 packet of a flow, without the checksums that nobody looks at here."""
    source, target, protocol, sport, dport = flow
    body = struct.pack(">HH", sport, dport) + bytes(16) + bytes(payload)
    if protocol == 6:
        body = body[:12] + b"\x50" + body[13:]
    if protocol == 17:
        body = body[:4] + struct.pack(">H", len(body)) + body[6:]
    if source.version == 4:
        head = struct.pack(">BBHIBBH", 0x45, 0, 20 + len(body), 0, 64, protocol, 0)
        return ETHER + b"\x08\0" + head + source.packed + target.packed + body
    return (
        ETHER
        + b"\x86\xdd"
        + struct.pack(">IHBB", 6 << 28, len(body), protocol, 64)
        + source.packed
        + target.packed
        + body
    )


COUNT = """
def count(pkt):
    flow = flows[pkt]
    if flow.packets == 0:
        flow.first = pkt.time
        flow.peer = pkt.ipv4.dst
        flow.peer6 = pkt.ipv6.dst
        flow.label = b"flow"
    flow.packets += 1
    flow.bytes += pkt.length
    flow.ratio = flow.bytes / flow.packets
    flow.odd = not flow.odd
"""


def counting(capacity: int = 100_000) -> bl.Pipeline:
    return bl.Pipeline(stage_of(COUNT, flows=bl.FlowTable(Flow, capacity=capacity)))


COUNTING = counting()


def read(outcome: Any) -> dict[Any, tuple[Any, ...]]:
    """Rows by 5-tuple, in the order of arrival."""
    found = {}
    for version, protocol, source, target, sport, dport, *fields in outcome.state["FlowTable 0"][2]:
        size = {4: 4, 6: 16, 0: 0}[version]
        pair = tuple(ipaddress.ip_address(bytes(raw[:size])) for raw in (source, target)) if size else (None, None)
        assert not any(source[size:]) and not any(target[size:])
        found[(*pair, protocol, sport, dport)] = tuple(fields)
    return found


def expected(packets: list[Tuple5], sizes: list[int]) -> dict[Tuple5, tuple[int, int, int]]:
    """Packets, bytes and number of the first packet of each flow, by a dict."""
    flows: dict[Tuple5, tuple[int, int, int]] = {}
    for k, (flow, size) in enumerate(zip(packets, sizes, strict=True)):
        count, total, first = flows.get(flow, (0, 0, k))
        flows[flow] = count + 1, total + size, first
    return flows


def check(both: Both, packets: list[Tuple5], sizes: list[int]) -> None:
    found = read(both.equal())
    names = [s.name for s in Flow.layout]
    rows = {flow: dict(zip(names, row, strict=True)) for flow, row in found.items()}
    wanted = expected(packets, sizes)
    assert list(rows) == list(wanted), "the same flows, in the order in which they began"
    for flow, (count, total, first) in wanted.items():
        row = rows[flow]
        assert (row["packets"], row["bytes"], row["first"]) == (count, total, 1_700_000_000_000_000_000 + 1000 * first)
        assert (row["ratio"], row["odd"], row["label"]) == (total / count, count % 2 == 1, b"flow")
        assert row["peer"] == (int(flow[1]) if flow[1].version == 4 else 0)
        assert row["peer6"] == (list(flow[1].packed) if flow[1].version == 6 else [0] * 16)


FOUR, SIX = st.ip_addresses(v=4, network="10.0.0.0/29"), st.ip_addresses(v=6, network="2001:db8::/125")
PORT, PROTOCOL = st.integers(0, 3), st.sampled_from([6, 17, 132])
FLOW = st.one_of(
    st.tuples(FOUR, FOUR, PROTOCOL, PORT, PORT),
    st.tuples(SIX, SIX, PROTOCOL, PORT, PORT),
    st.tuples(FOUR, FOUR, st.sampled_from([1, 47]), st.just(0), st.just(0)),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(FLOW, st.integers(0, 9)), max_size=60))
def test_packets_are_counted_by_flow_as_a_dict_does(packets: list[tuple[Tuple5, int]]) -> None:
    frames = [frame(flow, payload) for flow, payload in packets]
    check(run_both(COUNTING, frames), [flow for flow, _ in packets], [len(f) for f in frames])


def random_flow(chance: random.Random) -> Tuple5:
    if chance.random() < 0.5:
        pair = [ipaddress.IPv4Address(chance.getrandbits(32)) for _ in range(2)]
    else:
        pair = [ipaddress.IPv6Address(chance.getrandbits(128)) for _ in range(2)]  # type: ignore[misc]
    return pair[0], pair[1], chance.choice((6, 17)), chance.getrandbits(16), chance.getrandbits(16)


def test_a_table_grows_through_several_doublings_of_its_index() -> None:
    chance = random.Random(1)
    flows = [random_flow(chance) for _ in range(20_000)]
    packets = flows + chance.sample(flows, 2000)
    frames = [frame(flow) for flow in packets]
    check(run_both(COUNTING, frames, out=None), packets, [len(f) for f in frames])


def test_a_full_table_refuses_new_flows_and_counts_the_packets() -> None:
    chance = random.Random(2)
    flows = [random_flow(chance) for _ in range(300)]
    packets = flows + flows
    both = run_both(counting(capacity=100), [frame(flow) for flow in packets], out=None)
    outcome = both.equal()
    assert outcome.state["FlowTable 0"][:2] == (400, 100)
    assert list(read(outcome)) == flows[:100]
    for result in (both.compiled, both.interpreted):
        assert result.report.warnings == [
            "flow table of Flow is full: 400 packets of new flows were not recorded; raise capacity above 100"
        ]


def test_packets_that_are_no_flow_of_ip_count_by_their_ethertype() -> None:
    strange = [bytes(12) + kind.to_bytes(2, "big") + b"data" for kind in (0x88B5, 0x88CC, 0x88B5)]
    found = read(run_both(COUNTING, [bytes(ARP4), *strange, b"short"]).equal())
    names = [s.name for s in Flow.layout]
    assert {flow: row[names.index("packets")] for flow, row in found.items()} == {
        (None, None, 0, 0x0806, 0): 1, (None, None, 0, 0x88B5, 0): 2, (None, None, 0, 0x88CC, 0): 1,
        (None, None, 0, 0, 0): 1,
    }  # fmt: skip


def test_several_tables_of_several_records_do_not_meet() -> None:
    source = """
def count(pkt):
    small[pkt].packets += 200
    nothing[pkt]
    if pkt.length & 1:
        few[pkt].packets += 1
    flow = flows[pkt]
    flow.packets = small[pkt].packets
"""
    chance = random.Random(3)
    flows = [random_flow(chance) for _ in range(40)]
    packets = [(chance.choice(flows), chance.randrange(2)) for _ in range(400)]
    small, few, nothing = bl.FlowTable(Small, capacity=50), bl.FlowTable(Small, 7), bl.FlowTable(Empty, 60)
    stage = stage_of(source, small=small, few=few, nothing=nothing, flows=bl.FlowTable(Flow, 45))
    state = run_both([stage], [frame(*packet) for packet in packets]).equal().state
    counts = Tally(flow for flow, _ in packets)
    assert [row[-1] for row in state["FlowTable 0"][2]] == [200 * n % 256 for n in counts.values()]
    assert [len(row) for row in state["FlowTable 1"][2]] == [6] * len(counts)
    odd = Tally(flow for flow, payload in packets if len(frame(flow, payload)) & 1)
    assert [row[-1] for row in state["FlowTable 2"][2]] == list(odd.values())[:7]
    assert state["FlowTable 2"][0] == sum(list(odd.values())[7:])
    assert state["FlowTable 3"][1] == len(counts)


@pytest.mark.parametrize("workers", [2, 3])
def test_several_workers_find_what_one_finds(workers: int) -> None:
    chance = random.Random(4)
    flows = [random_flow(chance) for _ in range(500)]
    packets = [frame(chance.choice(flows), chance.randrange(900)) for _ in range(6000)]
    both = run_both(COUNTING, pcap_of(packets), workers=workers)
    assert sorted(both.compiled.state["FlowTable 0"][2]) == sorted(both.interpreted.state["FlowTable 0"][2])
    assert both.compiled.written == both.interpreted.written, "in the order of the file"
    assert both.compiled.counts == both.interpreted.counts


def test_a_second_run_starts_from_nothing() -> None:
    flow = (ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.2"), 6, 1, 2)
    for _ in range(2):
        check(run_both(COUNTING, [frame(flow)] * 3), [flow] * 3, [len(frame(flow))] * 3)


def test_the_read_out_is_an_arrow_table_and_a_data_frame() -> None:
    a, b, c, d = map(ipaddress.ip_address, ("10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"))
    packets = [frame((a, b, 6, 1, 2))] * 3 + [frame((c, d, 17, 3, 4)), bytes(ARP4)]
    run_both(COUNTING, packets)  # leaves the interpreted flows in the table
    (table,) = COUNTING.state
    arrow = table.to_arrow()
    assert arrow.column_names[:6] == ["version", "protocol", "src", "dst", "sport", "dport"]
    assert arrow.column("src").to_pylist() == ["10.0.0.1", "2001:db8::1", None]
    assert arrow.column("peer").to_pylist() == ["10.0.0.2", "0.0.0.0", "0.0.0.0"]
    assert arrow.column("peer6").to_pylist() == ["::", "2001:db8::2", "::"]
    assert arrow.column("label").to_pylist() == [b"flow"] * 3
    frame_ = arrow.to_pandas()
    assert frame_["packets"].tolist() == [3, 1, 1]
    assert frame_.sort_values("bytes")["dst"].tolist()[-1] == "10.0.0.2"
    assert len(table) == 3
    array = table.to_numpy()
    assert array["packets"].sum() == 5
    assert set(array.dtype.names) == set(arrow.column_names)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: bl.FlowTable(int), "needs a Record class"),  # type: ignore[type-var]
        (lambda: bl.FlowTable(Flow, capacity=0), "capacity 0 is out of range"),
        (lambda: bl.FlowTable(Flow, capacity=1 << 31), "is out of range"),
    ],
)
def test_a_table_that_cannot_be_is_refused(make: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        make()


def test_without_pyarrow_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BurstlineError, match="Arrow output needs pyarrow"):
        bl.FlowTable(Flow).to_arrow()


def test_flows_whose_hashes_are_equal_are_told_apart_by_their_keys() -> None:
    """The kernel by itself: all hashes land on a few places of the index, before and after it grows."""
    lookup = Kernel("flow_kernels:small_record", int, int, int, int, int)
    table = bl.FlowTable(Small, capacity=12_000)
    table.attach()
    head, size = table._workers[0].head, table.keys.size
    keys = Region(12_000 * size)
    for k in range(12_000):
        keys.set_i64(k * size + 8 * (k % 4 + 1), k + 1)
    found: dict[int, int] = {}
    for k in [*range(12_000), *range(12_000)]:
        hashed = (k % 2) << 62 | k  # the index goes by the upper half
        address = lookup(head.address, keys.address + k * size, hashed, k, 0)
        assert found.setdefault(k, address) == address
    assert len(set(found.values())) == 12_000
    assert head.get("used") == head.get("live") == 12_000
    assert head.get("buckets") > table.buckets[0], "it grew"
    assert head.get("refused") == 0
    assert min(found.values()) == head.get("records") + table.geometry.stride


def test_a_table_that_grows_moves_a_bucket_with_each_new_flow_and_finds_all_meanwhile() -> None:
    """So no packet waits for more than that. The kernel by itself, without what bursts move besides."""
    lookup = Kernel("flow_kernels:small_record", int, int, int, int, int)
    table = bl.FlowTable(Small, capacity=12_000)
    table.attach()
    head, size = table._workers[0].head, table.keys.size
    keys = Region(12_000 * size)
    found: list[int] = []

    def record(k: int) -> int:
        return lookup(head.address, keys.address + k * size, (k % 2) << 62 | k, k % 7, 0)

    moved, growing = 0, 0
    for k in range(7000):
        keys.set_i64(k * size + 8 * (k % 4 + 1), k + 1)
        before = head.get("cursor") if head.get("old_buckets") else None
        found.append(record(k))
        if before is not None:
            growing += 1
            moved = head.get("cursor") - before if head.get("old_buckets") else moved
            assert moved == 1
            if growing % 50 == 0:
                again = random.Random(k).sample(range(k), 20)
                assert [record(n) for n in again] == [found[n] for n in again]
                assert record(k) == found[k], "looking up moves nothing"
    assert growing > 300
    assert head.get("buckets") > table.buckets[0]
