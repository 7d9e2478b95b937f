"""Segments are, byte for byte, what the RFCs and Linux make of a large packet; and every mbuf is back in the end."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, Jumbo
from scapy.layers.l2 import GRE, Ether

from burstline import dpdk
from burstline.native.kernel import Kernel
from burstline.offload import mbuf as m
from burstline.offload.gso import gso
from burstline.state.region import Region
from dpdk_live import alone
from gso_machine import LARGEST_ROOM, ROOM, Machine
from gso_oracle import Large, flags_left, larges, layouts, segments

needs_dpdk = pytest.mark.skipif(not dpdk.available(), reason="needs DPDK")
PROPERTY = settings(max_examples=100, deadline=None, database=None, phases=[Phase.generate])
MOST = 120  # segments that plain Python makes in no time
sizes = st.integers(0, 5000) | st.sampled_from([1448, 2896, 65495]) | st.integers(5000, 65495)


@dataclass(frozen=True)
class Case:
    large: Large
    segsz: int
    layout: list[int]  # bytes in each mbuf; the rest is in two more
    kinds: list[str]  # of each mbuf, over and over
    held: bool  # somebody else has the packet, too
    copied: bool
    checksums: int
    fixed_id: bool
    largest: int

    @property
    def fits(self) -> int:
        """Bytes of payload that a packet of the MTU has."""
        return self.largest - self.large.network

    @property
    def refused(self) -> bool:
        wanted = min(self.segsz, self.large.size)
        if self.copied and len(self.large.headers) + min(wanted, self.fits) > LARGEST_ROOM:
            return True
        return self.fits < min(wanted, 1) or (wanted > self.fits and not self.large.tcp)

    def expected(self) -> list[bytes]:
        left = flags_left(self.large, self.checksums)
        return segments(self.large, min(self.segsz, self.fits), left, self.fixed_id)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    large = draw(larges(sizes))
    few = large.size // MOST + 1
    segsz = draw(st.sampled_from([1, 536, 1448, 8948, 65535]) | st.integers(1, 3000))
    largest = draw(st.sampled_from([65535, 65535, 9000, 1500, large.network + 8, large.network - 1]))
    if large.size // max(1, largest - large.network) > MOST:
        largest = 65535
    return Case(
        large, max(segsz, few), draw(layouts()),
        draw(st.lists(st.sampled_from(["direct", "direct", "indirect", "external"]), min_size=1, max_size=3)),
        draw(st.booleans()), draw(st.booleans()), draw(st.integers(0, 31)), draw(st.booleans()), largest,
    )  # fmt: skip


def check(machine: Machine, case: Case) -> None:
    import mbuf_kinds as memory

    large, native = case.large, machine.native
    options = {"checksums": case.checksums, "fixed_id": case.fixed_id, "largest": case.largest}
    segmenter = machine.segmenter(case.copied, **options)
    mbuf, kept = machine.packet(large, case.segsz, case.layout, case.kinds)
    if case.held:
        memory.hold(mbuf)
    before = memory.all_fields(mbuf)
    made = machine.run(segmenter, mbuf)
    counts = segmenter.counts
    if case.refused:
        assert made == [] and memory.all_fields(mbuf) == before
        assert counts == gso.GsoCounts(0, 0, 0, 0, 0, 1, 0)
        memory.free([mbuf])
    else:
        assert [native.mbuf_bytes(segment) for segment in made] == case.expected()
        lowered = int(min(case.segsz, large.size) > case.fits)
        assert counts == gso.GsoCounts(1, len(made), sum(map(len, case.expected())), 0, 0, 0, lowered)
        for segment in made:
            check_fields(memory, segment, large, flags_left(large, case.checksums), case)
        random.Random(len(made)).shuffle(made)
        memory.free(made)
    if case.held:
        assert native.mbuf_bytes(mbuf) == large.frame
        memory.free([mbuf])
    assert [each.freed for each in kept] == [1] * len(kept)


def check_fields(memory: Any, segment: int, large: Large, left: int, case: Case) -> None:
    """What drivers look at."""
    parts = memory.parts(segment)
    assert memory.get(segment, m.NB_SEGS, 2) == len(parts) == (1 if case.copied else len(parts))
    sizes = [memory.get(part, m.DATA_LEN, 2) for part in parts]
    assert memory.get(segment, m.PKT_LEN, 4) == sum(sizes) and all(sizes[1:])
    for part, size in zip(parts, sizes, strict=True):
        assert memory.get(part, m.DATA_OFF, 2) + size <= memory.get(part, m.BUF_LEN, 2)
    if left:
        left |= m.TX_IPV4 if large.v4 else m.TX_IPV6
        if large.tunnel:
            left |= large.flags & m.TX_TUNNEL_MASK | (m.TX_OUTER_IPV4 if large.outer_v4 else m.TX_OUTER_IPV6)
    assert memory.get(segment, m.OL_FLAGS, 8) == left | m.TX_VLAN
    assert memory.get(segment, m.TX_OFFLOAD, 8) == large.lengths(0)
    assert memory.get(segment, m.VLAN_TCI, 2) == 77 and memory.get(segment, m.PACKET_TYPE, 4) == 0x1234


def any_packet() -> None:
    machine = Machine()

    @PROPERTY
    @given(cases())
    def holds(case: Case) -> None:
        with machine.nothing_lost():
            check(machine, case)

    holds()


@needs_dpdk
def test_segments_of_any_packet_in_any_mbufs_are_what_the_rfcs_say_and_nothing_is_lost() -> None:
    alone(any_packet)


@settings(max_examples=100, deadline=None)
@given(larges(st.integers(0, 4000)), st.integers(50, 3000), st.booleans())
def test_the_oracle_fills_in_what_scapy_would(large: Large, segsz: int, fixed_id: bool) -> None:
    for frame in segments(large, segsz, 0, fixed_id)[-2:]:
        parsed = Ether(frame)
        layer = parsed
        while layer:
            for name in ("chksum", "len", "plen"):
                with_none = isinstance(layer, UDP) and name == "chksum" and layer.chksum == 0
                if isinstance(layer, (IP, IPv6, TCP, UDP, GRE)) and name in layer.fields and not with_none:
                    layer.delfieldval(name)
            layer = layer.payload
        assert bytes(parsed) == frame


def large_tcp(payload: int, flags: str = "FPA") -> Large:
    headers = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(id=9) / TCP(flags=flags))
    return Large(headers, payload, 1, 14, 34, True, True)


def one_byte_each() -> list[int]:
    machine = Machine(headers=65535, indirect=65535)
    with machine.nothing_lost():
        large = large_tcp(65495)
        made = machine.run(machine.segmenter(), machine.packet(large, 1, [], ["direct"])[0])
        expected = segments(large, 1)
        for k in (0, 1, 255, 32768, 65493, 65494):
            assert machine.native.mbuf_bytes(made[k]) == expected[k]
        random.Random(1).shuffle(made)
        machine.native.free(made)
    return [len(made), len(set(made))]


@needs_dpdk
def test_64_kb_are_cut_into_single_bytes() -> None:
    assert alone(one_byte_each) == [65495, 65495]


def too_few(copied: bool, headers: int, indirect: int, room: int) -> gso.GsoCounts:
    """Of 40 segments."""
    import mbuf_kinds as memory

    machine = Machine(headers, indirect, headers)
    with machine.nothing_lost():
        segmenter = machine.segmenter(copied)
        mbuf, _ = machine.packet(large_tcp(40 * 1000), 1000, [20_000], ["direct"])
        before = memory.all_fields(mbuf)
        machine.out[:] = [-1] * ROOM
        assert machine.run(segmenter, mbuf, room) == []
        assert set(machine.out) == {-1}
        assert memory.all_fields(mbuf) == before
        assert machine.lost == 3
        machine.native.free([mbuf])
    return segmenter.counts


@needs_dpdk
@pytest.mark.parametrize(
    ("copied", "headers", "indirect", "room"), [(False, 39, 255, 99), (False, 255, 40, 99), (True, 39, 255, 99)]
)
def test_without_buffers_a_packet_stays_as_it_is(copied: bool, headers: int, indirect: int, room: int) -> None:
    assert alone(too_few, copied, headers, indirect, room) == gso.GsoCounts(0, 0, 0, 1, 0, 0, 0)


@needs_dpdk
@pytest.mark.parametrize("copied", [False, True])
def test_without_room_for_its_segments_a_packet_stays_as_it_is(copied: bool) -> None:
    assert alone(too_few, copied, 255, 255, 39) == gso.GsoCounts(0, 0, 0, 0, 1, 0, 0)


Change = tuple[bytes, int, int]  # headers, flags, lengths


def odd_packets() -> dict[str, Change]:
    """What cannot be cut, and why; a packet that can be is the first."""
    tcp = large_tcp(0).headers
    flags, lengths = m.TX_TCP_SEG | m.TX_IPV4, m.tx_offload(14, 20, 20, 1000)
    found = {"nothing": (tcp, flags, lengths)}
    for why, at, values in (
        ("a fragment", 20, (0x20, 0)),
        ("the last fragment", 20, (0, 5)),
        ("a version of IP that there is not", 14, (0x55,)),
        ("another length of the IP header", 14, (0x46,)),
        ("another length of the TCP header", 46, (0x60,)),
        ("not TCP", 23, (17,)),
    ):
        found[why] = (tcp[:at] + bytes(values) + tcp[at + len(values) :], flags, lengths)
    found["both asked for"] = (tcp, flags | m.TX_UDP_SEG, lengths)
    found["none asked for"] = (tcp, m.TX_IPV4, lengths)
    found["no size"] = (tcp, flags, m.tx_offload(14, 20, 20, 0))
    found["no TCP header"] = (tcp, flags, m.tx_offload(14, 20, 0, 1000))
    found["a tunnel of an unknown kind"] = (tcp, flags | 3 << 45, lengths)
    found["more headers than bytes"] = (tcp, flags, m.tx_offload(14, 20, 255, 1000))
    for name, extension in (
        ("a way to go", IPv6ExtHdrRouting(nh=6, addresses=["::1"], segleft=1)),
        ("a jumbogram", IPv6ExtHdrHopByHop(nh=6, options=[Jumbo()])),
        ("an unknown extension", IPv6ExtHdrHopByHop(nh=51)),
    ):
        extension = bytes(extension)
        headers = bytes(Ether(dst="02:00:00:00:00:02", type=0x86DD) / IPv6(nh=extension_kind(name))) + extension
        lengths6 = m.tx_offload(14, 40 + len(extension), 20, 1000)
        found[name] = (headers + tcp[34:], m.TX_TCP_SEG | m.TX_IPV6, lengths6)
    outer = bytes(Ether(dst="02:00:00:00:00:02") / IP(proto=47))
    for name, gre in (
        ("GRE with numbers", "10000800"),
        ("GRE with a route", "40000800"),
        ("GRE of version 1", "00010800"),
    ):
        between = bytes.fromhex(gre) + bytes(4)
        headers = outer + between + tcp[14:]
        found[name] = (headers, flags | m.TX_TUNNEL_GRE, m.tx_offload(8, 20, 20, 1000, 20, 14))
    return found


def extension_kind(name: str) -> int:
    return 43 if name == "a way to go" else 0


def counted_odd_packets() -> dict[str, tuple[int, int]]:
    """How many segments are made of each, and how often it is counted as refused."""
    import mbuf_kinds as memory

    machine = Machine()
    found = {}
    with machine.nothing_lost():
        for why, (headers, flags, lengths) in odd_packets().items():
            segmenter = machine.segmenter()
            mbuf = machine.source.new(headers + bytes(100 if why == "more headers than bytes" else 2000))
            machine.native.mbuf_mark(mbuf, flags, lengths)
            if why == "more headers than bytes":
                memory.set_size(mbuf, 100)
            before = memory.all_fields(mbuf)
            made = machine.run(segmenter, mbuf)
            if not made:
                assert memory.all_fields(mbuf) == before, why
            found[why] = len(made), segmenter.counts.refused
            machine.native.free(made or [mbuf])
    return found


@needs_dpdk
def test_what_cannot_be_cut_stays_as_it_is_and_is_counted() -> None:
    found = alone(counted_odd_packets)
    assert found.pop("nothing") == (2, 0)
    assert found == dict.fromkeys(found, (0, 1)) and len(found) == 18


def odd_mbufs() -> list[list[int]]:
    """Of a packet whose mbufs hold less than it says; with more headers than a header's mbuf has room for; of which a
    buffer has too many references; and of a datagram that the MTU does not allow."""
    import mbuf_kinds as memory

    machine = Machine()
    found = []
    with machine.nothing_lost():
        for copied in (False, True):
            segmenter = machine.segmenter(copied)
            mbuf, _ = machine.packet(large_tcp(3000), 1000, [500], ["direct"])
            memory.put(mbuf, m.PKT_LEN, 4, 9000)
            found.append([*machine.run(segmenter, mbuf), segmenter.counts.refused])
            machine.native.free([mbuf])
        segmenter = machine.segmenter()
        large = large_tcp(3000)
        tagged = large.headers[:12] + bytes.fromhex("81000001") * 20 + large.headers[12:]
        machine.headers.data_room = 128
        segmenter = machine.segmenter()
        mbuf, _ = machine.packet(replace(large, headers=tagged, l3=94, l4=114), 1000, [], ["direct"])
        found.append([*machine.run(segmenter, mbuf), segmenter.counts.refused])
        machine.native.free([mbuf])
        machine.headers.data_room = 256
        segmenter = machine.segmenter()
        mbuf, _ = machine.packet(large, 1000, [], ["direct"])
        memory.put(mbuf, m.REFCNT, 2, 65533)
        found.append([*machine.run(segmenter, mbuf), segmenter.counts.refused])
        memory.put(mbuf, m.REFCNT, 2, 1)
        machine.native.free([mbuf])
    return found


@needs_dpdk
def test_what_mbufs_do_not_allow_is_refused() -> None:
    assert alone(odd_mbufs) == [[1]] * 4


def test_references_that_two_cores_count_at_the_same_time_are_all_counted() -> None:
    """The words beside the counter are other fields of the mbuf."""
    words = Region(8)
    words.write(0, b"\xff" * 2 + b"\0" * 2 + b"\xff" * 4)
    count = Kernel("gso_counter_kernel:add_and_forget", int, int)
    count.load()
    threads = [threading.Thread(target=count, args=(words.address + 2, 300_007)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert words.read(0, 8) == b"\xff" * 2 + (2 * 300_007 % 65536).to_bytes(2, "little") + b"\xff" * 4
