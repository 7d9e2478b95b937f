"""Packets that stages clone: what leaves, in which order, with which bytes; and what happens without a buffer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import burstline as bl
from both_modes import pcap_of, run_both, stage_of
from burstline.cli.main import main
from burstline.compiler.errors import CompileError
from burstline.engine.offline import FileRun
from burstline.ports.capture_reader import read_capture
from packet_corpus import corpus, truncations

MARK = 0x02_00_00_00_00_42
FRAMES = [*corpus().values(), *(data for _, data in truncations()), bytes(range(256)) * 35, b"", b"\x01"]


@bl.stage
def mirror(pkt: Any) -> Any:
    """As many copies as the length says; the original goes, too, or is dropped."""
    copies = pkt.length % 3
    for k in range(copies):
        copy = pkt.clone()
        copy.eth.dst = MARK + k
    if pkt.length % 4 == 0:
        return bl.drop("every fourth")
    pkt.eth.src = 1


def expected(frame: bytes) -> list[bytes]:
    """By hand: the packet itself unless it is dropped, its source changed after copies were made; then the copies."""
    has_ethernet = len(frame) >= 14
    copies = []
    for k in range(len(frame) % 3):
        copies.append((MARK + k).to_bytes(6, "big") + frame[6:] if has_ethernet else frame)
    own = frame[:6] + (1).to_bytes(6, "big") + frame[12:] if has_ethernet else frame
    return ([own] if len(frame) % 4 else []) + copies


@settings(max_examples=8, deadline=None)
@given(st.lists(st.sampled_from(FRAMES), max_size=60), st.sampled_from([("out.pcap", 1), ("out.pcapng", 2)]))
def test_copies_are_written_behind_their_packet_whatever_becomes_of_it(
    frames: list[bytes], how: tuple[str, int]
) -> None:
    out, workers = how
    outcome = run_both([mirror], frames, out=out, workers=workers).equal()
    assert [bytes(packet.data) for packet in outcome.written] == [e for frame in frames for e in expected(frame)]
    made = [len(frame) for frame in frames for _ in range(len(frame) % 3)]
    assert outcome.counts["made"] == (len(made), sum(made))


@pytest.mark.parametrize("dispatch", ["fused", "tail", "called"])
def test_copies_keep_the_time_and_the_length_of_their_packet(dispatch: str) -> None:
    cut = [(frame[:40], len(frame)) for frame in FRAMES if len(frame) > 60]
    pipeline = [stage_of("def twice(pkt):\n    pkt.clone()"), stage_of("def more(pkt):\n    pkt.clone()")]
    outcome = run_both(pipeline, cut, dispatch=dispatch).equal()
    assert len(outcome.written) == 3 * len(cut)
    for k, (data, length) in enumerate(cut):
        first = outcome.written[3 * k]
        assert (bytes(first.data), first.length) == (data, length)
        assert outcome.written[3 * k + 1] == outcome.written[3 * k + 2] == first


def test_headers_of_a_copy_inner_ones_too_are_read_and_written_apart_from_those_of_its_packet() -> None:
    seen = bl.Counter("inner")
    rewrite = stage_of(
        "def rewrite(pkt):\n"
        "    copy = pkt.clone()\n"
        "    if copy.inner.ipv4:\n"
        "        seen.add(copy.inner.ipv4.ttl + (len(copy.payload) if pkt.udp else 0))\n"
        "        copy.inner.ipv4.ttl = 9\n"
        "        copy.ipv4.ttl = 8\n"
        "    copy.fix_checksums()",
        seen=seen,
    )
    outcome = run_both([rewrite], FRAMES).equal()
    own, copies = outcome.written[::2], outcome.written[1::2]
    assert [bytes(packet.data) for packet in own] == FRAMES
    assert sum(a != b for a, b in zip(own, copies, strict=True)) > 10


def test_without_a_sink_copies_are_consumed_and_their_buffers_come_back() -> None:
    counts = run_both([mirror], FRAMES * 3, out=None).equal().counts
    assert counts["made"][0] > 0
    assert counts["consumed"][0] + sum(packets for packets, _ in counts["drops"].values()) == (
        counts["received"][0] + counts["made"][0]
    )


def test_a_copy_for_which_there_is_no_buffer_is_false_and_a_drop_by_name(tmp_path: Path) -> None:
    had, zeros = bl.Counter("had"), bl.Counter("zeros")
    stage = stage_of(
        "def every(pkt):\n"
        "    copy = pkt.clone()\n"
        "    copy.eth.dst = 7\n"
        "    if copy:\n"
        "        had.add()\n"
        "    elif not copy.eth and copy.ipv4.ttl == 0 and copy.length == 0 and len(copy.payload) == 0:\n"
        "        zeros.add()",
        had=had, zeros=zeros,
    )  # fmt: skip
    source, sink = tmp_path / "in.pcap", tmp_path / "out.pcap"
    source.write_bytes(pcap_of([corpus()["ipv4 udp"] if "ipv4 udp" in corpus() else FRAMES[0]] * 5000))
    run = FileRun(bl.Pipeline(stage), str(source), str(sink), buffers=100)
    report = run.run()
    assert report.balanced
    assert 100 <= had.value < 5000 == had.value + zeros.value == report.made.packets
    assert report.drops["no buffer"].packets == zeros.value
    assert [w for w in report.warnings if "found no buffer: set [pools] buffers above 100," in w]
    with sink.open("rb") as stream:
        assert len(list(read_capture(stream, str(sink)))) == 5000 + had.value
    assert all(usage.in_use == 0 for usage in report.buffers)


@pytest.mark.parametrize("buffers", [100, 5000])
def test_the_settings_say_how_many_buffers_copies_of_a_file_have(
    buffers: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app, source, config = tmp_path / "app.py", tmp_path / "in.pcap", tmp_path / "some.toml"
    app.write_text("import burstline as bl\n@bl.stage\ndef copy(pkt):\n    pkt.clone()\npipeline = bl.Pipeline(copy)\n")
    source.write_bytes(pcap_of([bytes(90)] * 5000))
    config.write_text(f"[pools]\nbuffers = {buffers}\n")
    assert main(["run", str(app), str(source), "--config", str(config), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["packets_made"] == 5000
    assert ("no buffer" in report["drops"]) == (buffers < 5000)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("pkt.clone().clone()", "clone"),
        ("pkt.clone('out')", "clone"),
        ("pkt.clone(to=1)", r"pkt\.clone\(port\)"),
        ("copy = pkt\n    if pkt.tcp:\n        copy = pkt.clone()\n    copy.eth.dst = 1", "a packet that a stage made"),
        ("flows[pkt.clone()].packets += 1", "FlowTable"),
        ("pkt.inner.clone()", "clone"),
    ],
)
def test_what_cannot_be_asked_of_a_copy_is_refused(line: str, problem: str, tmp_path: Path) -> None:
    class Flow(bl.Record):
        packets: bl.u64

    source = tmp_path / "in.pcap"
    source.write_bytes(pcap_of(FRAMES[:3]))
    stage = stage_of(f"def wrong(pkt):\n    {line}", flows=bl.FlowTable(Flow, capacity=10))
    with pytest.raises(CompileError, match=problem):
        FileRun(bl.Pipeline(stage), str(source), None).run()


VXLAN = corpus()[next(name for name in corpus() if "vxlan" in name)]


def test_packets_of_a_template_are_emitted_behind_the_packet_that_asks_for_them() -> None:
    from scapy.layers.l2 import Ether

    frame = bytes(Ether(VXLAN))
    seen = bl.Counter("seen")
    stage = stage_of(
        "def answer(pkt):\n"
        "    if pkt.udp and pkt.ipv4:\n"
        "        packet = probe.emit(pkt, 3)\n"
        "        packet.ipv4.dst = pkt.ipv4.src\n"
        "        if packet.inner.ipv4:\n"
        "            packet.inner.ipv4.ttl = 3\n"
        "        seen.add(packet.length + packet.captured + len(packet.payload) + packet.proto)\n"
        "        return bl.DROP",
        probe=bl.Template(frame), seen=seen,
    )  # fmt: skip
    outcome = run_both([stage], [f for f in FRAMES if len(f) >= 14]).equal()
    emitted = [p for p in outcome.written if bytes(p.data)[:30] == frame[:30] and len(p.data) == len(frame)]
    emitted = [p for p in emitted if bytes(p.data)[_ttl_of_inner(frame)[0]] == 3]
    assert len(emitted) == outcome.counts["made"][0] > 3
    assert outcome.counts["made"][1] == len(frame) * len(emitted)
    for packet in emitted:
        again, first = bytes(packet.data), bytes(frame)
        differ = [k for k in range(len(first)) if again[k] != first[k]]
        assert len(again) == len(first)
        assert set(differ) <= {30, 31, 32, 33, *_ttl_of_inner(first)}  # the address outside, and the TTL inside


def _ttl_of_inner(frame: bytes) -> list[int]:
    inner = frame.index(b"\x45", 50)  # where IPv4 begins again
    return [inner + 8]


class Seen(bl.Record):
    ttl: bl.u64
    ports: bl.u64
    inner: bl.u64
    tags: bl.u64
    bytes: bl.u64


SAME = """
def note(r, packet):
    r.ttl = packet.ipv4.ttl + 1000 * packet.ipv6.hop_limit + 1000000 * packet.proto
    r.ports = packet.tcp.sport + packet.udp.sport + 100000 * (packet.tcp.dport + packet.udp.dport) + packet.icmp.type
    r.inner = packet.inner.ipv4.ttl + 1000 * packet.inner.ipv6.hop_limit + 1000000 * packet.inner.udp.dport
    r.tags = packet.vlan.id + 10000 * packet.vlan_depth + 100000 * packet.mpls_depth + 1000000 * packet.mpls.label
    r.bytes = len(packet.payload) + 100000 * packet.length

