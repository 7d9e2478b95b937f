"""The memory that the compiled events work on: what the simulation's Python and its kernel share."""

from __future__ import annotations

from burstline.native.fieldtypes import f64, i64
from burstline.native.struct import Struct

GAPS = 1 << 14  # quantiles of the exponential distribution
SLOTS = 1 << 17  # of which each flow has as many as its share of all packets
BURST = 32  # packets that a poll takes at most
BINS, PARTS = 64 * 16, 16  # of the histogram of waits: so many for each doubling


class Value(Struct):
    value: f64


class SimulatedWorker(Struct):
    """Counts since the start; times are ns."""

    free: f64  # when it will have handled what waits
    busy: f64  # ns of work that came to it
    waited: f64  # ns that its packets waited
    bursts: f64  # polls that found packets
    empty: f64  # polls that found none
    accepted: i64
    gone: i64  # of those, how many had left when the last packet came
    dropped: i64  # for want of room


class Events(Struct):
    """All times are ns. Addresses of arrays by flow: `where` (worker), `homes` (column of `service`), `cold` (ns more
    for the next packet), `counts` (packets accepted) and `moving` (1: held until `held_until`)."""

    time: f64
    until: f64
    gap: f64  # between trains, on average; 0: nothing comes
    spacing: f64  # between packets of a train
    goes_on: i64  # of 65536: the chance that a train has another packet
    next: f64  # when the next packet comes
    flow: i64  # which it is of
    random: i64
    gaps: i64  # address of GAPS float64
    last_gap: i64
    slots: i64  # address of SLOTS int32: flows
    last_slot: i64
    burst: i64  # packets that a poll takes at most
    replay: i64  # of the capture: address of times, float64; 0: packets are drawn
    replayed: i64  # of their flows, int32
    replay_at: i64
    replay_count: i64
    where: i64
    homes: i64
    cold: i64
    counts: i64
    moving: i64
    workers: i64  # address of SimulatedWorker
    service: i64  # address of ns by worker and home, float64
    columns: i64  # homes
    overhead: f64  # ns of a poll that finds packets, shared by those
    poll: f64  # ns of one that finds none
    jitter: f64  # the largest share by which service times differ
    depth: i64  # descriptors of a queue
    departures: i64  # address of times, by worker and place
    held_until: f64
    held: i64  # packets that wait for a move
    held_most: i64
    held_times: i64  # address: when they came
    held_flows: i64
    held_count: i64  # all in all
    held_lost: i64
    waits: i64  # address of BINS counts
