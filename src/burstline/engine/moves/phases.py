"""The phases of a move, which all workers go through together, and what they say of how far they are.

A move is the way from one table of rules to another, in phases that the control thread sets; a phase begins when all
workers are ready for it:

    ANNOUNCED   packets of flows that move are handled where they were, and held where they go
    CHANGED     the ports steer by the new rules; what they sent by the old ones is handled where it went
    EXPORTING   records go where their flows go, and so do packets that come late
    RELEASED    what was held is handled; packets that come late are still passed on
    CLOSING     nobody passes anything on any more

So at each moment one worker has a flow's record, and only it handles the flow's packets. It is what RSS++ (CoNEXT 2019)
does for the buckets of its tables, here for rules, too: a worker asks both tables for each packet.
"""

from __future__ import annotations

from burstline.native.fieldtypes import i64, shared
from burstline.native.struct import Struct

IDLE, ANNOUNCED, CHANGED, EXPORTING, RELEASED, CLOSING = range(6)
PHASE_BITS = 3
PHASE_MASK = (1 << PHASE_BITS) - 1
FRAME = 128  # bytes of room for a packet that stands for a flow
HELD = 2048  # packets that a worker can hold; then it takes no more from its ports


class Mover(Struct):
    """A worker's own, but for `seen` to `waiting`, which the control thread reads."""

    seen: shared  # the phase, with the number of the move, that it is in
    drained: i64  # the phase in which it has had all packets that ports sent by the old rules
    exported: i64  # the phase in which all its records have gone
    waiting: i64  # packets that it holds
    held_count: i64  # packets that it has held, all in all
    passed_on: i64  # and passed on to others
    phase: i64  # address of the word that says the phase
    moving: i64  # address of its Moving
    held: i64  # address of the room for held packets: addresses of mbufs, and their ports in the lower bits
    first: i64  # of those, counted since the start
    port: i64  # of the packets that were taken last
    depths: i64  # address: how many packets may wait at each port
    left: i64  # address: how many of them may be left
    rounds: i64  # since the link from which worker's side packets are taken next
