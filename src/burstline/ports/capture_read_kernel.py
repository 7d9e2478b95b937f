"""How the bytes of a capture come into a chunk's buffer: read, or mapped and prefetched."""

from __future__ import annotations

from burstline.native.memory import (
    external,
    load32,
    load_acquire,
    prefetch,
    store32,
)
from burstline.ports.capture_file import CHUNK, READ_FAILED, Capture, Chunk

pread = external("pread", 4)
read = external("read", 3)
poll = external("poll", 3)
madvise = external("madvise", 3)
errno_location = external("__errno_location", 0)

EINTR = 4
MADV_POPULATE_READ = 22
POLLIN, POLL_MS = 1, 50
LINES_AHEAD, BYTES_AHEAD = 8, 4096  # prefetched for each packet, and how far ahead of it


def stop(capture: Capture, fault: int, offset: int, value: int) -> None:
    if capture.fault == 0:
        capture.fault = fault
        capture.fault_offset = offset
        capture.fault_value = value


def fill(capture: Capture, chunk: Chunk, want: int) -> bool:
    """Read on until the buffer holds `want` bytes; False at the end of the file, or when reading failed."""
    while chunk.have < want:
        if not more(capture, chunk, want - chunk.have):
            return False
    return True


def more(capture: Capture, chunk: Chunk, count: int) -> bool:
    """Up to `count` more bytes, at least one; False when there are none."""
    if capture.map != 0:
        wanted = min(chunk.have + count, capture.size - chunk.base)
        grown = wanted > chunk.have
        chunk.have = max(chunk.have, wanted)
        return grown
    while load_acquire(capture.stop) == 0:
        to = chunk.buffer + chunk.have
        if capture.seekable:
            got = pread(capture.fd, to, count, chunk.base + chunk.have)
        else:
            if not wait_readable(capture, chunk.buffer - 8):
                return False
            got = read(capture.fd, to, count)
        if got >= 0:
            chunk.have += got
            return got > 0
        error = load32(errno_location())
        if error != EINTR:
            stop(capture, READ_FAILED, 0, error)
            return False
    return False


def wait_readable(capture: Capture, pollfd: int) -> bool:
    """Wait for something to read; False when the engine is to stop. `pollfd` has room for poll(2)'s structure."""
    while load_acquire(capture.stop) == 0:
        if readable(capture, pollfd):
            return True
    return False


def readable(capture: Capture, pollfd: int) -> bool:
    """Whether there is something to read, or will be in a moment."""
    store32(pollfd, capture.fd)
    store32(pollfd + 4, POLLIN)
    return poll(pollfd, 1, POLL_MS) & 0xFFFFFFFF == 1


def read_chunk(capture: Capture, chunk: Chunk, number: int) -> None:
    """A regular file's chunk, before its turn has come: only the walk has to wait."""
    chunk.base = number * CHUNK
    if capture.map != 0:
        chunk.buffer = capture.map + chunk.base
    more(capture, chunk, CHUNK)
    if capture.map != 0 and chunk.have > 0:
        # Enter its pages into the page table at once: a fault for each would cost as much as copying them, and nothing
        # is prefetched from a page that is not there.
        madvise(chunk.buffer, chunk.have, MADV_POPULATE_READ)


def pull_in(chunk: Chunk) -> None:
    """A mapped chunk into this core's cache, so that the walk, which others wait for, finds it."""
    for at in range(0, chunk.have, 64):
        prefetch(chunk.buffer + at)


def look_ahead(address: int) -> None:
    """A walk is a chain of cache misses, and the hardware's prefetcher stops at each page: stay ahead of it."""
    for line in range(LINES_AHEAD):
        prefetch(address + BYTES_AHEAD + 64 * line)
