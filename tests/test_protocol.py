"""Protocols of users are found, read, written and chained the same in both modes, or refused with what to write."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

import burstline as bl
from both_modes import function_of, run_both
from burstline.compiler.errors import CompileError
from burstline.engine.program import prepare
from scapy_frames import ETHER, V4, packet_of


class Hello(bl.Header):
    version: bl.bits[4]  # type: ignore[valid-type]
    kind: bl.bits[12]  # type: ignore[valid-type]
    words: bl.u8
    flags: bl.bits[3]  # type: ignore[valid-type]
    level: bl.bits[5]  # type: ignore[valid-type]
    sender: bl.ipv4


class Note(bl.Header):
    number: bl.u32


@bl.protocol(Hello, after="udp", port=5555)
def hello(rest: Any) -> Any:
    """The fixed part, then `words` times four bytes; its kind says what follows."""
    if rest[0] >> 4 != 1:
        return 0, 0
    return 8 + 4 * rest[2], rest.be16(0) & 0xFFF


@bl.protocol(Note, after=hello, key=7)
def note(rest: Any) -> Any:
    return 4


@bl.protocol(Note, after="eth", ethertype=0x88B5)
def beacon(rest: Any) -> Any:
    return 4 if len(rest) > 4 else 0


class Seen(bl.Record):
    hello: bl.boolean
    version: bl.u8
    kind: bl.u16
    flags: bl.u8
    level: bl.u8
    sender: bl.ipv4
    size: bl.u32
    options: bl.u32
    note: bl.boolean
    number: bl.u32
    beacon: bl.u32
    within: bl.u16
    payload: bl.u32


seen: bl.Digest[Any] = bl.Digest(Seen)


@bl.stage
def look(pkt: Any) -> Any:
    r = seen.new()
    view = hello[pkt]
    r.hello = bool(view)
    r.version, r.kind, r.flags, r.level, r.sender = view.version, view.kind, view.flags, view.level, view.sender
    r.size, r.options = view.size, len(view.options)
    if note[pkt]:
        r.note, r.number = True, note[pkt].number
    r.beacon = beacon[pkt].number
    r.within = hello[pkt.inner].kind
    r.payload = len(pkt.payload)


@bl.stage
def rewrite(pkt: Any) -> Any:
    view = hello[pkt]
    view.kind, view.level = 0xABC, 31
    if not view:
        return bl.drop("no hello")


HELLO = bytes.fromhex("1007 02 65 c0000205") + b"optional" + bytes.fromhex("deadbeef")
SENT = Ether(**ETHER) / IP(**V4) / UDP(sport=9, dport=5555) / Raw(HELLO)
ANSWER = Ether(**ETHER) / Dot1Q(vlan=3) / IP(**V4) / UDP(sport=5555, dport=9) / Raw(HELLO)
OTHER = Ether(**ETHER) / IP(**V4) / UDP(sport=9, dport=5555) / Raw(b"\x20" + HELLO)
BY_TCP = Ether(**ETHER) / IP(**V4) / TCP(sport=9, dport=5555) / Raw(HELLO)
EMPTY = Ether(**ETHER) / IP(**V4) / UDP(sport=9, dport=5555)
BEACON = Ether(**ETHER, type=0x88B5) / Raw(b"\0\0\1\0rest")
TUNNELLED = Ether(**ETHER) / IP(**V4) / UDP(dport=4789) / VXLAN(flags=8, vni=1) / SENT
FRAMES = [bytes(f) for f in (SENT, ANSWER, OTHER, BY_TCP, EMPTY, BEACON, TUNNELLED)]


def rows(packets: list[bytes], dispatch: str = "auto") -> list[dict[str, Any]]:
    found = run_both([look], packets, dispatch=dispatch).equal().state["Digest 0"]
    return [dict(zip((s.name for s in Seen.layout), row, strict=True)) for row in found]


@pytest.mark.parametrize("dispatch", ["fused", "tail"])
def test_a_protocol_is_found_by_either_port_chained_by_key_and_read(dispatch: str) -> None:
    sent, answer, other, by_tcp, empty, beacon, tunnelled = rows(FRAMES, dispatch)
    wanted = {"hello": True, "version": 1, "kind": 7, "flags": 3, "level": 5, "sender": 0xC0000205, "size": 16}
    wanted |= {"options": 8, "note": True, "number": 0xDEADBEEF, "payload": 20}
    assert wanted.items() <= sent.items()
    assert wanted.items() <= answer.items()
    for row in (other, by_tcp, empty, beacon, tunnelled):
        assert not row["hello"] and not row["note"] and row["size"] == 0 and row["version"] == 0
    assert beacon["beacon"] == 256
    assert tunnelled["within"] == 7


def test_its_fields_are_written_within_their_bits() -> None:
    outcome = run_both([rewrite], FRAMES).equal()
    assert outcome.counts["drops"]["no hello"][0] == 5
    data = outcome.written[0].data
    assert data[42:46] == bytes.fromhex("1abc 02 7f")
    assert data[:42] + data[46:] == FRAMES[0][:42] + FRAMES[0][46:]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(FRAMES), st.integers(0, 90), st.binary(max_size=3)), max_size=40))
def test_damaged_packets_are_the_same_in_both_modes(spliced: list[tuple[bytes, int, bytes]]) -> None:
    packets = [frame[:at] + more + frame[at + len(more) :] for frame, at, more in spliced]
    packets += [frame[:at] for frame, at, _ in spliced]
    assert len(rows(packets)) == len(packets)


def test_what_a_packet_is_otherwise_does_not_depend_on_it() -> None:
    packet = packet_of(SENT)
    assert len(packet.payload) == 20 == rows([bytes(SENT)])[0]["payload"]


def refused(text: str, hint: str, make: Any) -> None:
    with pytest.raises(bl.UsageError) as caught:
        make()
    assert text in caught.value.message
    assert hint in (caught.value.hint or "")


def test_what_makes_no_sense_is_refused_with_what_to_write() -> None:
    def header(**fields: Any) -> Any:
        return type("Odd", (bl.Header,), {"__annotations__": fields})

    function = function_of("def odd(rest):\n    return 4")
    refused("cannot come after 'upd'", "did you mean 'udp'?", lambda: bl.protocol(Note, after="upd", port=1))
    refused("found by its port", "port=N, 1 to 65535", lambda: bl.protocol(Note, after="udp", proto=1))
    refused("found by its key", "key=N", lambda: bl.protocol(Note, after=hello, port=1))
    refused("found by its proto", "0 to 255", lambda: bl.protocol(Note, after="ipv4", proto=256))
    refused("proto 6 after ipv4 is tcp", "built-in", lambda: bl.protocol(Note, after="ipv4", proto=6))
    refused("is no header", "class Hello", lambda: bl.protocol(bl.Record, after="udp", port=1))  # type: ignore[type-var]
    refused("one parameter", "def hello", lambda: bl.protocol(Note, after="udp", port=1)(len))
    refused("12 bits", "whole bytes", lambda: header(a=bl.bits[12]))
    refused("begins within a byte", "bl.bits[n]", lambda: header(a=bl.bits[4], b=bl.u8, c=bl.bits[4]))
    refused("is no field of a header", "u8", lambda: header(a=bl.f32))
    refused("cannot be called 'size'", "otherwise", lambda: header(size=bl.u8))
    refused("bits[33]", "1 to 32", lambda: bl.bits[33])
    twice = bl.protocol(Note, after="udp", port=5555)(function)
    stage = bl.stage(function_of("def both(pkt):\n    return bl.DROP if odd[pkt] or hello[pkt] else None",
                                 odd=twice, hello=hello))  # fmt: skip
    refused("both come after udp by 5555", "one of the two", lambda: bl.Pipeline(stage).protocols)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def odd(rest):\n    return rest.length", "has no 'length'"),
        ("def odd(rest):\n    return b'x'", "does not return"),
        ("def odd(rest):\n    hits.add()\n    return 4", "looks at its bytes alone"),
        ("def odd(rest):\n    return [4][0]", "a list"),
    ],
)
def test_what_cannot_be_compiled_is_refused_at_its_place(source: str, said: str) -> None:
    odd = bl.protocol(Note, after="udp", port=77)(function_of(source, hits=bl.Counter("hits")))
    stage = bl.stage(function_of("def use(pkt):\n    return bl.DROP if odd[pkt] else None", odd=odd))
    with pytest.raises(CompileError, match=said):
        prepare(bl.Pipeline(stage), mode="file", capacity=64, workers=1, dispatch="auto")


def test_a_pipeline_without_it_is_compiled_to_the_same_parser() -> None:
    """A protocol costs nothing where no stage names it."""
    plain = bl.Pipeline(bl.stage(function_of("def plain(pkt):\n    return bl.DROP if pkt.udp else None")))
    assert plain.protocols == ()
    assert bl.Pipeline(look).protocols == (hello, note, beacon)
