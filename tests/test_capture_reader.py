"""The capture reader: exact times and bytes from all forms of pcap and pcapng, one clear error where a file breaks."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstline.errors import BurstlineError
from burstline.ports import capture_format as form
from burstline.ports.capture_format import Fault
from burstline.ports.capture_reader import CapturedPacket, read_capture
from capture_files import (
    FAULTS,
    HEAD,
    PIECES,
    block,
    enhanced,
    interface,
    option,
    pcap_header,
    read_until_fault,
    record,
    section,
    simple,
    tsresol,
)

SECOND = 1_000_000_000


def read(data: bytes) -> list[CapturedPacket]:
    return list(read_capture(io.BytesIO(data), "test.pcap"))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("magic", "unit"), [(form.PCAP_MAGIC_US, 1000), (form.PCAP_MAGIC_NS, 1)])
def test_pcap_in_both_byte_orders_and_both_units(order: str, magic: int, unit: int) -> None:
    data = pcap_header(order, magic, form.LINKTYPE_LINUX_SLL)
    data += record(order, 1_700_000_000, 999_999, b"abc", 1514) + record(order, 0xFFFFFFFF, 0, b"")
    assert read(data) == [
        CapturedPacket(bytearray(b"abc"), 1514, 1_700_000_000 * SECOND + 999_999 * unit, 0, form.LINKTYPE_LINUX_SLL),
        CapturedPacket(bytearray(), 0, 0xFFFFFFFF * SECOND, 0, form.LINKTYPE_LINUX_SLL),
    ]


def test_a_link_type_may_carry_bits_about_the_frame_check_sequence() -> None:
    assert read(pcap_header("<", linktype=0x5400_0001) + record("<", 1, 2, b"x"))[0].linktype == form.LINKTYPE_ETHERNET


@pytest.mark.parametrize("order", "<>")
def test_pcapng_with_two_interfaces_of_their_own_link_type_and_resolution(order: str) -> None:
    data = section(order) + interface(order, form.LINKTYPE_RAW) + interface(order, 1, 0, tsresol(order, 9))
    data += enhanced(order, 1, 1_700_000_000_123_456_789, b"eth", 60, option(order, 1, b"a comment"))
    data += block(order, 0x0BAD, b"a block that nobody knows") + enhanced(order, 0, 1_700_000_000_123_456, b"raw!")
    assert read(data) == [
        CapturedPacket(bytearray(b"eth"), 60, 1_700_000_000_123_456_789, 1, form.LINKTYPE_ETHERNET),
        CapturedPacket(bytearray(b"raw!"), 4, 1_700_000_000_123_456_000, 0, form.LINKTYPE_RAW),
    ]


def test_each_section_has_its_own_byte_order_and_interfaces_are_counted_on() -> None:
    data = section("<") + interface("<", 1) + interface("<", 1) + enhanced("<", 1, 5, b"a")
    data += section(">") + interface(">", 101) + enhanced(">", 0, 6, b"b")
    assert [(p.time, p.interface, p.linktype) for p in read(data)] == [(5000, 1, 1), (6000, 2, 101)]


@given(st.sampled_from("<>"), st.integers(0, 255), st.integers(0, (1 << 64) - 1), st.integers(-(1 << 33), 1 << 33))
def test_times_are_exact_at_any_resolution_and_rounded_down(order: str, resolution: int, stamp: int, add: int) -> None:
    options = option(order, 2, b"an odd name") + option(order, form.IF_TSRESOL, bytes([resolution]))
    options += option(order, form.IF_TSOFFSET, struct.pack(order + "q", add)) + option(order, form.OPTION_END, b"")
    data = section(order) + interface(order, options=options) + enhanced(order, 0, stamp, b"")
    power = resolution & 127
    per_second = 2**power if resolution & 128 else 10**power
    exact = (stamp * SECOND) // per_second + add * SECOND
    assert read(data)[0].time == struct.unpack("<q", struct.pack("<Q", exact % (1 << 64)))[0]


def test_simple_packets_have_no_time_and_are_cut_at_the_snaplen() -> None:
    data = section("<") + interface("<", 1, 6) + simple("<", 9, b"123456") + simple("<", 3, b"abc")
    assert read(data) == [CapturedPacket(bytearray(b"123456"), 9, 0), CapturedPacket(bytearray(b"abc"), 3, 0)]
    data = section("<") + interface("<", 1, 0) + simple("<", 9, b"123456789")
    assert read(data)[0].data == b"123456789"


def test_obsolete_packet_blocks_read_like_the_enhanced_ones() -> None:
    body = struct.pack(">HHIIII", 0, 7, 1, 2, 3, 1000) + b"old\0"
    data = section(">") + interface(">") + block(">", form.OBSOLETE_PACKET, body)
    assert read(data) == [CapturedPacket(bytearray(b"old"), 1000, ((1 << 32) + 2) * 1000)]


def test_the_bytes_of_a_packet_can_be_written() -> None:
    packet = read(pcap_header("<") + record("<", 1, 2, b"abc"))[0]
    packet.data[0] = 0
    assert packet.data == b"\0bc"


@pytest.mark.parametrize("name", FAULTS)
def test_garbage_is_named_with_its_place(name: str) -> None:
    data, fault, offset = FAULTS[name]
    packets, error = read_until_fault(data)
    assert packets == []
    assert error is not None
    assert (error.fault, error.offset) == (fault, offset), error
    assert error.message.startswith("test.pcap ")
    assert error.hint
    if fault is not Fault.EMPTY:
        assert error.message.endswith(f", at byte {offset}")


def test_a_packet_of_one_mebibyte_is_still_a_packet() -> None:
    data = bytes(1 << 20)
    assert read(pcap_header("<") + record("<", 0, 0, data))[0].data == data
    assert read(HEAD + enhanced("<", 0, 0, data))[0].data == data


@pytest.mark.parametrize("kind", PIECES)
def test_a_file_cut_at_any_byte_delivers_all_packets_before_the_cut(kind: str) -> None:
    pieces = PIECES[kind]
    data = b"".join(pieces)
    ends = [sum(map(len, pieces[: k + 1])) for k in range(len(pieces))]
    whole = read(data)
    assert len(whole) == 3
    clean = {*ends, 28, ends[1] + 20} if kind == "pcapng" else set(ends)  # between blocks too
    for cut in range(len(data) + 1):
        packets, error = read_until_fault(data[:cut])
        assert packets == whole[: sum(cut >= end for end in ends[1:])]
        assert (error is None) == (cut in clean), cut
        if error:
            header = cut < 24 if kind == "pcap" else cut < 28
            expected = Fault.EMPTY if cut == 0 else Fault.CUT_HEADER if header else Fault.CUT_RECORD
            assert error.fault is expected
            assert error.offset == max((end for end in {0, *clean} if end < cut), default=0)


@given(st.binary(max_size=200), st.sampled_from(["", "pcap", "pcapng", "interface"]), st.integers(0, 200))
def test_random_bytes_end_in_packets_or_one_clear_error(noise: bytes, start: str, at: int) -> None:
    head = {"": b"", "pcap": pcap_header("<"), "pcapng": section("<"), "interface": HEAD + enhanced("<", 0, 0, b"abc")}
    read_until_fault(head[start] + noise)
    whole = bytearray(head["interface"] + PIECES["pcapng"][0])
    whole[at % len(whole) :][: len(noise)] = noise
    whole[at % len(whole)] ^= noise[0] if noise else 1
    read_until_fault(bytes(whole))


class Trickle(io.RawIOBase):
    """A pipe that hands out one byte at a time, and then fails or ends."""

    def __init__(self, data: bytes, error: OSError | None = None) -> None:
        self._data, self._error = io.BytesIO(data), error

    def read(self, size: int = -1) -> bytes:
        piece = self._data.read(min(size, 1))
        if not piece and self._error:
            raise self._error
        return piece


def test_short_reads_and_reads_that_fail_are_taken_as_they_come() -> None:
    data = HEAD + enhanced("<", 0, 1, b"abc")
    assert [bytes(p.data) for p in read_capture(Trickle(data), "pipe")] == [b"abc"]  # type: ignore[arg-type]
    packets = read_capture(Trickle(data, OSError(5, "Input/output error")), "disk")  # type: ignore[arg-type]
    assert next(packets).data == b"abc"
    with pytest.raises(BurstlineError, match="cannot read disk: Input/output error"):
        next(packets)
