"""Packets that stages make: copies of the one that they look at. Where they wait until they leave."""

from __future__ import annotations

from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct

MADE = "burstline_made"  # symbol of a worker's cell that holds the address of the Made of its burst
CLONE = "burstline_clone"  # function (burst, packet, port) -> number of the made packet
EMIT = "burstline_emit"  # function (template, burst, packet, port) -> number of the made packet
ANYWHERE = -1  # the port of a made packet that goes where packets go which come through


class Made(Struct):
    """The packets that one worker made of one burst, as a burst of the same layout: packet `room` of it is the one that
    could not be made, which has no byte and no header. Its columns `verdict` and `early` hold where a packet goes, and
    the number of the one that it was made of."""

    burst: i64  # address; first, since compiled stages read it
    count: i64
    room: i64
    source: i64  # of buffers: a worker's stock, or a table of DPDK's pools
    written: i64  # how many of them are
    missed: i64  # packets that could not be made, and their bytes
    missed_bytes: i64


MADE_STRIDE = 128  # bytes from one to the next: none shares a pair of cache lines
