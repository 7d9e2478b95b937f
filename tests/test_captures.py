"""Capture files through the engine: every packet is read, in both modes the same, written losslessly and in order."""

from __future__ import annotations

import gzip
import json
import os
import random
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import zstandard

import burstline as bl
from both_modes import Both, Interpreted, Outcome, outcome, run_both, stage_of
from burstline.engine.offline import FileRun
from burstline.ports import capture_format as form
from burstline.ports.capture_file import CHUNK
from burstline.ports.capture_reader import CapturedPacket
from capture_files import (
    FAULTS,
    PIECES,
    enhanced,
    interface,
    option,
    pcap_header,
    read_until_fault,
    record,
    section,
    simple,
    tsresol,
)  # fmt: skip
from every_field import reader
from scapy_frames import ICMP6, TCP4, UDP4

FRAMES = [bytes(frame) for frame in (TCP4, UDP4, ICMP6)]
SECOND = 1_700_000_000


class Place(bl.Record):
    time: bl.i64
    length: bl.u32
    captured: bl.u32
    port: bl.u16
    total: bl.u64


LOOK = """
def look(pkt):
    r = seen.new()
    r.time, r.length, r.captured, r.port = pkt.time, pkt.length, pkt.captured, pkt.port
"""
PASSING = bl.Pipeline(stage_of(LOOK, seen=bl.Digest(Place)))


def plainly(packets: list[CapturedPacket]) -> list[tuple[int, int, int, int]]:
    return [(p.time, p.length, len(p.data), p.interface) for p in packets]


def looked(result: Outcome) -> list[tuple[int, int, int, int]]:
    names = [s.name for s in Place.layout]
    rows = (dict(zip(names, row, strict=True)) for row in result.state["Digest 0"])
    return [(r["time"], r["length"], r["captured"], r["port"]) for r in rows]


def check(both: Both, packets: list[CapturedPacket]) -> None:
    """Both modes saw and wrote these packets, byte for byte."""
    result = both.equal()
    assert looked(result) == plainly(packets)
    assert result.written == packets


# --- real captures ----------------------------------------------------------------------------------------------------


def test_every_capture_reads_the_same_in_every_field_and_is_written_losslessly(captures: Path) -> None:
    read, _ = reader()
    pipeline = bl.Pipeline(read)
    total = 0
    for path in sorted(captures.glob("*/*.pcap*")):
        packets, fault = read_until_fault(path.read_bytes())
        if fault and fault.fault is form.Fault.NOT_A_CAPTURE:
            assert "is neither pcap nor pcapng" in str(run_both(pipeline, path).equal().error)
            continue
        assert fault is None
        result = run_both(pipeline, path).equal()
        assert result.written == packets, path.name
        assert len(result.state["Digest 0"]) == len(packets)
        total += len(packets)
    assert total > 10_000


# --- formats ----------------------------------------------------------------------------------------------------------


def pcap(order: str, magic: int, linktype: int = 1) -> bytes:
    fraction = 999_999_999 if magic == form.PCAP_MAGIC_NS else 999_999
    records = [record(order, SECOND + k, fraction - k, frame, 1500) for k, frame in enumerate([*FRAMES, b"", b"x"])]
    return pcap_header(order, magic, linktype) + b"".join(records)


def pcapng(order: str) -> bytes:
    """Two sections, interfaces of several resolutions and link types, blocks of every kind."""
    stamp = 0x0005_F0E1_D2C3_B4A5
    parts = [section(order), interface(order), interface(order, 101, 0, tsresol(order, 9))]
    parts += [interface(order, 113, 96, tsresol(order, 0x80 | 20)), interface(order, 1, 0, tsresol(order, 12))]
    offset = option(order, form.IF_TSOFFSET, struct.pack(order + "q", -100)) + option(order, form.OPTION_END, b"")
    parts += [interface(order, 1, 0, offset), interface(order, 1, 0, tsresol(order, 0))]
    for number in range(5):
        parts.append(enhanced(order, number, stamp + number, FRAMES[number % 3], options=option(order, 1, b"note")))
    parts += [enhanced(order, 5, 1_700_000_000, b""), simple(order, 60, FRAMES[0][:60])]
    other = ">" if order == "<" else "<"
    parts += [section(other), interface(other, 1, 0, tsresol(other, 9)), enhanced(other, 0, 1 << 60, FRAMES[1])]
    return b"".join(parts)


