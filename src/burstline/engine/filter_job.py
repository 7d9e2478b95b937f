"""What the loop of `burstline filter` shares with Python."""

from __future__ import annotations

from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct

FINISHED, AGAIN = 0, 1


class FilterJob(Struct):
    """Addresses of the structures that it works with, and its counts."""

    capture: i64
    chunk: i64
    sink: i64
    stop: i64  # address of a flag
    number: i64  # of the next chunk
    budget: i64  # chunks to work on before coming back
    invert: i64
    most: i64  # packets to keep, at most; 0 without a limit
    packets_in: i64
    bytes_in: i64
    packets_out: i64
    bytes_out: i64
