"""GRO, generic receive offload: segments of a flow become one packet, as LRO of a port would make it.

What is held is found by the hash of its flow: sixteen tags of 32 bits share a cache line and are compared at once; the
place of the tag is the place of the packet. A held packet has one line of what the next one must be, and behind it its
headers, which the next one's are compared with as vectors. The order in which packets began to be held is a queue, so
that nobody looks for what is over its time. `gro_kernel.py` has the functions, `rules.py` says what may merge.
"""

from __future__ import annotations

from dataclasses import dataclass

from burstline.errors import UsageError
from burstline.native.fieldtypes import i64, u8, u16, u32
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct
from burstline.offload.gro import forms
from burstline.offload.headers import VXLAN_PORT
from burstline.offload.mbuf import MOST_SEGMENT
from burstline.state.region import Block, Region

LINE = 64
WAYS = 16  # tags of a line
CHUNK = 16  # packets that are looked at before the first of them is merged: what they touch stays in the L1 cache
SORTED = 32  # bytes for each: its flow's hash, its word (`word.py`), its marks, its tags
HELD = 256  # bytes of a held packet
IMAGE = 64  # where its headers are in them
MARKS, TAGS = IMAGE + forms.LONGEST, IMAGE + forms.LONGEST + 8
RECORD = 16  # bytes of the queue: since when, and which place
FLOWS = 8192
MOST_FLOWS = 1 << 20


class Gro(Struct):
    """One queue's, and so one worker's own."""

    timeout: i64  # ns that a packet is held at most; 0: to the end of the call
    most: i64  # bytes of a merged packet, from its outermost IP header on
    udp: i64  # whether datagrams are merged
    tunnels: i64  # and what is inside VXLAN
    vxlan_port: i64
    sums: i64  # flag of ol_flags: the sum of the payload is kept; 0: it is not
    tags: i64  # addresses
    places: i64
    queue: i64
    forms: i64
    covers: i64  # of bytes that are all ones, and as many zeros behind them
    sorted: i64
    buckets: i64  # their number less one
    records: i64  # of the queue, less one
    first: i64  # its ends, which only grow
    next: i64
    held: i64  # packets
    joined: i64  # packets that became part of another
    merged: i64  # packets made of several
    by_flags: i64  # why packets were let go, merged or not
    by_headers: i64
    by_order: i64
    by_size: i64
    by_time: i64
    by_burst: i64
    by_room: i64
    refused: i64  # packets that were not held because there was no place


class Held(Struct):
    """A packet that waits for the next of its flow. In numbers of the host's order."""

    head: i64  # mbufs: the first, 0 where nothing is held, and the last of its chain
    last: i64
    sequence: u32  # of TCP, that the next one must have
    bytes: u32  # of the whole frame by now
    limit: u32  # that it may come to
    turn: u32  # its number in the queue
    same: u32  # of its word, what the next one's must be too
    common: u32  # sum of what its packets' checksums have in common
    ident: u16  # the IP-ID that the next one must have
    outer_ident: u16
    step: u16  # from one IP-ID to the next: 1, or 0
    outer_step: u16
    segment: u16  # bytes of payload of the first
    count: u16  # packets
    segments: u16  # mbufs
    ends: u8  # flags of TCP that its last packet adds


@dataclass(frozen=True)
class GroCount:
    """What GRO did. `joined` packets became part of `merged` ones; `by_*` say why packets that were held went on,
    merged or not. `refused` ones could not be held, because the table had no place."""

    joined: int
    merged: int
    held: int
    by_flags: int
    by_headers: int
    by_order: int
    by_size: int
    by_time: int
    by_burst: int
    by_room: int
    refused: int

    @property
    def segments(self) -> int:
        """Packets that merged ones were made of."""
        return self.joined + self.merged


gro_kernel = Kernel("burstline.offload.gro.gro_kernel:gro", Gro, int, int, int, int, int)
flush_kernel = Kernel("burstline.offload.gro.gro_kernel:flush", Gro, int, int, int, int)


class Merging:
    """The memory of GRO for one queue: `address` is that of its `Gro`.

    `timeout` in ns is how long a packet waits for more at most; with 0 all goes on at the end of each burst. `most`
    bytes is the largest packet that is made, `flows` how many can be held at once. `sums` is a flag of ol_flags that
    is free: with it, the sums of payloads are kept for GSO. Raises UsageError for sizes that cannot be.
    """

    def __init__(
        self,
        *,
        timeout: int = 0,
        most: int = MOST_SEGMENT,
        flows: int = FLOWS,
        udp: bool = True,
        tunnels: bool = True,
        vxlan_port: int = VXLAN_PORT,
        sums: int = 0,
    ) -> None:
        if timeout < 0:
            raise UsageError("a packet cannot be held for less than no time", "give a timeout of 0 ns or more")
        if not 576 <= most <= MOST_SEGMENT:
            raise UsageError(f"merged packets of {most:,} bytes", f"give 576 to {MOST_SEGMENT:,} bytes")
        if not WAYS <= flows <= MOST_FLOWS or flows & (flows - 1):
            raise UsageError(f"{flows:,} flows", f"give a power of two from {WAYS} to {MOST_FLOWS:,}")
        records = 2 * flows
        self._tags = Region(4 * flows)
        self._places = Region(HELD * flows)
        self._queue = Region(RECORD * records)
        self._sorted = Region(SORTED * CHUNK)
        self._forms = Region(forms.FORM * forms.COUNT)
        self._forms.write(0, forms.table())
        self._covers = Region(2 * forms.ROOM)
        self._covers.write(0, b"\xff" * forms.ROOM)
        self._gro = Block(Gro.layout)
        self._gro.set(
            timeout=timeout, most=most, udp=int(udp), tunnels=int(tunnels), vxlan_port=vxlan_port, sums=sums,
            tags=self._tags.address, places=self._places.address, queue=self._queue.address,
            forms=self._forms.address, covers=self._covers.address, sorted=self._sorted.address,
            buckets=flows // WAYS - 1, records=records - 1,
        )  # fmt: skip
        self.address = self._gro.address

    def merge_up_to(self, most: int) -> None:
        """Bytes of the largest packet that is made from now on; those that are held may come to more."""
        self._gro.set(most=most)

    @property
    def count(self) -> GroCount:
        return GroCount(**{name: self._gro.get(name) for name in GroCount.__dataclass_fields__})
