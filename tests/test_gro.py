"""GRO merges what Linux's rules let it, and nothing else; segmenting what it made gives back what came, in order."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN  # noqa: F401  # scapy then knows its port

from burstline.errors import UsageError
from burstline.offload import mbuf as m
from burstline.offload.gro.gro import Merging, gro_kernel
from gro_frames import ACK, FIN, PSH, TIMESTAMPS, Ip, Segment, Tunnel, checksum, cut, merged, partial
from gro_line import Line
from gro_model import GOOD, Model, Packet
from gro_senders import traffic
from mbuf_memory import Chain, MbufMemory

SEEDS = st.integers(0, 2**32)


def check_merged(packets: list[Packet], chain: Chain) -> None:
    """What was made of these is what the rules say, and segmenting it gives them back."""
    first, segments = packets[0], [p.segment for p in packets]
    whole = merged(segments[0], b"".join(s.payload for s in segments), segments[-1].flags)
    assert chain.data == partial(whole)
    assert chain.segsz == len(segments[0].payload)
    flags = first.flags | m.RX_LRO | m.RX_L4_CKSUM_NONE
    if whole.tunnel is not None and whole.tunnel.summed:
        flags |= m.RX_OUTER_L4_CKSUM_GOOD | m.RX_OUTER_L4_CKSUM_BAD
    assert chain.flags == flags
    again = cut(whole, chain.segsz)
    assert [comparable(s) for s in again] == [comparable(s) for s in segments]


def comparable(s: Segment) -> bytes:
    """Its frame. IP-IDs of packets that may not be fragmented say nothing (RFC 6864 section 4)."""
    if s.ip.flags & 0x4000:
        s = replace(s, ip=replace(s.ip, ident=0))
    if s.tunnel is not None and s.tunnel.ip.flags & 0x4000:
        s = replace(s, tunnel=replace(s.tunnel, ip=replace(s.tunnel.ip, ident=0)))
    return s.frame()


@settings(max_examples=200, deadline=None)
@given(SEEDS)
def test_what_is_merged_is_what_the_rules_say_and_segmenting_gives_it_back(seed: int) -> None:
    chance = random.Random(seed)
    timeout = chance.choice([0, 0, 5, 1000])
    most = chance.choice([65535, 65535, 2000, 9000])
    udp, tunnels = chance.random() < 0.9, chance.random() < 0.9
    line = Line(Merging(timeout=timeout, most=most, udp=udp, tunnels=tunnels))
    model = Model(timeout, most, udp, tunnels)
    packets, now, seen = traffic(chance, chance.choice([5, 40, 120])), 0, []
    groups = several = 0
    while packets or model.held:
        burst, packets = packets[: (n := chance.choice([1, 3, 32, 70, 256]))], packets[n:]
        if burst:
            expected, found = model.receive(burst, now), line.receive(burst, now)
        else:
            is_end = chance.random() < 0.3
            expected, found = model.over(now, is_end), line.flush(now, is_end, room=1024)
        assert [numbers for numbers, _ in found] == expected
        for numbers, chain in found:
            seen += numbers
            groups += 1
            several += len(numbers) > 1
            if len(numbers) > 1:
                check_merged([line.packets[k] for k in numbers], chain)
        now += chance.choice([0, 1, 7])
    assert sorted(seen) == list(range(len(line.packets)))
    assert len(line.memory.free) == 1024
    for flow in {p.flow for p in line.packets if p.is_seen}:
        of_flow = [k for k in seen if line.packets[k].is_seen and line.packets[k].flow == flow]
        assert of_flow == sorted(of_flow), "packets of a flow passed each other"
    count = line.merging.count
    assert (count.held, count.refused, count.by_room) == (0, 0, 0)
    assert count.joined == len(line.packets) - groups
    assert count.merged == several


SHAPES = [
    (six, udp, vlans, tunnel)
    for six in (False, True)
    for udp in (False, True)
    for vlans in ((), (5,), (5, 6))
    for tunnel in ("", "four", "six", "four, inner tag")
]


@pytest.mark.parametrize(("six", "udp", "vlans", "tunnel"), SHAPES)
def test_segments_of_every_form_are_merged(six: bool, udp: bool, vlans: tuple[int, ...], tunnel: str) -> None:
    outer = Tunnel(Ip(six=tunnel == "six", src=b"\xac\x10\0\x01")) if tunnel else None
    first = Segment(Ip(six), udp, vlans=vlans, tunnel=outer, inner_vlans=(7,) if "inner" in tunnel else ())
    packets = stream(first, [100] * 4 + [30])
    line = Line(Merging())
    ((numbers, chain),) = line.receive(packets)
    assert numbers == [0, 1, 2, 3, 4]
    check_merged(packets, chain)


@pytest.mark.parametrize("udp", [False, True])
@pytest.mark.parametrize("tunnel", [None, Tunnel(summed=True)])
@pytest.mark.parametrize("six", [False, True])
def test_scapy_finds_lengths_and_checksums_right_once_the_payload_is_added_to_the_partial_sum(
    udp: bool, tunnel: Tunnel | None, six: bool
) -> None:
    line = Line(Merging())
    ((_, chain),) = line.receive(stream(Segment(Ip(six), udp, tunnel=tunnel), [501] * 7 + [300]))
    frame = Ether(chain.data)
    built = frame.copy()
    for layer in (IP, IPv6, UDP, TCP):
        for number in (1, 2):
            found = built.getlayer(layer, number)
            for field in ("len", "plen", "chksum"):
                if found is not None and field in found.fields and (layer is not IPv6 or field == "plen"):
                    delattr(found, field)
    built = Ether(bytes(built))
    kinds = [UDP, UDP] if udp and tunnel else [UDP, TCP] if tunnel else [UDP if udp else TCP]
    for layer in {IP, IPv6, UDP}:
        for number in (1, 2):
            ours, theirs = frame.getlayer(layer, number), built.getlayer(layer, number)
            if ours is not None:
                assert getattr(ours, "plen" if layer is IPv6 else "len") == getattr(
                    theirs, "plen" if layer is IPv6 else "len"
                )
                assert layer is not IP or ours.chksum == theirs.chksum
    layer, number = kinds[-1], kinds.count(kinds[-1])
    ours, theirs = frame.getlayer(layer, number), built.getlayer(layer, number)
    at = bytes(frame).rindex(bytes(ours.payload)) - (8 if udp else 20)
    total = checksum(chain.data[at:]) ^ 0xFFFF  # what whoever finishes a partial checksum does
    assert total == theirs.chksum


def test_frames_of_the_tests_are_what_scapy_makes_of_them() -> None:
    chance = random.Random(3)
    for packet in traffic(chance, 300):
        s = packet.segment
        if s.bad or s.ip.bad or s.unsummed or s.padding or s.ip.options or (s.tunnel and s.tunnel.ip.bad):
            continue
        raw = s.frame()
        built = Ether(raw)
        for layer in (IP, UDP, TCP):
            for number in (1, 2):
                found = built.getlayer(layer, number)
                if found is not None and not (layer is UDP and found.chksum == 0):
                    for field in ("len", "chksum"):
                        if field in found.fields:
                            delattr(found, field)
        assert bytes(built) == raw


def stream(first: Segment, sizes: list[int], flags: int = GOOD | m.RX_OUTER_L4_CKSUM_GOOD) -> list[Packet]:
    """Segments of these sizes, one behind the other."""
    made, s = [], first
    for number, size in enumerate(sizes):
        s = replace(s, payload=bytes([number]) * size)
        made.append(Packet(s, flags))
        tunnel = s.tunnel and replace(s.tunnel, ip=replace(s.tunnel.ip, ident=s.tunnel.ip.ident + 1))
        s = replace(s, ip=replace(s.ip, ident=s.ip.ident + 1), tunnel=tunnel, seq=s.seq + size)
    return made


def numbers_of(found: list[tuple[list[int], Chain]]) -> list[list[int]]:
    return [numbers for numbers, _ in found]


def test_psh_and_fin_join_and_end_a_merged_packet() -> None:
    for flag in (PSH, FIN):
        packets = stream(Segment(), [100] * 4)
        packets[1] = replace(packets[1], segment=replace(packets[1].segment, flags=ACK | flag))
        line = Line(Merging(timeout=1000))
        ((numbers, chain),) = line.receive(packets)
        assert numbers == [0, 1]
        assert chain.data[47] == ACK | flag
        assert numbers_of(line.flush()) == [[2, 3]]
        assert (line.merging.count.by_flags, line.merging.count.by_burst) == (1, 1)


def test_what_is_held_waits_for_its_time_and_no_longer() -> None:
    line = Line(Merging(timeout=1000))
    a, b = stream(Segment(sport=1), [100] * 3), stream(Segment(sport=2), [100] * 3)
    assert line.receive([a[0]], 5) == []
    assert line.receive([b[0], a[1]], 1000) == []
    assert line.merging.count.held == 2
    assert line.flush(1004, all=False) == []
    assert numbers_of(line.flush(1005, all=False)) == [[0, 2]]
    assert line.receive([b[1]], 1999) == []
    assert numbers_of(line.receive([a[2]], 2000)) == [[1, 3]]  # whatever else came
    assert line.flush(2999, all=False) == []
    assert numbers_of(line.flush(3000, all=False)) == [[4]]
    assert line.merging.count.by_time == 3


def test_without_a_timeout_nothing_is_held_when_the_call_returns() -> None:
    line = Line(Merging())
    packets = stream(Segment(), [100] * 3)
    assert numbers_of(line.receive(packets[:2])) == [[0, 1]]
    assert numbers_of(line.receive(packets[2:])) == [[2]]
    assert line.flush(all=True) == []


def test_what_has_no_room_comes_with_the_next_call() -> None:
    line = Line(Merging(timeout=10), mbufs=64)
    for k in range(50):
        line.receive(stream(Segment(sport=k), [100]))
    found = [numbers_of(line.flush(100, all=False, room=20)) for _ in range(4)]
    assert [len(some) for some in found] == [20, 20, 10, 0]
    assert [number for some in found for (number,) in some] == list(range(50))


def test_a_full_table_only_means_that_packets_are_not_merged() -> None:
    line = Line(Merging(timeout=1000, flows=16))
    flows = [stream(Segment(sport=k), [100] * 3) for k in range(40)]
    first = numbers_of(line.receive([f[0] for f in flows]))
    assert first == [[k] for k in range(16, 40)]
    assert line.merging.count.refused == 24
    second = numbers_of(line.receive([f[1] for f in flows]))
    assert second == [[40 + k] for k in range(16, 40)]
    assert numbers_of(line.flush()) == [[k, 40 + k] for k in range(16)]
    assert len(line.memory.free) == 1024


def test_packets_that_were_let_go_make_room_in_the_queue() -> None:
    """One flow is held all the time, while another one's packets push out each other."""
    line = Line(Merging(timeout=10**9, flows=16))
    line.receive(stream(Segment(sport=1), [100]))
    found = []
    for k in range(100):
        found += numbers_of(line.receive([Packet(Segment(sport=2, seq=10_000 * k, payload=b"x" * 100), GOOD)]))
    found += numbers_of(line.flush())
    assert sorted(found) == [[k] for k in range(101)]
    assert line.merging.count.by_room == 1
    assert [k for (k,) in found if k] == list(range(1, 101))


