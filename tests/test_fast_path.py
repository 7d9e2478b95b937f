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
