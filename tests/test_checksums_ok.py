"""`pkt.checksums_ok()`: what scapy writes is right, and a byte that changed is seen; compiled as interpreted."""

from __future__ import annotations

import random

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import ARP, Ether

from both_modes import run_both, stage_of
from mutations import mutants, seeds
from packet_corpus import corpus

STAGE = "def look(pkt):\n    return None if pkt.checksums_ok() else bl.drop('wrong')\n"
FIXED = "def fix(pkt):\n    pkt.fix_checksums()\n"
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")  # scapy would ask the network who 10.0.0.2 is
E4, E6 = ETHER / IP(src="10.0.0.1", dst="10.0.0.2"), ETHER / IPv6(src="fd00::1", dst="fd00::2")


def whole() -> list[bytes]:
    bodies = [bytes(k % 251 for k in range(size)) for size in (0, 1, 2, 63, 64, 65, 700, 1401)]
    layers = [E4 / TCP(), E4 / UDP(sport=1, dport=2), E4 / ICMP(), E6 / TCP(), E6 / UDP(sport=1, dport=2)]
    made = [bytes(layer / body) for layer in layers for body in bodies]
    return [*made, bytes(E6 / ICMPv6EchoRequest(data=b"abc")), bytes(ETHER / ARP())]


def test_what_scapy_writes_is_right() -> None:
    assert not run_both([stage_of(STAGE)], whole()).equal().counts["drops"]


def test_one_byte_of_what_is_covered_that_changed_is_seen() -> None:
    chance = random.Random(3)
    changed = []
    for data in whole()[:-1]:
        made = bytearray(data)
        made[chance.randrange(26, len(made))] ^= 1 << chance.randrange(8)  # addresses, or what is behind them
        changed.append(bytes(made))
    outcome = run_both([stage_of(STAGE)], changed).equal()
    # A UDP length that does not fit any more leaves nothing to be told.
    assert outcome.counts["drops"]["wrong"][0] >= len(changed) - 3


def test_no_udp_checksum_is_right_over_ipv4_and_wrong_over_ipv6() -> None:
    four, six = bytes(E4 / UDP(chksum=0) / b"x"), bytes(E6 / UDP(chksum=0) / b"x")
    assert run_both([stage_of(STAGE)], [four, six]).equal().counts["drops"] == {"wrong": (1, len(six))}


def test_of_any_packet_both_modes_say_the_same_and_what_was_fixed_is_right() -> None:
    found = [*corpus().values(), *(data for data, _ in mutants(random.Random(5), 400, seeds()))]
    assert run_both([stage_of(STAGE)], found).equal().counts["drops"]
    drops = run_both([stage_of(FIXED), stage_of(STAGE)], found).equal().counts["drops"]
    assert drops.get("wrong", (0, 0))[0] <= len([d for d in found if len(d) > 54]) // 100