FILES = {
    "pcap, little-endian, microseconds": pcap("<", form.PCAP_MAGIC_US),
    "pcap, big-endian, microseconds": pcap(">", form.PCAP_MAGIC_US),
    "pcap, little-endian, nanoseconds": pcap("<", form.PCAP_MAGIC_NS),
    "pcap, big-endian, nanoseconds": pcap(">", form.PCAP_MAGIC_NS),
    "pcap of raw IP": pcap("<", form.PCAP_MAGIC_NS, form.LINKTYPE_RAW),
    "pcap without packets": pcap_header("<"),
    "pcapng, little-endian": pcapng("<"),
    "pcapng, big-endian": pcapng(">"),
    "pcapng without packets": section("<") + interface("<"),
    "pcapng without interfaces": section("<"),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_packets_to_both_readers(name: str) -> None:
    packets, fault = read_until_fault(FILES[name])
    assert fault is None
    check(run_both(PASSING, FILES[name]), packets)


@pytest.mark.parametrize("squeeze", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("name", ["pcap, big-endian, microseconds", "pcapng, little-endian"])
def test_compressed_files_are_read_by_their_content(squeeze: Any, name: str) -> None:
    packets, _ = read_until_fault(FILES[name])
    check(run_both(PASSING, squeeze(FILES[name])), packets)


APP = """import burstline as bl


@bl.stage
def all_of_them(pkt):
    if pkt.length == 1:
        return bl.DROP


pipeline = bl.Pipeline(all_of_them)
"""


@pytest.mark.parametrize("mode", [[], ["--interpret"]])
@pytest.mark.parametrize("squeeze", [bytes, gzip.compress])
def test_standard_input_and_output_are_captures(mode: list[str], squeeze: Any, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    data = b"".join((pcap_header("<"), *(record("<", k, k, b"p" * (k % 1400 + 1)) for k in range(3000))))
    command = [sys.executable, "-m", "burstline", "run", str(tmp_path / "app.py"), "-", "--out", "-", "--json", *mode]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, input=squeeze(data), env=environment, capture_output=True, check=True)
    packets, fault = read_until_fault(done.stdout)
    assert fault is None
    assert [(p.data, p.time) for p in packets] == [
        (b"p" * (k % 1400 + 1), k * 1_000_000_001) for k in range(3000) if k % 1400
    ]
    report = json.loads(done.stderr)
    assert (report["packets_in"], report["packets_out"], report["drops"]["all_of_them"]["packets"]) == (3000, 2997, 3)


def test_pcapng_holds_any_number_of_link_types_and_every_time() -> None:
    data = section("<") + interface("<", 1) + interface("<", 101) + enhanced("<", 0, 5, b"a")
    data += enhanced("<", 1, 6, b"b") + interface("<", 1, 0, tsresol("<", 0)) + enhanced("<", 2, 1 << 33, b"c")
    packets, _ = read_until_fault(data)
    check(run_both(PASSING, data), packets)
    check(run_both(PASSING, FILES["pcap of raw IP"], out="out.pcap"), read_until_fault(FILES["pcap of raw IP"])[0])


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (enhanced("<", 1, 6, b"raw"), "a pcap file holds one link type"),
        (enhanced("<", 2, 1 << 33, b"late"), "no time outside of the years 1970 to 2106"),
        (enhanced("<", 2, 9, b"early"), "no time outside of the years 1970 to 2106"),
    ],
    ids=["link type", "late", "early"],
)
@pytest.mark.parametrize("interpret", [False, True])
def test_pcap_keeps_what_it_can_hold_and_the_rest_is_dropped_by_name(
    second: bytes, message: str, interpret: bool, tmp_path: Path
) -> None:
    offset = option("<", form.IF_TSOFFSET, struct.pack("<q", -10)) + option("<", form.OPTION_END, b"")
    seconds = tsresol("<", 0)[:8] + offset
    data = section("<") + interface("<", 1) + interface("<", 101) + interface("<", 1, 0, seconds)
    data += enhanced("<", 0, 5, b"first") + enhanced("<", 0, 6, b"second") + second + enhanced("<", 0, 7, b"last")
    source, sink = tmp_path / "in.pcapng", tmp_path / "out.pcap"
    source.write_bytes(data)
    run: Any = Interpreted(PASSING, source, sink) if interpret else FileRun(PASSING, str(source), str(sink))
    with pytest.raises(bl.BurstlineError, match=message):
        run.run()
    packets, fault = read_until_fault(sink.read_bytes())
    assert [bytes(p.data) for p in packets] == [b"first", b"second"]
    assert fault is None
    assert run.report.balanced
    assert run.report.sent.packets == 2
    assert set(run.report.drops) == {"sink failed"}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("interpret", [False, True])