def test_the_largest_packet_is_one_that_ip_can_tell() -> None:
    line = Line(Merging())
    found = line.receive(stream(Segment(options=TIMESTAMPS), [1448] * 50))
    assert numbers_of(found) == [list(range(45)), list(range(45, 50))]
    assert len(found[0][1].data) - 14 == 52 + 45 * 1448 <= 65535
    assert line.merging.count.by_size == 1


def test_64_datagrams_are_one_packet_at_most() -> None:
    line = Line(Merging())
    assert numbers_of(line.receive(stream(Segment(udp=True), [10] * 100))) == [list(range(64)), list(range(64, 100))]


@pytest.mark.parametrize("port", [4789, 8472, 6081, 2152])
def test_datagrams_that_carry_packets_are_not_merged_as_datagrams(port: int) -> None:
    line = Line(Merging(vxlan_port=8472))
    assert numbers_of(line.receive(stream(Segment(udp=True, dport=port), [40] * 3))) == [[0], [1], [2]]


def test_headers_alone_in_the_first_mbuf_leave_it_empty() -> None:
    """As a port that splits buffers behind the headers gives packets."""
    packets = [replace(p, cuts=(54,)) for p in stream(Segment(), [100] * 3)]
    ((numbers, chain),) = Line(Merging()).receive(packets)
    assert numbers == [0, 1, 2]
    assert chain.lengths == [54, 100, 0, 100, 0, 100]
    check_merged(packets, chain)


