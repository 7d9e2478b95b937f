"""The capture writer: what it writes reads back equal, here and in scapy and tshark; a full disk is one clear error."""

from __future__ import annotations

import errno
import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.utils import RawPcapReader

from burstline.errors import BurstlineError
from burstline.ports.capture_format import LINKTYPE_ETHERNET, LINKTYPE_LINUX_SLL2, LINKTYPE_RAW
from burstline.ports.capture_reader import CapturedPacket, read_capture
from burstline.ports.capture_writer import CaptureWriter, Format, create_capture, format_for

TIME = 1_700_000_000_123_456_789


def written(packets: list[CapturedPacket], format: Format) -> bytes:
    stream = io.BytesIO()
    with CaptureWriter(stream, format) as writer:
        for packet in packets:
            writer.write(*packet)
    assert writer.packets == len(packets)
    return stream.getvalue()


def read(data: bytes) -> list[CapturedPacket]:
    return list(read_capture(io.BytesIO(data), "written"))


def packets(times: st.SearchStrategy[int], interfaces: int, linktypes: list[int]) -> Any:
    packet = st.builds(
        CapturedPacket,
        st.binary(max_size=70).map(bytearray),
        st.integers(0, (1 << 32) - 1),
        times,
        st.integers(0, interfaces),
        st.sampled_from(linktypes),
    )
    return st.lists(packet, max_size=12)


@given(packets(st.integers(-(1 << 63), (1 << 63) - 1), 3, [LINKTYPE_ETHERNET, LINKTYPE_RAW, LINKTYPE_LINUX_SLL2]))
def test_pcapng_gives_back_every_packet_with_its_link_type(given: list[CapturedPacket]) -> None:
    numbers: dict[tuple[int, int], int] = {}
    for p in given:
        if (p.interface, p.linktype) not in numbers:  # numbers stay, and those before without a packet are described
            for earlier in range(len(numbers), p.interface):
                numbers[earlier, p.linktype] = len(numbers)
            numbers[p.interface, p.linktype] = len(numbers)
    assert read(written(given, "pcapng")) == [p._replace(interface=numbers[p.interface, p.linktype]) for p in given]


@given(packets(st.integers(0, (1 << 32) * 1_000_000_000 - 1), 3, [LINKTYPE_RAW]))
def test_pcap_gives_back_every_packet(given: list[CapturedPacket]) -> None:
    assert read(written(given, "pcap")) == [p._replace(interface=0) for p in given]


def test_pcap_refuses_a_second_link_type_and_keeps_what_it_has() -> None:
    stream = io.BytesIO()
    with (
        pytest.raises(
            BurstlineError, match=r"out.pcap: a pcap file holds one link type.*\n  hint: give the output a name"
        ),
        CaptureWriter(stream, "pcap", "out.pcap") as writer,
    ):
        writer.write(b"first", 5, TIME)
        writer.write(b"raw", 3, TIME, 0, LINKTYPE_RAW)
    assert [bytes(p.data) for p in read(stream.getvalue())] == [b"first"]
    assert writer.packets == 1


@pytest.mark.parametrize("time", [-1, (1 << 32) * 1_000_000_000])
def test_pcap_refuses_times_that_it_cannot_hold(time: int) -> None:
    with pytest.raises(BurstlineError, match="no time outside of the years 1970 to 2106"):
        CaptureWriter(io.BytesIO(), "pcap").write(b"", 0, time)


def test_a_capture_without_packets_is_a_valid_file() -> None:
    assert read(written([], "pcapng")) == []
    assert read(written([], "pcap")) == []


@pytest.mark.parametrize(
    ("name", "format"),
    [("a.pcap", "pcap"), ("A.PCAP", "pcap"), ("a.pcapng", "pcapng"), ("-", "pcapng"), ("dump", "pcapng")],
)
def test_the_names_end_chooses_the_format(name: str, format: str) -> None:
    assert format_for(name) == format


FILES = ["out.pcap", "out.pcapng"]


def forty_frames(path: Path) -> list[bytes]:
    """Written to a file: each longer on the wire by its number, and a nanosecond later."""
    frames = [bytes([2] * 12) + b"\x88\xb5" + bytes(k) for k in range(40)]
    with create_capture(path) as writer:
        for k, frame in enumerate(frames):
            writer.write(memoryview(frame), len(frame) + k, TIME + k)
    return frames


@pytest.mark.parametrize("name", FILES)
def test_scapy_reads_the_same_packets(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    frames = forty_frames(path)
    with RawPcapReader(str(path)) as reader:
        theirs = [(bytes(data), meta.wirelen) for data, meta in reader]
    assert theirs == [(frame, len(frame) + k) for k, frame in enumerate(frames)]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_tshark_reads_the_same_packets(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    frames = forty_frames(path)
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", "-e", "frame.time_epoch", "-e", "frame.len"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    told = [line.split("\t") for line in out.splitlines()]
    assert told == [[f"1700000000.{123456789 + k}", str(len(f) + k)] for k, f in enumerate(frames)]


@pytest.mark.parametrize("name", ["out.pcap", "out.pcapng"])
def test_a_full_disk_is_one_clear_error(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.symlink_to("/dev/full")
    writer = create_capture(path)
    writer.write(b"packet", 6, TIME)
    with pytest.raises(
        BurstlineError, match=rf"cannot write .*{name}: No space left on device; it holds 0 packets"
    ) as e:
        writer.close()
    assert e.value.hint == "free space there, or write to another disk"
    with pytest.raises(BurstlineError, match="No space left"):
        writer.write(b"packet", 6, TIME)
    writer.close()


class SmallDisk(io.BytesIO):
    """A file on a disk with room for `room` bytes, that takes at most 1000 at a time."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def write(self, data: Any) -> int:
        room = min(1000, self._room - self.tell())
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(bytes(data[:room]))


@pytest.mark.parametrize("room", [10, 300_000, 600_001])
def test_after_a_full_disk_the_file_holds_the_whole_packets_that_are_counted(room: int) -> None:
    disk = SmallDisk(room)
    writer = CaptureWriter(disk, "pcapng", "disk")
    with pytest.raises(BurstlineError, match="cannot write disk"):
        for k in range(1000):
            writer.write(bytes(1000), 1000, k)
    writer.close()
    held = read(disk.getvalue()) if disk.getvalue() else []
    assert [p.time for p in held] == list(range(writer.packets))
    assert (writer.packets > 0) == (room > 300_000 - 40_000)


def test_a_file_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        BurstlineError, match=r"cannot write .*out.pcap: No such file or directory\n  hint: is the path"
    ):
        create_capture(tmp_path / "missing" / "out.pcap")


def test_a_stream_of_the_callers_stays_open_and_a_file_is_closed(tmp_path: Path) -> None:
    stream = io.BytesIO()
    CaptureWriter(stream).close()
    assert not stream.closed
    with create_capture(tmp_path / "a.pcap") as writer:
        writer.write(b"x", 1, 2)
    writer.close()
    assert read((tmp_path / "a.pcap").read_bytes())[0].data == b"x"