def test_a_full_disk_is_one_message_and_what_was_lost_is_counted(interpret: bool, tmp_path: Path) -> None:
    source = tmp_path / "in.pcap"
    source.write_bytes(BIG["pcap of small packets"])
    run: Any = (
        Interpreted(PASSING, source, Path("/dev/full")) if interpret else FileRun(PASSING, str(source), "/dev/full")
    )
    with pytest.raises(bl.BurstlineError, match="cannot write /dev/full: No space left on device"):
        run.run()
    assert run.report.balanced
    assert run.report.sent.packets == 0
    assert run.report.drops["sink failed"].packets > 0


# --- faults -----------------------------------------------------------------------------------------------------------


def both_faults(data: bytes) -> None:
    """Both modes give the packets before the fault, and the same message about it."""
    packets, fault = read_until_fault(data)
    both = run_both(PASSING, data)
    for side in (both.compiled, both.interpreted):  # one describes interfaces that had no packets, the other cannot
        side.written = [p._replace(interface=0) for p in side.written]
    result = both.equal()
    assert looked(result) == plainly(packets)
    assert result.written == [p._replace(interface=0) for p in packets]
    assert (result.error or "").partition(" ")[2] == str(fault or "").partition(" ")[2]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_the_same_by_both_readers(name: str) -> None:
    data, fault, offset = FAULTS[name]
    _, error = read_until_fault(data)
    assert error is not None
    assert (error.fault, error.offset) == (fault, offset)
    both_faults(data)


@pytest.mark.parametrize("name", PIECES)
def test_a_file_cut_anywhere_gives_the_packets_before_the_cut(name: str) -> None:
    whole = b"".join(PIECES[name])
    for size in range(len(whole)):
        both_faults(whole[:size])


