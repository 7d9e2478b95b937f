"""Filters mean what they mean to libpcap: random filters over the corpus, damaged packets and cut ones."""

from __future__ import annotations

import ctypes
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import packet_corpus
from burstline.filter.problem import FilterError
from burstline.filter.program import LINKS, FilterProgram
from burstline.native.kernel import Kernel
from burstline.packet.parser import LINK_ETHERNET
from libpcap import Libpcap
from pcap_filters import FILTER

try:
    LIBPCAP = Libpcap()
except OSError:
    pytest.skip("libpcap is not here", allow_module_level=True)

# What libpcap refuses by the look of it: `1 / ip[0]` as a division by the number that the index starts with.
FALSE_ALARMS = ("division by zero", "modulus by zero", "shift by more than 31 bits")


def packets() -> list[bytes]:
    """Of the corpus, whole, without their Ethernet header, cut, and with one byte changed."""
    generator = random.Random(7)
    found = []
    for frame in list(packet_corpus.corpus().values()):
        found += [frame, frame[14:], frame[: generator.randrange(len(frame) + 1)]]
        damaged = bytearray(frame)
        damaged[generator.randrange(min(60, len(damaged)))] = generator.randrange(256)
        found.append(bytes(damaged))
    return found


PACKETS = packets()


@settings(max_examples=250, deadline=None)
@given(FILTER, st.sampled_from(LINKS), st.randoms(use_true_random=False))
def test_random_filters_match_as_in_libpcap(expression: str, link: int, generator: random.Random) -> None:
    theirs = LIBPCAP.filter(expression, link)
    try:
        program = FilterProgram(expression)
    except FilterError as problem:
        assert isinstance(theirs, str), f"{expression!r} is refused: {problem}"
        return
    if isinstance(theirs, str):
        assert link in program.problems or theirs in FALSE_ALARMS, f"{expression!r} is taken: {theirs}"
        return
    assert link not in program.problems, f"{expression!r}: {program.problems[link]}"
    if "geneve" in expression and ("not " in expression or "! " in expression or "or " in expression):
        return  # libpcap reads registers that nothing has set where a packet did not pass `geneve`
    optimised = LIBPCAP.filter(expression, link, optimise=True)
    ours = program.interpreted[link]
    for packet in generator.sample(PACKETS, 40):
        length = len(packet) + generator.choice((0, 100))
        found = ours(packet, len(packet), length) != 0
        assert found == theirs(packet, length), (expression, packet.hex(), length)
        if isinstance(optimised, str):
            assert "rejects all packets" in optimised
            assert not found
        elif len(packet) >= 300:  # the optimiser may leave out loads that would have rejected a shorter one
            assert found == optimised(packet, length), (expression, packet.hex(), length)


COMPILED = (
    "tcp port 443",
    "tcp and dst port 443 and src net 192.0.2.0/24",
    "tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn or not (udp[2:2] / (ip[0] & 3) > 4)",
    "vlan and (ip6 or arp)",
    "ip6 protochain 17 or ip[2:2] % 7 << 2 = 8",
    "geneve",
    "len - 100 > 0xffffff00 or -ip[8] = 0xffffffc0",
)


def test_compiled_is_interpreted() -> None:
    """All filters in one kernel, which gives a bit for each."""
    kernel = Kernel("pcap_filter_kernel:all_filters", int, int, int)
    programs = [FilterProgram(expression) for expression in COMPILED]
    hits = [0] * len(COMPILED)
    for packet in PACKETS:
        memory = ctypes.create_string_buffer(packet, max(1, len(packet)))
        bits = kernel(ctypes.addressof(memory), len(packet), len(packet) + 3)
        for k, program in enumerate(programs):
            found = program.interpreted[LINK_ETHERNET](packet, len(packet), len(packet) + 3)
            assert bits >> k & 1 == found, (COMPILED[k], packet.hex())
            hits[k] += found
    assert all(hits), list(itertools.compress(COMPILED, [not h for h in hits]))
