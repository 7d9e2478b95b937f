"""The compiled walk over the blocks of a pcapng file (draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

from collections.abc import Callable

from burstline.native.memory import (
    load16,
    load32,
    load64,
    scale,
    swap16,
    swap32,
    unsigned_divide,
)
from burstline.native.struct_type import reference
from burstline.packet.burst import BurstColumns
from burstline.ports import capture_format as form
from burstline.ports.capture_file import INTERFACES, Capture, Chunk, Interface
from burstline.ports.capture_read_kernel import fill, look_ahead, stop
from burstline.ports.link_layer import link_of

interface_at = reference(Interface)

INTERFACE_SIZE = Interface.layout.size
CUT_RECORD, CUT_HEADER, CAPTURED = int(form.Fault.CUT_RECORD), int(form.Fault.CUT_HEADER), int(form.Fault.CAPTURED)
BLOCK_LENGTH, BLOCK_TRAILER = int(form.Fault.BLOCK_LENGTH), int(form.Fault.BLOCK_TRAILER)
BLOCK_SHORT, BYTE_ORDER = int(form.Fault.BLOCK_SHORT), int(form.Fault.BYTE_ORDER)
VERSION, INTERFACE, OPTIONS = int(form.Fault.VERSION), int(form.Fault.INTERFACE), int(form.Fault.OPTIONS)


def word(address: int, swapped: int) -> int:
    return swap32(load32(address)) if swapped else load32(address)


def half(address: int, swapped: int) -> int:
    return swap16(load16(address)) if swapped else load16(address)


def pcapng_walker(shared: bool) -> Callable[[Capture, Chunk, BurstColumns, int, int, int], int]:
    def walk_pcapng(capture: Capture, chunk: Chunk, burst: BurstColumns, at: int, limit: int, number: int) -> int:
        """draft-ietf-opsawg-pcapng: blocks of any kind; those without packets and interfaces are skipped."""
        chunk.packets = 0
        ahead = capture.map != 0 and not shared
        while at < limit:
            size = block_size(capture, chunk, at)
            if size <= 0:
                capture.last = number
                break
            block = chunk.buffer + at
            if ahead:
                look_ahead(block)
            kind = word(block, capture.swapped)
            good = True
            if kind == form.ENHANCED_PACKET or kind == form.OBSOLETE_PACKET or kind == form.SIMPLE_PACKET:
                good = packet_block(capture, chunk, burst, block, size, kind)
            elif kind == form.INTERFACE_DESCRIPTION:
                good = interface_block(capture, chunk, block, size)
            elif kind == form.SECTION_HEADER:
                good = section_block(capture, chunk, block, size)
            if not good:
                capture.last = number
                break
            at += size
        return at

    return walk_pcapng


def block_size(capture: Capture, chunk: Chunk, at: int) -> int:
    """Bytes of the block at `at`, all of them in the buffer; 0 at the end of the file, -1 after a fault."""
    offset = chunk.base + at
    cut = CUT_RECORD if offset else CUT_HEADER
    if not fill(capture, chunk, at + 8):
        if at < chunk.have:
            stop(capture, cut, offset, 0)
        return 0
    block = chunk.buffer + at
    least = 12
    if load32(block) == form.SECTION_HEADER:
        least = 16
        if not fill(capture, chunk, at + 12):
            stop(capture, cut, offset, 0)
            return -1
        magic = load32(block + 8)
        if magic == form.BYTE_ORDER_MAGIC:
            capture.swapped = 0
        elif magic == swap32(form.BYTE_ORDER_MAGIC):
            capture.swapped = 1
        else:
            stop(capture, BYTE_ORDER, offset, swap32(magic))
            return -1
    size = word(block + 4, capture.swapped)
    if size & 3 or size < least or size > form.BLOCK_MAX:
        stop(capture, BLOCK_LENGTH, offset, size)
        return -1
    if not fill(capture, chunk, at + size):
        stop(capture, cut, offset, 0)
        return -1
    trailer = word(block + size - 4, capture.swapped)
    if trailer != size:
        stop(capture, BLOCK_TRAILER, offset, trailer)
        return -1
    return size


def section_block(capture: Capture, chunk: Chunk, block: int, size: int) -> bool:
    offset = chunk.base + block - chunk.buffer
    if size < form.BLOCK_MIN + form.SECTION_BODY:
        stop(capture, BLOCK_SHORT, offset, size)
        return False
    major = half(block + 12, capture.swapped)
    if major != 1:
        stop(capture, VERSION, offset, major)
        return False
    capture.section_first = capture.interface_count
    return True


def interface_block(capture: Capture, chunk: Chunk, block: int, size: int) -> bool:
    """The link type, the snap length, and the options that say what timestamps mean."""
    offset, swapped = chunk.base + block - chunk.buffer, capture.swapped
    if size < form.BLOCK_MIN + form.INTERFACE_BODY:
        stop(capture, BLOCK_SHORT, offset, size)
        return False
    if capture.interface_count >= INTERFACES:
        stop(capture, INTERFACE, offset, capture.interface_count)
        return False
    interface = interface_at(capture.interfaces + capture.interface_count * INTERFACE_SIZE)
    interface.linktype = half(block + 8, swapped)
    interface.snaplen = word(block + 12, swapped)
    resolution, seconds = form.DEFAULT_TSRESOL, 0
    at, end = block + 16, block + size - 4
    while at + 4 <= end:
        code, length = half(at, swapped), half(at + 2, swapped)
        at += 4
        if code == form.OPTION_END:
            break
        if at + length > end or (code == form.IF_TSRESOL and length != 1) or (code == form.IF_TSOFFSET and length != 8):
            stop(capture, OPTIONS, offset, 0)
            return False
        if code == form.IF_TSRESOL:
            resolution = load16(at) & 0xFF
        elif code == form.IF_TSOFFSET:
            seconds = word(at, 1) << 32 | word(at + 4, 1) if swapped else load64(at)
        at += (length + 3) & -4
    interface.offset = seconds * 1_000_000_000
    set_resolution(interface, resolution)
    capture.interface_count += 1
    return True


def set_resolution(interface: Interface, resolution: int) -> None:
    """Units of 10**-n or 2**-n seconds, as exact integer arithmetic on the stamp."""
    interface.factor = interface.divisor = 1
    interface.shift = 0
    n = resolution & 0x7F
    if resolution & 0x80:
        interface.factor = 1_000_000_000
        interface.shift = n
        return
    while n < 9:
        interface.factor *= 10
        n += 1
    while n > 9 and n <= 27:
        interface.divisor *= 10
        n -= 1
    if n > 27:
        interface.factor = 0  # a unit so small that 64 bits of it are less than a nanosecond


def stamp_to_ns(interface: Interface, stamp: int) -> int:
    if interface.divisor != 1:
        return unsigned_divide(stamp, interface.divisor) + interface.offset
    return scale(stamp, interface.factor, interface.shift) + interface.offset


def packet_block(capture: Capture, chunk: Chunk, burst: BurstColumns, block: int, size: int, kind: int) -> bool:
    """Enhanced, simple and obsolete packet blocks."""
    offset, swapped = chunk.base + block - chunk.buffer, capture.swapped
    fixed = form.SIMPLE_BODY if kind == form.SIMPLE_PACKET else form.ENHANCED_BODY
    if size < form.BLOCK_MIN + fixed:
        stop(capture, BLOCK_SHORT, offset, size)
        return False
    which = 0
    if kind == form.ENHANCED_PACKET:
        which = word(block + 8, swapped)
    elif kind == form.OBSOLETE_PACKET:
        which = half(block + 8, swapped)
    if which >= capture.interface_count - capture.section_first:
        stop(capture, INTERFACE, offset, which)
        return False
    number = capture.section_first + which
    interface = interface_at(capture.interfaces + number * INTERFACE_SIZE)
    time = 0
    if kind == form.SIMPLE_PACKET:
        length = word(block + 8, swapped)
        captured = min(length, interface.snaplen) if interface.snaplen else length
    else:
        time = stamp_to_ns(interface, word(block + 12, swapped) << 32 | word(block + 16, swapped))
        captured, length = word(block + 20, swapped), word(block + 24, swapped)
    if captured > form.MAX_CAPTURED:
        stop(capture, CAPTURED, offset, captured)
        return False
    if fixed + captured > size - form.BLOCK_MIN:
        stop(capture, BLOCK_SHORT, offset, size)
        return False
    n = chunk.packets
    burst.data[n] = block + 8 + fixed
    burst.captured[n] = captured
    burst.length[n] = length
    burst.time[n] = time
    burst.port[n] = number
    burst.link[n] = link_of(interface.linktype)
    chunk.packets = n + 1
    return True
