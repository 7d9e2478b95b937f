"""A worker's memory: what its compiled loop is told, and what it counts."""

from __future__ import annotations

from burstline.native.fieldtypes import i64, shared
from burstline.native.struct import Struct

# Why a compiled loop came back.
FINISHED, PAUSED, DRAIN_DIGESTS, SWAPPED = range(4)
ENDED = -1  # `running` of a worker that is through

# Drop reasons of the engine's own come first; number 0 stands for "dropped by the stage that said so".
ENGINE_REASONS = ("", "no such port", "send failed", "no buffer", "bad checksum", "writer full")
NO_SUCH_PORT, SEND_FAILED, NO_BUFFER, BAD_CHECKSUM, WRITER_FULL = 1, 2, 3, 4, 5
SINK_FAILED = "sink failed"  # found out at the end of a run only
TALLY = 16  # bytes a drop reason takes: packets, bytes
PORTS = 64  # ports that a pipeline can send to
SLACK = 64  # room in a port's burst: the prefetch looks a little past the last packet


def most_made(burst: int) -> int:
    """Packets that stages can make of a burst of so many from a port."""
    return burst + SLACK - 1


class Entry(Struct):
    """The way into a version of a pipeline's code, as it is linked for one worker. Drop reasons have numbers of their
    own in each version, and so it has tallies of its own."""

    function: i64  # address of the loop
    tallies: i64  # address of packets and bytes by drop reason
    snapshot: i64  # address of the version's Snapshot, or 0


class Snapshot(Struct):
    """Where a worker copies its counts to while it runs by one version, for other processes to read (stats_layout)."""

    area: i64  # address in shared memory
    size: i64  # bytes of one copy there; there are two
    taken: i64  # how many copies it has made
    tallies: i64  # addresses of what is copied behind the worker's own counts, and cache lines there
    tally_lines: i64
    counters: i64
    counter_lines: i64
    look_every: i64  # rounds of the loop
    every: i64  # ns
    next: i64  # when the next copy is due, by CLOCK_MONOTONIC


class Worker(Struct):
    """Written by one worker only, but for `code`; everybody may read the counts while it runs."""

    code: shared  # address of the Entry to run by
    # In one line: what it touches for each packet.
    tallies: i64  # the entry's, while it runs
    packets_out: i64
    bytes_out: i64
    consumed: i64
    bytes_consumed: i64
    has_sink: i64
    running: i64  # the Entry that it runs by: it goes over to `code` between two bursts
    stop: i64  # address of the engine's stop flag
    # In the next one: what it touches for each burst, or never.
    packets_in: i64
    bytes_in: i64
    burst: i64  # address of its burst
    index: i64
    workers: i64
    rounds: i64  # so many more rounds of the loop, and it calls `look`; 0 or less: never
    look: i64  # address of stats_kernel.look
    snapshot: i64  # the entry's, while it runs
    # In the first half of the one after it: what it touches where stages make packets.
    made: i64
    bytes_made: i64
    stock: i64  # over a file: address of its stock of buffers, or 0
    making: i64  # on ports: address of its Made


class FileWorker(Worker):
    """A worker over a capture file. It reads every `workers`-th chunk and runs the stages over its flows of each."""

    capture: i64
    sink: i64
    chunks: i64  # address of all workers' chunks; `slots` of each
    slots: i64
    budget: i64  # chunks to consume before coming back
    next_read: i64  # number of the chunk that it reads next
    next_run: i64  # of the chunk that it processes next
    next_packet: i64  # the first of its packets there that it has not processed
    next_write: i64  # of its own chunk that it writes next


class PortQueue(Struct):
    """A queue that a worker polls and sends on."""

    port: i64  # DPDK's number of the port
    queue: i64
    receives: i64  # whether it is a source, not only a sink
    pools: i64  # address of the pools that its packets in several buffers are gathered into: Pools.table
    twins: i64  # address of its Twins (offload/twins.py) where software does work for the port, or 0
    stamps: i64  # StampLine.address (offload/stamps.py) where the port stamps packets, or 0
    unstamped: i64  # packets that it should have stamped, and has not


QUEUE_SIZE = 64  # bytes from one PortQueue to the next
assert PortQueue.layout.size <= QUEUE_SIZE


class PortWorker(Worker):
    """A worker over DPDK ports. Pipelines number ports as the command line names them."""

    # In its other half: what it touches for each burst.
    queues: i64  # address of its PortQueues, one for each port
    poll: i64  # 1: never sleep
    idle: i64  # polls without a packet since the last one
    budget: i64  # bursts to process before coming back
    # In one line: what it touches for each packet where not all go one way.
    ports: i64
    out: i64  # number of the port that packets go to by default, or -1
    most: i64  # packets of the largest burst
    tape: i64  # address of its TapeHead (ports/tape.py), where packets are written, or 0
    samples: i64  # address of its DropRing, while somebody looks at what is dropped
    outbound: i64  # address of room for mbufs, `most` for each port, by port
    counts: i64  # address of how many there are, by port
    unwanted: i64  # address of room for mbufs to free
    # Behind it: what it touches for each burst, too, or now and then.
    clock_start: i64  # time-stamp counter and nanoseconds since the epoch at one moment
    clock_ns: i64
    clock_scale: i64  # nanoseconds in 2**32 counts
    polls: i64
    useful_polls: i64
    batch: i64  # packets to ask for at once; at most `most`
    adapts: i64  # 1: `batch` goes with the load
    bursts: i64  # since that was last decided, and packets in them
    filled: i64
    prefetch: i64  # packets ahead that flow tables fetch entries
    costs: i64  # address of what its phases took (burst_costs), where that is counted
    receive: i64  # addresses of the code for ports with Twins
    transmit: i64
    moves: i64  # address of its Mover (moves/phases.py), or 0 where ports do not tell how they hash
    watch: i64  # address of its TrafficWatch, where the steering controller looks on