@pytest.mark.parametrize("name", ["pcap, little-endian, nanoseconds", "pcapng, big-endian"])
def test_a_damaged_file_gives_the_same_packets_and_fault_to_both_readers(name: str) -> None:
    chance = random.Random(name)
    for _ in range(150):
        data = bytearray(FILES[name])
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
        both_faults(bytes(data[: chance.randrange(len(data) // 2, len(data) + 1)]))


@pytest.mark.parametrize("squeeze", [gzip.compress, zstandard.compress])
def test_a_compressed_file_that_is_cut_gives_what_was_there_and_one_message(squeeze: Any) -> None:
    chance = random.Random(3)
    whole = pcap_header("<") + b"".join(record("<", k, 0, chance.randbytes(500)) for k in range(2000))
    data = squeeze(whole)[: len(whole) // 2]
    result = run_both(PASSING, data)
    for side in (result.compiled, result.interpreted):
        assert side.error is not None
        assert "cannot be decompressed" in side.error
        assert side.counts["received"][0] == len(side.written) > 900


def test_a_file_that_is_not_there_or_is_no_file_is_refused(tmp_path: Path) -> None:
    for path, match in ((tmp_path / "missing.pcap", "No such file"), (tmp_path, "Is a directory|is a directory")):
        with pytest.raises(bl.BurstlineError, match=match):
            run_both(PASSING, path)


# --- workers, chunks, order -------------------------------------------------------------------------------------------


class Flow(bl.Record):
    packets: bl.u64
    bytes: bl.u64
    last: bl.i64


DROP_SOME = """
def drop_some(pkt):
    if pkt.time % 7 == 3:
        return bl.drop("every seventh")
    if pkt.time % 11 == 5:
        return bl.CONSUME
    pkt.ipv4.ttl = 9
"""
COUNT = """
def count(pkt):
    flow = flows[pkt]
    flow.packets += 1
    flow.bytes += pkt.length
    flow.last = pkt.time
    hits.add(pkt.length)
"""
FLOWS = bl.FlowTable(Flow, capacity=5000)
COUNTING = bl.Pipeline(stage_of(DROP_SOME), stage_of(COUNT, flows=FLOWS, hits=bl.Counter("hits")))


def frame(chance: random.Random, size: int) -> bytes:
    """UDP between a few hosts, of about that size."""
    head = struct.pack(">BBHIBBH", 0x45, 0, max(28, min(size, 65_535)), 0, 64, 17, 0)
    hosts = bytes((10, 0, 0, chance.randrange(30))) + bytes((10, 0, 0, chance.randrange(30)))
    return bytes(12) + b"\x08\0" + head + hosts + struct.pack(">HHHH", 53, 53, 8, 0) + bytes(max(0, size - 28))


def sizes(chance: random.Random, large: bool) -> list[int]:
    """Mostly small packets; among them some that are larger than a chunk, and runs of the smallest ones."""
    found = [chance.choice((0, 40, 300, 1400)) for _ in range(4000)]
    if large:
        for at in (5, 1000, 1001, 3500):
            found[at : at + 1] = [CHUNK + chance.randrange(-100, 100), (1 << 20) - 100, 40]
        found[2000:2000] = [-1] * (CHUNK // 16 + 100)  # records without any bytes
    return found


def tricky(chance: random.Random) -> bytes:
    """A payload that looks like records of a capture: the reader must not take it for some."""
    inner = b"".join(
        record("<", SECOND, chance.randrange(1000), frame(chance, 60)) for _ in range(chance.randrange(1, 40))
    )
    return frame(chance, 0) + bytes(chance.randrange(4)) + inner


def big_pcap(seed: int, order: str, large: bool, fooling: bool = False) -> bytes:
    chance = random.Random(seed)
    parts = [pcap_header(order)]
    for k, size in enumerate(sizes(chance, large)):
        data = b"" if size < 0 else tricky(chance) if fooling and size > 40 else frame(chance, size)
        parts.append(record(order, SECOND + k // 50, k, data, chance.choice((len(data), len(data) + 9))))
    return b"".join(parts)


def big_pcapng(seed: int) -> bytes:
    chance = random.Random(seed)
    parts = [section("<"), interface("<", options=tsresol("<", 9)), interface("<", 101)]
    for k, size in enumerate(sizes(chance, True)):
        data = b"" if size < 0 else frame(chance, size)
        parts.append(
            enhanced("<", k % 2, SECOND * 1000 + k, data[14 * (k % 2) :]) if size >= 0 else simple("<", 0, b"")
        )
        if k % 900 == 0:
            parts.append(interface("<", 1, options=tsresol("<", 6)))
    return b"".join(parts)


BIG = {
    "pcap": big_pcap(1, "<", True),
    "pcap of small packets": big_pcap(2, ">", False),
    "pcap that holds pcap": big_pcap(3, "<", False, fooling=True),
    "pcap that holds pcap, and large packets": big_pcap(4, "<", True, fooling=True),
    "pcapng": big_pcapng(5),
}


def compiled(path: Path, folder: Path, workers: int) -> Outcome:
    sink = str(folder / f"out{workers}.pcapng")
    return outcome(COUNTING, lambda: FileRun(COUNTING, str(path), sink, workers=workers), sink)


def in_any_order(result: Outcome) -> Any:
    refused, count, rows = result.state["FlowTable 0"]
    return refused, count, sorted(rows), result.state["Counter 1"]


@pytest.mark.parametrize("name", BIG)
def test_any_number_of_workers_gives_what_one_gives_in_the_order_of_the_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "in.pcap"
    path.write_bytes(BIG[name])
    packets, fault = read_until_fault(BIG[name])
    assert fault is None
    kept = [p for p in packets if p.time % 7 != 3 and p.time % 11 != 5]
    one = compiled(path, tmp_path, 1)
    assert one.error is None
    assert one.counts["received"] == (len(packets), sum(p.length for p in packets))
    assert one.counts["consumed"][0] + one.counts["drops"]["every seventh"][0] == len(packets) - len(kept)
    assert [(p.time, p.length, p.interface, p.linktype, len(p.data)) for p in one.written] == [
        (p.time, p.length, p.interface, p.linktype, len(p.data)) for p in kept
    ]
    for workers in (2, 3):
        many = compiled(path, tmp_path, workers)
        assert many.counts == one.counts
        assert many.written == one.written
        assert in_any_order(many) == in_any_order(one)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_large_file_reads_the_same_in_both_modes_plain_and_as_a_stream(workers: int) -> None:
    data = big_pcap(6, "<", False, fooling=True)[: 3 * CHUNK - 7]
    both = run_both(COUNTING, data, workers=workers)
    assert both.compiled.error == both.interpreted.error is not None
    assert both.compiled.counts == both.interpreted.counts
    assert both.compiled.written == both.interpreted.written
    assert in_any_order(both.compiled) == in_any_order(both.interpreted)
    stream = run_both(COUNTING, gzip.compress(data, 1), workers=workers)
    assert stream.compiled.written == both.compiled.written
    assert in_any_order(stream.compiled) == in_any_order(both.compiled)


# --- stopping ---------------------------------------------------------------------------------------------------------


class Pipe:
    """A capture that goes on until it is closed, through a named pipe; or one that falls silent."""

    def __init__(self, path: Path, silent: bool) -> None:
        os.mkfifo(path)
        self._silent, self._path = silent, path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        records = b"".join(record("<", SECOND, k, FRAMES[k % 3]) for k in range(300))
        with suppress(BrokenPipeError), open(self._path, "wb", buffering=0) as stream:
            stream.write(pcap_header("<") + records)
            while not self._stop.wait(0.01):
                if not self._silent:
                    stream.write(records)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize(
    ("workers", "silent", "interpret"), [(1, False, False), (2, False, False), (2, True, False), (1, False, True)]
)
def test_a_run_that_is_stopped_has_counted_and_written_all_that_it_took(
    workers: int, silent: bool, interpret: bool, tmp_path: Path
) -> None:
    source, sink = tmp_path / "source", tmp_path / "out.pcapng"
    run: Any
    with Pipe(source, silent):
        if interpret:
            run = Interpreted(PASSING, source, sink, duration=1)
        else:
            run = FileRun(PASSING, str(source), str(sink), workers=workers, duration=1)
        report = run.run()
    packets, fault = read_until_fault(sink.read_bytes())
    assert fault is None
    assert (report.stopped, report.balanced) == (True, True)
    assert report.sent.packets == report.received.packets == len(packets) > 0
    assert [p.time % SECOND for p in packets[:300]] == list(range(300))
