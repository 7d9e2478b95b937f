"""Compiled, every field of every header reads and writes as it does interpreted, and as scapy says."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import burstline as bl
import scapy_frames
from both_modes import Both, pcap_of, run_both, stage_of
from burstline.packet.fields import HEADER_METHODS, HEADERS, Field, Header
from burstline.ports import capture_format as form
from capture_files import pcap_header, record
from every_field import Everything, reader
from scapy_frames import ARP4, EXTENDED, ICMP6, TCP4
from test_packet import FIXABLE
from test_packet_views import EXPECTED

FRAMES = [bytes(f) for f in vars(scapy_frames).values() if isinstance(f, scapy_frames.Scapy)]
LINKTYPES = (1, form.LINKTYPE_RAW, form.LINKTYPE_LINUX_SLL, form.LINKTYPE_LINUX_SLL2, form.LINKTYPE_NULL, 99)
READ, SEEN = reader()
reading = bl.Pipeline(READ)


def digests(both: Both) -> list[dict[str, Any]]:
    """What the stage read of each packet, by field, once both modes are known to agree."""
    rows = both.equal().state["Digest 0"]
    return [dict(zip((s.name for s in Everything.layout), row, strict=True)) for row in rows]


@pytest.mark.parametrize("k", range(len(EXPECTED)), ids=[name for _, name, _ in EXPECTED])
def test_every_field_reads_compiled_as_scapy_set_it(k: int) -> None:
    frame, name, fields = EXPECTED[k]
    (row,) = digests(run_both(reading, [bytes(frame)]))
    assert row[name]
    for field, value in fields.items():
        read = row[f"{name}_{field}"]
        packed = list(value.packed) if getattr(value, "version", 4) == 6 else int(value)
        assert read == packed, f"{name}.{field}"


def test_absent_headers_read_as_zeros_whatever_the_bytes() -> None:
    for row in digests(run_both(reading, [b"", b"\xff", b"\xff" * 13, b"\xff" * 14, b"\xff" * 300])):
        absent = [h for h in HEADERS if not row[h.name]]
        assert len(absent) >= len(HEADERS) - 1
        for header in absent:
            zeros = {0, tuple([0] * 16)}
            values = {tuple(v) if isinstance(v, list) else v for k, v in row.items() if k.startswith(f"{header.name}_")}
            assert values <= zeros


def mutated(chance: random.Random, frame: bytes) -> bytes:
    """Some bytes changed, most of them where headers lie; maybe cut, maybe longer."""
    data = bytearray(frame)
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        if data:
            data[chance.randrange(min(len(data), 120))] = chance.choice(
                (0, 1, 4, 6, 17, 44, 43, 60, 255, chance.randrange(256))
            )
    if chance.random() < 0.4:
        del data[chance.randrange(len(data) + 1) :]
    elif chance.random() < 0.3:
        data += chance.randbytes(chance.randrange(60))
    return bytes(data)


@pytest.mark.parametrize("linktype", LINKTYPES)
def test_mutated_packets_of_every_link_type_read_the_same_in_both_modes(linktype: int) -> None:
    chance = random.Random(linktype)
    packets = []
    for _ in range(600):
        frame = mutated(chance, chance.choice(FRAMES))
        head = chance.choice((14, 14, 10, 16)) if linktype != 1 else 0
        made = chance.randbytes(chance.choice((0, 2, 4, 14, 18))) + frame[head:]
        packets.append((made if linktype != 1 else frame, chance.choice((len(frame), 65_536, 0))))
    assert len(digests(run_both(reading, packets, linktype=linktype))) == 600


SPLICED = st.tuples(st.sampled_from(FRAMES), st.integers(0, 80), st.binary(max_size=4))
ANY_BYTES = st.one_of(
    st.binary(max_size=120),
    st.sampled_from(FRAMES),
    SPLICED.map(lambda t: t[0][: t[1]] + t[2] + t[0][t[1] + len(t[2]) :]),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ANY_BYTES, max_size=60))
def test_any_bytes_read_the_same_in_both_modes(packets: list[bytes]) -> None:
    assert len(digests(run_both(reading, packets))) == len(packets)


WRITABLE = [(h, f) for h in HEADERS for f in h.fields if f.writable]
ADDRESSES = (bl.ip("2001:db8::dead:beef"), bl.ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"))


def assignment(header: Header, field: Field) -> str:
    value = {
        "int": "value",
        "bool": "value & 4 != 0",
        "ipv4": "value & 0xFFFFFFFF" if header.name == "arp" else "pkt.ipv4.dst if value & 1 else FOUR",
        "ipv6": "SIX if value & 1 else OTHER_SIX",
    }[field.kind]
    return f"pkt.{header.name}.{field.name} = {value}"


def writer() -> bl.Stage:
    """Writes the field whose number is in the packet's time, with a value that is in there too."""
    lines = ["def write_one(pkt):", "    which = pkt.time % 1000000000", "    seconds = pkt.time // 1000000000"]
    lines.append("    value = seconds << 21 ^ seconds << 9 ^ seconds")
    for k, (header, field) in enumerate(WRITABLE):
        lines.append(f"    {'elif' if k else 'if'} which == {k}:\n        {assignment(header, field)}")
    return stage_of("\n".join(lines), FOUR=bl.ip("203.0.113.254"), SIX=ADDRESSES[0], OTHER_SIX=ADDRESSES[1])


