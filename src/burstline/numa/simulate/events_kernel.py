"""The compiled events: packets come, wait at their worker's queue behind those before, and are handled one by one.

A queue is served in order by one worker, so when a packet comes it is known when it will be handled (Lindley's
recursion, "The theory of queues with a single server", 1952): one step for each packet, and no list of events.
"""

from __future__ import annotations

from typing import Any

from burstline.native.memory import leading_zeros, load32, load64, shift_right, store64
from burstline.native.struct_type import reference
from burstline.numa.simulate.events import SimulatedWorker, Value

WORKER_SIZE = SimulatedWorker.layout.size
PARTS = 16  # as events.py has it
value_at, worker_at = reference(Value), reference(SimulatedWorker)


def draw(c: Any) -> int:
    """64 random bits (Marsaglia, "Xorshift RNGs", 2003)."""
    x: int = c.random
    x ^= x << 13
    x ^= shift_right(x, 7)
    x ^= x << 17
    c.random = x
    return x


def next_packet(c: Any) -> int:
    """When the next packet comes, and of which flow."""
    if c.replay != 0:
        if c.replay_at >= c.replay_count:
            c.next = 1e300
            return 0
        c.next = value_at(c.replay + 8 * c.replay_at).value
        c.flow = load32(c.replayed + 4 * c.replay_at)
        c.replay_at += 1
        return 0
    bits = draw(c)
    if (bits & 0xFFFF) < c.goes_on:
        c.next += c.spacing
        return 0
    c.next += c.gap * value_at(c.gaps + 8 * (shift_right(bits, 16) & c.last_gap)).value
    c.flow = load32(c.slots + 4 * (shift_right(bits, 40) & c.last_slot))
    return 0


def note_wait(c: Any, waited: float) -> int:
    ns = int(waited)
    bin = ns
    if ns >= PARTS:
        exponent = 63 - leading_zeros(ns)
        bin = (exponent - 3) * PARTS + (shift_right(ns, exponent - 4) & (PARTS - 1))
    store64(c.waits + 8 * bin, load64(c.waits + 8 * bin) + 1)
    return 0


def deliver(c: Any, flow: int, came: float, now: float) -> int:
    """A packet that came at `came` is put into its worker's queue `now`."""
    number = load64(c.where + 8 * flow)
    worker = worker_at(c.workers + number * WORKER_SIZE)
    departures = c.departures + 8 * number * c.depth
    while worker.gone < worker.accepted:
        if value_at(departures + 8 * (worker.gone & (c.depth - 1))).value > now:
            break
        worker.gone += 1
    waiting = worker.accepted - worker.gone
    if waiting >= c.depth:
        worker.dropped += 1
        return 0
    start = worker.free
    if start <= now:
        worker.empty += (now - start) / c.poll
        start = now
    cold = value_at(c.cold + 8 * flow)
    work = value_at(c.service + 8 * (number * c.columns + load64(c.homes + 8 * flow))).value
    chance = (shift_right(draw(c), 11) & 0xFFFFF) / 524288.0 - 1.0
    part = 1.0 / min(c.burst, waiting + 1)
    work = work * (1.0 + c.jitter * chance) + c.overhead * part + cold.value
    worker.bursts += part
    cold.value = 0.0
    worker.free = start + work
    value_at(departures + 8 * (worker.accepted & (c.depth - 1))).value = worker.free
    worker.accepted += 1
    worker.busy += work
    worker.waited += start - came
    store64(c.counts + 8 * flow, load64(c.counts + 8 * flow) + 1)
    note_wait(c, start - came)
    return 0


def release(c: Any) -> int:
    """What was held goes to its new worker, in the order in which it came."""
    for k in range(c.held):
        deliver(c, load64(c.held_flows + 8 * k), value_at(c.held_times + 8 * k).value, c.held_until)
    c.held = 0
    return 0


def run(c: Any) -> int:
    """All packets until `until`; returns how many."""
    packets = 0
    while c.next < c.until:
        now, flow = c.next, c.flow
        if c.held > 0 and now >= c.held_until:
            release(c)
        if load64(c.moving + 8 * flow) != 0 and now < c.held_until:
            if c.held < c.held_most:
                value_at(c.held_times + 8 * c.held).value = now
                store64(c.held_flows + 8 * c.held, flow)
                c.held += 1
                c.held_count += 1
            else:
                c.held_lost += 1
        else:
            deliver(c, flow, now, now)
        packets += 1
        next_packet(c)
    if c.held > 0 and c.until >= c.held_until:
        release(c)
    c.time = c.until
    return packets