def rewrite(packet):
    packet.eth.src = 7
    packet.ipv4.ttl = 8
    packet.tcp.dport = 9
    packet.inner.ipv4.ttl = 10
    packet.fix_checksums()

def twice(pkt):
    copy = pkt.clone()
    note(seen.new(), copy)
    rewrite(copy)
    made = probe.emit(pkt)
    note(seen.new(), made)
    rewrite(made)
"""


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from([frame for frame in FRAMES if len(frame) >= 40]),
    st.integers(14, 300),
    st.lists(st.tuples(st.integers(12, 120), st.integers(0, 255)), max_size=3),
)
def test_what_a_template_emits_is_read_and_written_as_a_copy_of_a_packet_with_the_same_bytes(
    frame: bytes, size: int, changes: list[tuple[int, int]]
) -> None:
    damaged = bytearray(frame[:size])
    for place, value in changes:
        damaged[place % len(damaged)] = value
    seen: bl.Digest[Any] = bl.Digest(Seen)
    stage = stage_of(SAME, seen=seen, probe=bl.Template(bytes(damaged)))
    outcome = run_both([stage], [bytes(damaged)]).equal()
    of_copy, of_template = outcome.state["Digest 0"]
    assert of_copy == of_template
    own, copy, made = outcome.written
    assert own.data == damaged
    assert (made.data, made.length, made.time) == (copy.data, copy.length, copy.time)


def test_a_template_is_a_frame_with_ethernet() -> None:
    from burstline.errors import UsageError

    for wrong in (b"", bytes(13), bytes(65536)):
        with pytest.raises(UsageError, match="frame of"):
            bl.Template(wrong)
    assert repr(bl.Template(bytes(60))) == "Template(60 bytes)"
