"""Compiled: a worker puts packets on its tape (tape.py), as records of pcapng or pcap."""

from __future__ import annotations

from burstline.native.memory import load64, load_acquire, store64, store_release
from burstline.native.struct_type import reference, struct_address
from burstline.packet.burst import BurstColumns
from burstline.ports import capture_format as form
from burstline.ports.capture_write_kernel import put_enhanced, put_record
from burstline.ports.tape import TapeHead

tape_at = reference(TapeHead)
TAIL = TapeHead.layout.offset("tail")


def reserve(tape: TapeHead, size: int) -> int:
    """Address of `size` bytes in one piece, 0 where there is no room."""
    place = tape.at & (tape.size - 1)
    # What would end with the ring goes to its start, too: else `end` would tell of a lap before.
    left_out = tape.size - place if place + size >= tape.size else 0
    after = tape.at + left_out + size
    if after - tape.known > tape.size:
        tape.known = load_acquire(struct_address(tape) + TAIL)
        if after - tape.known > tape.size:
            return 0
    if left_out > 0:
        tape.end = place
        place = 0
    tape.at = after
    return tape.ring + place


def lose(tape: TapeHead, port: int) -> None:
    at = tape.lost + 8 * port
    store64(at, load64(at) + 1)


def put_pcapng(tape: TapeHead, burst: BurstColumns, i: int) -> bool:
    """NG "Enhanced Packet Block"; whether there was room."""
    captured = min(burst.captured[i], tape.snaplen)
    size = form.BLOCK_MIN + form.ENHANCED_BODY + captured + (-captured & 3)
    block = reserve(tape, size)
    if block == 0:
        lose(tape, burst.port[i])
        return False
    put_enhanced(block, size, burst.port[i], burst.time[i], captured, burst.length[i], burst.data[i])
    return True


def put_pcap(tape: TapeHead, burst: BurstColumns, i: int) -> bool:
    """A record of draft-ietf-opsawg-pcap; whether there was room."""
    captured = min(burst.captured[i], tape.snaplen)
    record = reserve(tape, form.PCAP_RECORD + captured)
    if record == 0:
        lose(tape, burst.port[i])
        return False
    put_record(record, burst.time[i], captured, burst.length[i], burst.data[i])
    return True


def tell(tape: TapeHead) -> None:
    """The writer may take what was put in."""
    store_release(struct_address(tape), tape.at)