def test_a_buffer_that_ends_soon_behind_the_headers_is_left_alone() -> None:
    """Headers are compared in whole vectors, which end in the buffer."""
    small = Line(Merging())
    small.memory = MbufMemory(64, room=100)
    assert numbers_of(small.receive(stream(Segment(options=TIMESTAMPS), [20] * 3))) == [[0], [1], [2]]
    assert numbers_of(small.receive(stream(Segment(seq=5000), [20] * 3))) == [[3, 4, 5]]


def test_what_the_port_says_of_packets_must_be_the_same() -> None:
    """A flag, a tag that it took off, the mark of a flow rule."""
    marked, stamped, tagged = 1 << 13, 1 << 30, m.RX_VLAN | m.RX_VLAN_STRIPPED
    for fields, merges in (
        ([(marked, {"mark": 5}), (marked, {"mark": 5})], True),
        ([(marked, {"mark": 5}), (marked, {"mark": 6})], False),
        ([(stamped, {}), (stamped, {})], True),
        ([(stamped, {}), (0, {})], False),
        ([(tagged, {"vlan_tci": 5}), (tagged, {"vlan_tci": 5})], True),
        ([(tagged, {"vlan_tci": 5}), (tagged, {"vlan_tci": 6})], False),
        ([(0, {"vlan_tci": 5, "mark": 5}), (0, {"vlan_tci": 6, "mark": 7})], True),  # left from other packets
    ):
        memory, merging = MbufMemory(8), Merging()
        frames = [p.segment.frame() for p in stream(Segment(), [100, 100])]
        mbufs = [memory.new(frame, GOOD | flag, **of) for frame, (flag, of) in zip(frames, fields, strict=True)]
        at = memory.addresses(mbufs)
        assert gro_kernel(merging.address, at, 2, at + 16, 4, 0) == (1 if merges else 2)


def test_other_packets_pass_as_they_are() -> None:
    frames = [b"\xff" * 12 + b"\x08\x06" + bytes(28), b"", b"\x01", bytes(14), b"\xff" * 60]
    frames += [Segment().frame()[:k] for k in (13, 20, 33, 35, 53)]
    memory, merging = MbufMemory(64), Merging()
    mbufs = [memory.new(frame, GOOD) for frame in frames]
    images = [memory.image(mbuf) for mbuf in mbufs]
    at, n = memory.addresses(mbufs), len(mbufs)
    assert gro_kernel(merging.address, at, n, at + 8 * n, 2 * n, 0) == n
    assert [memory.pointers.i64(8 * (n + k)) for k in range(n)] == mbufs
    assert [memory.image(mbuf) for mbuf in mbufs] == images


def test_sizes_that_cannot_be_are_refused() -> None:
    for wrong in ({"flows": 100}, {"flows": 8}, {"most": 65536}, {"most": 100}, {"timeout": -1}):
        with pytest.raises(UsageError):
            Merging(**wrong)
