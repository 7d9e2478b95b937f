"""The file in shared memory by which a run tells its counts: what lies where, in 64-bit words of this machine.

A head, then pieces that the directory names. The directory is JSON: who runs what, the versions of the pipeline that
run, and for each version its drop reasons, its counters, and each worker's area. An area has room for two snapshots: a
worker writes them in turn and says how many it has written, so one of them is always whole, also when the worker is
stopped in the middle of the other. That is a latch of the Linux kernel (seqcount_latch_t, Documentation/locking/
seqlock.rst). The directory changes in the same way: `DIRECTORY` has two places.

    head        magic, layout, generation of the directory, whether the run is over; directories' offsets and lengths
    area        the number of snapshots, in a line of its own; snapshots 0, 2, 4 ...; snapshots 1, 3, 5 ...
    snapshot    a line of the worker's counts; packets and bytes by drop reason; counters; each from a new line on
"""

from __future__ import annotations

MAGIC, LAYOUT = b"burstats", 2
HEAD_SIZE = 4096
LAYOUT_AT, GENERATION_AT, ENDED_AT = 8, 16, 24
DIRECTORY_AT = (64, 128)  # offset and length: the directory of an even generation, and of an odd one
LINE = 64
# A snapshot's first line. The clock is CLOCK_MONOTONIC in nanoseconds.
COUNTS = ("clock", "packets_in", "bytes_in", "packets_out", "bytes_out", "consumed", "bytes_consumed", "made")
APART = 128  # areas of two workers share no pair of cache lines
SUFFIX = ".stats"
SOCKET = ".sock"  # beside it, where the run answers questions (burstline/view)


def lines(words: int) -> int:
    """Cache lines for so many words."""
    return -(-8 * words // LINE)


def snapshot_size(reasons: int, counters: int) -> int:
    return LINE * (1 + lines(2 * reasons) + lines(counters))


def area_size(reasons: int, counters: int) -> int:
    return -(-(LINE + 2 * snapshot_size(reasons, counters)) // APART) * APART