def test_every_write_leaves_the_same_bytes_in_both_modes_and_reads_back_the_same() -> None:
    seconds = (0, 1, 0xFFFFFFFF, 0xA5C3_1E07)
    writes = [(frame, which, s) for frame in [*FRAMES, b"\xff" * 9] for which in range(len(WRITABLE)) for s in seconds]
    data = pcap_header("<") + b"".join(record("<", s, which, frame) for frame, which, s in writes)
    outcome = run_both(bl.Pipeline(writer(), READ), data).equal()
    changed = {which for (frame, which, _), out in zip(writes, outcome.written, strict=True) if out.data != frame}
    assert changed == set(range(len(WRITABLE)))


def fixing() -> bl.Pipeline:
    spoil = "".join(f"    pkt.{h}.checksum = 0xBEEF\n" for h in HEADER_METHODS["fix_checksum"])
    each = "".join(f"        pkt.{h}.fix_checksum()\n" for h in HEADER_METHODS["fix_checksum"])
    source = f"def fix(pkt):\n{spoil}    if pkt.time & 1000:\n{each}    else:\n        pkt.fix_checksums()\n"
    return bl.Pipeline(stage_of(source))


def test_fixed_checksums_are_those_of_scapy_and_equal_in_both_modes_for_mutated_packets() -> None:
    good = [bytes(frame) for frame in FIXABLE.values() for _ in range(2)]
    chance = random.Random(5)
    broken = [mutated(chance, chance.choice(good)) for _ in range(500)]
    outcome = run_both(fixing(), pcap_of([*good, *broken])).equal()
    assert [p.data for p in outcome.written[: len(good)]] == good


def test_a_view_may_be_kept_in_a_name_and_a_header_handed_to_a_function() -> None:
    source = """
def both_ports(header):
    return header.sport << 16 | header.dport

def look(pkt):
    v4, transport = pkt.ipv4, pkt.tcp
    r = seen.new()
    if v4 and transport:
        r.ports = both_ports(transport)
        v4.ttl -= 1
    elif pkt.udp:
        r.ports = both_ports(pkt.udp)
    r.ttl = v4.ttl
    if not v4 and not pkt.arp:
        return bl.drop("no IPv4")
"""
    seen: bl.Digest[Any] = bl.Digest(Ports)
    frames = [bytes(f) for f in (TCP4, ICMP6, EXTENDED, ARP4)]
    outcome = run_both([stage_of(source, seen=seen)], frames).equal()
    assert outcome.state["Digest 0"][0] == (443 << 16 | 51000, 62)
    assert outcome.counts["drops"]["no IPv4"][0] == 2


class Ports(bl.Record):
    ports: bl.u32
    ttl: bl.u8
