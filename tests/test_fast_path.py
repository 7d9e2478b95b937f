"""The fast path finds what the states find, packet for packet, and both what the interpreted parser finds."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scapy_frames
from burstline.packet.flow_key import flow_key
from burstline.packet.parser import LINK_ETHERNET, LINK_RAW, parse_levels
from parsed_bursts import CompiledParser, comparable
from test_headers_compiled import mutated

FRAMES = [bytes(f) for f in vars(scapy_frames).values() if isinstance(f, scapy_frames.Scapy)]


@pytest.fixture(scope="module")
def fast() -> CompiledParser:
    return CompiledParser(fast=True)


@pytest.fixture(scope="module")
def states() -> CompiledParser:
    return CompiledParser(fast=False)


def agree(fast: CompiledParser, states: CompiledParser, packets: list[bytes], link: int = LINK_ETHERNET) -> None:
    for packet, a, b in zip(packets, fast.parse(packets, link), states.parse(packets, link), strict=True):
        wanted = parse_levels(packet, len(packet), link)
        shown = packet.hex()
        inner = a[0].inner
        if inner is not None and not inner.present & 1:  # nothing says where it would begin
            a = (a[0]._replace(inner=inner._replace(l2=0)), *a[1:])
            assert b[0].inner is not None
            b = (b[0]._replace(inner=b[0].inner._replace(l2=0)), *b[1:])
        assert a == b, shown
        assert a[0] == comparable(wanted), shown
        assert a[1] == flow_key(packet, wanted.outer), shown


def plain(v6: bool, tcp: bool, total: int, offset: int, length: int, rest: bytes, noise: bytes) -> bytes:
    """A plain packet, but for what its length fields say."""
    transport = noise[:4] + (noise[4:12] + bytes((offset,)) + noise[:7] if tcp else length.to_bytes(2, "big") + b"\0\0")
    body = transport + rest
    if v6:
        ip = b"\x60\0\0\0" + total.to_bytes(2, "big") + bytes((6 if tcp else 17, 64)) + (noise * 3)[:32]
        return bytes(12) + b"\x86\xdd" + ip + body
    ip = b"\x45\0" + total.to_bytes(2, "big") + b"\0\0\x40\0\x40" + bytes((6 if tcp else 17,)) + b"\0\0" + noise[4:12]
    return bytes(12) + b"\x08\0" + ip + body


LENGTHS = st.one_of(st.integers(0, 120), st.sampled_from((0, 7, 8, 20, 28, 40, 65535)), st.integers(0, 65535))
PLAIN = st.builds(
    plain, st.booleans(), st.booleans(), LENGTHS, st.integers(0, 255), LENGTHS, st.binary(max_size=60),
    st.binary(min_size=12, max_size=12),
)  # fmt: skip
CUT = st.tuples(PLAIN, st.integers(0, 120)).map(lambda t: t[0][: t[1]])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(PLAIN, PLAIN, CUT, st.sampled_from(FRAMES)), min_size=1, max_size=40))
def test_plain_packets_with_any_lengths_are_the_same_on_both_ways(
    fast: CompiledParser, states: CompiledParser, packets: list[bytes]
) -> None:
    agree(fast, states, packets)


def test_mutated_packets_of_every_state_are_the_same_on_both_ways(fast: CompiledParser, states: CompiledParser) -> None:
    chance = random.Random(3)
    packets = [mutated(chance, chance.choice(FRAMES)) for _ in range(6000)]
    agree(fast, states, packets)
    agree(fast, states, [p[14:] for p in packets], LINK_RAW)


def test_tunnels_at_any_port_are_left_to_the_states(fast: CompiledParser, states: CompiledParser) -> None:
    """A plain UDP packet to or from a tunnel's port is not plain."""
    frame = bytearray(bytes(scapy_frames.IN_VXLAN))
    back = bytes(frame[:34] + frame[36:38] + frame[34:36] + frame[38:])
    for packet in (bytes(frame), back):
        ((levels, _, _),) = fast.parse([packet])
        assert levels.inner is not None
    agree(fast, states, [bytes(frame), back])


PLAIN_FRAMES = [bytes(f) for f in (scapy_frames.TCP_OPTIONS,)] + [
    plain(v6, tcp, 0, 0x50, 30, bytes(30), bytes(range(12))) for v6 in (False, True) for tcp in (False, True)
]


def listed(parser: CompiledParser, packets: list[bytes]) -> list[int]:
    """The packets of a burst that the fast path left to the states, given that some but not too many are."""
    mark = 0xFFFF
    place, width = parser.burst.offsets["slow"], 2
    parser.memory.write(place, mark.to_bytes(width, "little") * len(packets))
    parser.parse(packets)
    found = [int.from_bytes(parser.memory.read(place + width * k, width), "little") for k in range(len(packets))]
    return [number for number in found if number != mark]


def test_plain_packets_are_taken_and_all_others_are_listed_in_their_order(fast: CompiledParser) -> None:
    chance = random.Random(8)
    others = [f for f in FRAMES if f not in (bytes(scapy_frames.TCP4), bytes(scapy_frames.TCP_OPTIONS))]
    for size in (1, 15, 16, 17, 100, 256):
        is_plain = [chance.random() < 0.8 for _ in range(size)]
        packets = [chance.choice(PLAIN_FRAMES if yes else others) for yes in is_plain]
        assert listed(fast, packets) == [k for k, yes in enumerate(is_plain) if not yes]


def test_it_is_left_out_for_a_while_after_a_burst_of_which_little_was_plain(fast: CompiledParser) -> None:
    fast.parse(PLAIN_FRAMES * 16)
    assert fast.run(80) == 0
    fast.parse([bytes(scapy_frames.STREAMS)] * 80)
    left_out = fast.run(80)
    assert left_out > 0
    assert [fast.run(80) for _ in range(left_out)] == list(range(left_out - 1, -1, -1))
    assert fast.run(80) > left_out  # it was tried again, in vain
