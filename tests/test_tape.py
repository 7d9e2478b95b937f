"""What a worker puts on a tape is in the files, packet by packet; and what there was no room for is told there."""

from __future__ import annotations

import os
import random
import re
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burstline.errors import BurstlineError
from burstline.native.kernel import Kernel
from burstline.packet.burst import Burst
from burstline.ports import capture_files
from burstline.ports.capture_files import CaptureFiles, CaptureOptions
from burstline.ports.capture_format import CaptureError
from burstline.ports.capture_reader import CapturedPacket, read_capture
from burstline.ports.decompress import open_capture
from burstline.ports.tape import LEAST, Tape
from burstline.ports.tape_writer import Received, TapeWriter
from burstline.state.region import Region
from tape_burst_kernel import PACKETS

put_packets = Kernel("tape_burst_kernel:put_packets", int, int, int, int)
WIDTHS = {"data": "u8", "captured": "u4", "length": "u4", "time": "i8", "port": "u2"}
BEGAN = 1_700_000_000_000_000_000


class Line:
    """A worker's side: packets of some sizes, each with its number in it; those that found room are remembered."""

    def __init__(self, *, pcapng: bool = True, noise: bool = False) -> None:
        self._burst, self._columns = Burst(PACKETS), Region(Burst(PACKETS).size)
        self._bytes, self._pcapng = Region(4 << 20), pcapng
        self._noise = random.Random(1) if noise else None  # which nothing compresses
        self.put_in: list[tuple[int, int, bytes]] = []  # port, time, bytes
        self.offered = 0

    def put(self, tape: Tape, sizes: Sequence[int], ports: Sequence[int] = (0,)) -> None:
        for k, size in enumerate(sizes):
            self._one(tape, size, ports[k % len(ports)])

    def _one(self, tape: Tape, size: int, port: int) -> None:
        data = (self.offered.to_bytes(4, "little") * (size // 4 + 1))[:size]
        data = self._noise.randbytes(size) if self._noise else data
        values = {"data": self._bytes.address, "captured": size, "length": size + 4, "port": port}
        values["time"] = BEGAN + 1000 * self.offered
        self._bytes.write(0, data)
        for name, value in values.items():
            self._columns.write(self._burst.offsets[name], np.array([value], WIDTHS[name]).tobytes())
        if put_packets(tape.block.address, self._columns.address, 1, int(self._pcapng)):
            self.put_in.append((port, values["time"], data))
        self.offered += 1


def packets_of(paths: Sequence[Path]) -> list[CapturedPacket]:
    found = []
    for path in paths:
        with open_capture(path) as stream:
            found += list(read_capture(stream, path.name))
    return found


def size_of(path: Path) -> int:
    """Before compression."""
    with open_capture(path) as stream:
        return len(stream.read())


def as_put(packets: Sequence[CapturedPacket]) -> list[tuple[int, int, bytes]]:
    assert all(packet.length == len(packet.data) + 4 for packet in packets)
    return [(packet.interface, packet.time, bytes(packet.data)) for packet in packets]


def drained(tape: Tape) -> bytes:
    found = b""
    while piece := tape.take():
        found += bytes(piece)
        tape.done(len(piece))
    return found


@given(
    steps=st.lists(st.one_of(st.lists(st.integers(0, 60_000), max_size=20), st.none(), st.integers(0, 300_000))),
    pcapng=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_ring_gives_back_what_was_put_in_and_loses_only_what_it_counts(steps: list[Any], pcapng: bool) -> None:
    """Records come out whole and in order, whatever is taken in between: None takes all, a number so many bytes."""
    tape, line, out = Tape(1, 2), Line(pcapng=pcapng), b""
    assert tape.size == LEAST
    for step in steps:
        if isinstance(step, list):
            line.put(tape, step, ports=(0, 1) if pcapng else (0,))
        elif step is None:
            out += drained(tape)
        else:
            piece = tape.take()[:step]
            out += bytes(piece)
            tape.done(len(piece))
    out += drained(tape)
    assert tape.waiting == 0 and line.offered == len(line.put_in) + sum(tape.lost())
    at = 0
    for port, stamp, data in line.put_in:
        if pcapng:
            kind, size, number, high, low, captured, length = struct.unpack_from("<7I", out, at)
            assert (kind, number, high << 32 | low) == (6, port, stamp)
            start = at + 28
        else:
            seconds, part, captured, length = struct.unpack_from("<4I", out, at)
            assert seconds * 10**9 + part == stamp
            start, size = at + 16, 16 + captured
        assert out[start : start + captured] == data and length == len(data) + 4
        at += size
    assert at == len(out)


def test_packets_that_end_where_the_ring_does_are_not_passed_over() -> None:
    tape, line, block = Tape(LEAST, 1), Line(), 1 << 16  # as those of 96 bytes do, which have blocks of 128
    out = 0
    for _ in range(20):
        line.put(tape, [block - 32] * 3)
        out += len(drained(tape))
    assert (out, tape.lost()) == (60 * block, [0])


def test_a_ring_that_nobody_empties_takes_what_it_has_room_for() -> None:
    tape, line = Tape(LEAST, 3), Line()
    line.put(tape, [1000] * 2000, ports=(2,))
    assert tape.lost() == [0, 0, 2000 - len(line.put_in)]
    assert LEAST - 2000 < tape.waiting <= LEAST


class Written:
    """A writer at work, whose ports say what a test says."""

    def __init__(
        self,
        path: str,
        options: CaptureOptions | None = None,
        workers: int = 1,
        ports: int = 1,
        received: Received | None = None,
    ) -> None:
        self.options = options or CaptureOptions()
        self.tapes = [Tape(LEAST, ports, self.options.snaplen) for _ in range(workers)]
        self.ports, self.failed = [(0, 0)] * ports, threading.Event()
        files = CaptureFiles(path, [f"dpdk:port{k}" for k in range(ports)], self.options)
        self.writer = TapeWriter(self.tapes, files, received or (lambda: self.ports), self.failed.set)

    def settle(self) -> None:
        while any(tape.waiting for tape in self.tapes) and not self.failed.is_set():
            time.sleep(0.001)


@pytest.mark.parametrize("compress", ["none", "zstd", "gzip"])
def test_files_of_a_directory_begin_anew_by_size_and_hold_all_packets(tmp_path: Path, compress: Any) -> None:
    to = Written(f"{tmp_path}/out/", CaptureOptions(size=1 << 17, compress=compress), workers=2, ports=2)
    lines = [Line(), Line()]
    with to.writer:
        for k in range(120):
            for line, tape in zip(lines, to.tapes, strict=True):
                line.put(tape, [60 + k, 1500, 9000], ports=(k % 2,))
            to.settle()
    files = to.writer.files.closed
    assert len(files) > 5 and sorted(files) == files == sorted((tmp_path / "out").iterdir())
    sizes = [size_of(path) for path in files]
    assert max(sizes) <= 1 << 17 and min(sizes[:-1]) > (1 << 17) - 12_000
    found = as_put(packets_of(files))
    assert sorted(found) == sorted(line.put_in[k] for line in lines for k in range(len(line.put_in)))
    assert len(found) == 2 * 360 and to.writer.kept == (720, sum(len(data) + 4 for *_, data in found))


def test_a_packet_larger_than_files_may_be_has_one_of_its_own(tmp_path: Path) -> None:
    to, line = Written(f"{tmp_path}/", CaptureOptions(size=1 << 16)), Line()
    with to.writer:
        line.put(to.tapes[0], [100, 200_000, 100])
    assert as_put(packets_of(to.writer.files.closed)) == line.put_in and len(to.writer.files.closed) == 3


def test_only_the_last_files_are_kept_where_that_is_wished(tmp_path: Path) -> None:
    to, line = Written(f"{tmp_path}/", CaptureOptions(size=1 << 16, files=3)), Line()
    with to.writer:
        for _ in range(30):
            line.put(to.tapes[0], [9000] * 4)
            to.settle()
    assert sorted(tmp_path.iterdir()) == to.writer.files.closed and len(to.writer.files.closed) == 3
    found = as_put(packets_of(to.writer.files.closed))
    assert found == line.put_in[-len(found) :]


def test_a_file_begins_anew_by_the_clock(tmp_path: Path) -> None:
    to, line = Written(f"{tmp_path}/", CaptureOptions(seconds=0.2)), Line()
    with to.writer:
        while len(list(tmp_path.iterdir())) < 3:
            line.put(to.tapes[0], [100])
            time.sleep(0.01)
    assert as_put(packets_of(to.writer.files.closed)) == line.put_in


def test_packets_are_cut_and_their_length_is_told(tmp_path: Path) -> None:
    to, line = Written(f"{tmp_path}/out.pcapng", CaptureOptions(snaplen=64)), Line()
    with to.writer:
        line.put(to.tapes[0], [40, 64, 65, 9000])
    found = packets_of([tmp_path / "out.pcapng"])
    assert [(len(p.data), p.length) for p in found] == [(40, 44), (64, 68), (64, 69), (64, 9004)]
    assert [bytes(p.data) for p in found] == [data[:64] for *_, data in line.put_in]


def statistics(path: Path) -> list[tuple[int, dict[int, int]]]:
    """Statistics blocks of a file in its order, with packets before them counted, as tshark does not tell them."""
    data, at, packets, found = path.read_bytes(), 0, 0, []
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        packets += kind == 6
        if kind == 5:
            options, place = {}, at + 20
            while (code := struct.unpack_from("<H", data, place)[0]) != 0:
                options[code] = int.from_bytes(data[place + 4 : place + 12], "little")
                place += 12
            found.append((packets, options))
        at += size
    return found


def test_what_was_missed_is_told_where_it_was_and_at_the_end(tmp_path: Path) -> None:
    to, line = Written(f"{tmp_path}/out.pcapng", CaptureOptions(filter="udp")), Line()
    with to.writer:
        line.put(to.tapes[0], [100] * 5)
        to.ports = [(9, 0)]
        to.settle()
        before = (tmp_path / "out.pcapng").stat().st_size
        to.ports = [(9, 4)]
        while (tmp_path / "out.pcapng").stat().st_size == before:
            time.sleep(0.001)
        line.put(to.tapes[0], [100] * 5)
        to.settle()
        to.ports = [(19, 4)]
        lost = 0
        while not lost:  # the writer cannot look, so the ring fills
            line.put(to.tapes[0], [60_000] * 40)
            lost = sum(to.tapes[0].lost())
        to.settle()
    (first, noted), *_, (last, told) = statistics(tmp_path / "out.pcapng")
    assert (first, noted[4], noted[5]) == (5, 13, 4), "isb_ifrecv counts what was missed, too"
    assert last == len(line.put_in) and told[8] == len(line.put_in) and told[7] == sum(to.tapes[0].lost())
    assert (told[4], told[5], told[6]) == (23, 4, told[7] + told[8])
    assert as_put(packets_of([tmp_path / "out.pcapng"])) == line.put_in


@pytest.mark.skipif(not shutil.which("capinfos"), reason="capinfos is not installed")
def test_wireshark_reads_the_statistics(tmp_path: Path) -> None:
    to, line = Written(f"{tmp_path}/out.pcapng", CaptureOptions(filter="udp")), Line()
    with to.writer:
        line.put(to.tapes[0], [100] * 5)
        to.settle()
        to.ports = [(9, 4)]
    shown = subprocess.run(["capinfos", "-M", str(tmp_path / "out.pcapng")], capture_output=True, text=True).stdout
    assert re.search(r"Number of stat entries = \d", shown) and "Filter string = udp" in shown, shown
    assert "Name = dpdk:port0" in shown and re.search(r"Number of packets:\s+5\n", shown), shown


def test_statistics_of_files_add_up(tmp_path: Path) -> None:
    to, line = Written(f"{tmp_path}/", CaptureOptions(size=1 << 16)), Line()
    with to.writer:
        for k in range(50):
            line.put(to.tapes[0], [2000] * 5)
            to.settle()
            to.ports = [(5 * k + 5, k)]
    ends = [statistics(path)[-1][1] for path in to.writer.files.closed]
    assert len(ends) > 3
    assert [sum(each[code] for each in ends) for code in (4, 5, 7, 8)] == [250 + 49, 49, 0, 250]


def test_what_comes_while_a_file_begins_anew_is_told_once(tmp_path: Path) -> None:
    looks = []

    def received() -> list[tuple[int, int]]:
        looks.append(1)
        return [(len(looks), 0)]

    to, line = Written(f"{tmp_path}/", CaptureOptions(size=1 << 16), received=received), Line()
    with to.writer:
        for _ in range(20):
            line.put(to.tapes[0], [9000] * 2)
            to.settle()
    ends = [statistics(path)[-1][1] for path in to.writer.files.closed]
    assert len(ends) > 3
    assert sum(each[4] for each in ends) == len(looks)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for a few packets."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
@pytest.mark.parametrize(("compress", "suffix"), [("none", ""), ("zstd", ".zst"), ("gzip", ".gz")])
def test_a_full_disk_ends_the_capture_with_whole_packets(
    full: Path, compress: Any, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture_files, "FLUSHED", 0.005)
    path = full / f"out.pcapng{suffix}"
    to, line = Written(str(path), CaptureOptions(compress=compress)), Line(noise=True)
    with pytest.raises(BurstlineError, match=r"cannot write .*out.pcapng.*: No space left on device"), to.writer:
        while not to.failed.wait(0.001):
            line.put(to.tapes[0], [3000] * 3)
    found: list[CapturedPacket] = []
    with suppress(CaptureError), open_capture(path) as stream:  # what is compressed has no end
        for packet in read_capture(stream, path.name):
            found.append(packet)
    assert as_put(found) == line.put_in[: len(found)] and to.writer.kept[0] == len(found)
    assert len(found) > (20 if compress == "none" else 0)  # of what is compressed, what was flushed


def test_standard_output_that_goes_on_behind_other_bytes_is_cut_back_to_those(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "all").write_bytes(b"before" * 1000)
    write, given = os.write, 0

    def short(fd: int, data: bytes) -> int:
        nonlocal given
        if fd != files._fd or (given := given + len(data)) < 1000:
            return write(fd, data)
        raise OSError(28, "No space left on device")

    files = CaptureFiles("-", ["a"])
    fd = os.open(tmp_path / "all", os.O_WRONLY | os.O_APPEND)
    saved = os.dup(1)
    try:
        os.dup2(fd, 1)
        monkeypatch.setattr(os, "write", short)
        with pytest.raises(BurstlineError, match="No space left"):
            files.open()
            for _ in range(100):
                files.write(bytes(100))
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(fd)
    assert (tmp_path / "all").read_bytes()[:6000] == b"before" * 1000


def test_whatever_keeps_the_writer_from_writing_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to, line = Written(f"{tmp_path}/out.pcapng"), Line()
    monkeypatch.setattr(to.writer, "_some", lambda tape: 1 // 0)
    with pytest.raises(ZeroDivisionError), to.writer:
        line.put(to.tapes[0], [100])
        assert to.failed.wait(20)


def test_a_directory_that_cannot_be_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(BurstlineError, match=r"cannot write .*: (Not a directory|File exists)"),
        Written(f"{tmp_path}/file/").writer,
    ):
        pass
    with pytest.raises(BurstlineError, match="written to a directory"):
        CaptureFiles(f"{tmp_path}/out.pcapng", ["a"], CaptureOptions(size=1 << 20))
