"""The compiled loop over a capture file, for one worker or several that share nothing but the chunks.

A worker reads and parses every `workers`-th chunk. Each flow belongs to one worker, as with symmetric RSS: all workers
go through all chunks in the file's order, and each runs the stages over its own flows' packets. So a flow's packets
meet one worker in their order, and the merged result is that of a single worker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from burstline.engine.made_kernel import made_writer
from burstline.engine.stages_kernel import Buckets, burst_parser, share_out, stage_runner
from burstline.engine.trampoline_kernel import CODE
from burstline.engine.worker import DRAIN_DIGESTS, FINISHED, PAUSED, SWAPPED, FileWorker
from burstline.native.memory import call_address, external, fetch_add, load32, load_acquire, store_release
from burstline.native.struct_type import reference, struct_address
from burstline.packet.burst import BurstColumns
from burstline.packet.machine import Machine
from burstline.packet.made import MADE_STRIDE
from burstline.pipeline.needs import Needs
from burstline.pipeline.verdict import CONSUMED, DROPPED, KIND_MASK
from burstline.ports.capture_file import CHUNK_STRIDE, LIST, VERDICTS, Capture, Chunk
from burstline.ports.capture_read_kernel import readable
from burstline.ports.capture_sink import Sink
from burstline.ports.capture_walk_kernel import filler, prepare, walker
from burstline.ports.capture_write_kernel import write_pcap, write_pcapng

capture_at, chunk_at, sink_at = reference(Capture), reference(Chunk), reference(Sink)
publish_digests = external("burstline_publish_digests", 0)
sched_yield = external("sched_yield", 0)

READY, REMAINING = Chunk.layout.offset("ready"), Chunk.layout.offset("remaining")
TURN, LAST = Capture.layout.offset("turn"), Capture.layout.offset("last")
SWAPS, SWITCH = Capture.layout.offset("swaps"), Capture.layout.offset("switch")
SINK_TURN = Sink.layout.offset("turn")
PATIENCE = 64  # fruitless rounds before the core is offered to others


def chunk_address(worker: FileWorker, number: int) -> int:
    """Chunks belong to workers in turn; each worker uses its few over and over."""
    reader = number % worker.workers
    return worker.chunks + (reader * worker.slots + number // worker.workers % worker.slots) * CHUNK_STRIDE


def is_over(worker: FileWorker, number: int) -> bool:
    """Chunk `number` is for newer code than this.

    Which chunk is the first of these is decided by the worker whose turn it is to read, before it reads it. So every
    chunk is parsed, and run by all workers, by the same code.
    """
    newest = load_acquire(struct_address(worker) + CODE)  # first: who sees new code also sees that no chunk is set yet
    return newest != worker.running and number >= load_acquire(worker.capture + SWITCH)


def chunk_writer(
    sink: str, shared: bool, makes: bool, burst_at: Any
) -> Callable[[FileWorker, Chunk, BurstColumns], None]:
    """Writes what the stages let through, in the file's order, and what they made; `sink` is pcap, pcapng or none."""
    write_packet = write_pcapng if sink == "pcapng" else write_pcap
    write_made = made_writer(burst_at, write_packet)

    def write_chunk(worker: FileWorker, chunk: Chunk, burst: BurstColumns) -> None:
        to = sink_at(worker.sink)
        interfaces = capture_at(worker.capture).interfaces
        for i in range(chunk.packets):
            owner = burst.owner[i] if shared else 0
            kind = load32(chunk.verdicts + owner * VERDICTS + 4 * i) & KIND_MASK
            if kind != DROPPED and kind != CONSUMED:
                write_packet(to, interfaces, burst, i)
            if makes:
                write_made(to, interfaces, chunk.made + owner * MADE_STRIDE, worker.stock, i)
        if to.fault != 0:
            store_release(worker.stop, 1)

    def write_nothing(worker: FileWorker, chunk: Chunk, burst: BurstColumns) -> None:
        return None

    return write_chunk if sink else write_nothing


def file_loop(
    needs: Needs, machine: Machine, burst_at: Any, source: str, sink: str, buckets: Buckets = None
) -> Callable[[FileWorker], int]:
    """The loop for a source of one format (pcap or pcapng) and a sink of one (or none, the empty string)."""
    shared = needs.shared
    is_pcapng = source == "pcapng"
    timed, numbered, linked = needs.time or sink != "", needs.port or sink != "", needs.captured  # filters read both
    read = prepare(is_pcapng, shared)
    walk = walker(is_pcapng, shared, timed=timed, numbered=numbered, linked=linked)
    parse_burst = burst_parser(needs, machine, linked=is_pcapng)
    parse = filler(is_pcapng, parse_burst, timed=timed, numbered=numbered, linked=linked)
    run_stages = stage_runner(needs, sink != "", burst_at, buckets)
    write_chunk = chunk_writer(sink, shared, needs.makes, burst_at)

    def try_read(worker: FileWorker) -> bool:
        """Read, walk and parse the next own chunk, if a slot is free and its turn has come."""
        number = worker.next_read
        capture = capture_at(worker.capture)
        if number > load_acquire(worker.capture + LAST):
            return False
        if number - worker.next_write >= worker.slots * worker.workers:
            return False
        address = chunk_address(worker, number)
        chunk = chunk_at(address)
        if capture.seekable and chunk.have == 0:
            read(capture, chunk, number)
        while load_acquire(worker.capture + TURN) != number:
            sched_yield()
        if load_acquire(worker.stop) == 0:
            if load_acquire(worker.capture + SWAPS) != capture.swaps_seen:
                capture.swaps_seen = load_acquire(worker.capture + SWAPS)
                store_release(worker.capture + SWITCH, number)
            if is_over(worker, number):
                return False  # the turn is kept: the new code takes this chunk
            if not capture.seekable and not readable(capture, chunk.buffer - 8):
                return False
        burst = burst_at(chunk.burst)
        if load_acquire(worker.stop) != 0 and number <= capture.last:
            capture.last = number - 1  # what was read before is still processed, by everybody
        if number <= capture.last:
            walk(capture, chunk, burst, number)
        store_release(worker.capture + TURN, number + 1)
        if number > load_acquire(worker.capture + LAST):
            return False
        parse(capture, chunk, burst)
        if shared:
            share_out(burst, chunk.packets, worker.workers, chunk.lists, LIST)
        store_release(address + REMAINING, worker.workers)
        store_release(address + READY, number + 1)
        worker.next_read = number + worker.workers
        return True

    def try_write(worker: FileWorker) -> bool:
        """Free the oldest own chunk, once every worker is done with it, writing out what is to be kept of it."""
        number = worker.next_write
        if number >= worker.next_read:
            return False
        address = chunk_address(worker, number)
        if load_acquire(address + REMAINING) != 0:
            return False
        chunk = chunk_at(address)
        if worker.has_sink:
            if load_acquire(worker.sink + SINK_TURN) != number:
                return False
            write_chunk(worker, chunk, burst_at(chunk.burst))
            store_release(worker.sink + SINK_TURN, number + 1)
        chunk.have = 0
        chunk.packets = 0
        worker.next_write = number + worker.workers
        return True

    def work_file(worker: FileWorker) -> int:
        idle = 0
        while True:
            worker.rounds -= 1
            if worker.rounds == 0:
                call_address(worker.look, struct_address(worker))
            number = worker.next_run
            if is_over(worker, number):
                return SWAPPED
            address = chunk_address(worker, number)
            if load_acquire(address + READY) == number + 1:
                chunk = chunk_at(address)
                own, verdicts = chunk.lists + worker.index * LIST, chunk.verdicts + worker.index * VERDICTS
                made = chunk.made + worker.index * MADE_STRIDE
                finished = run_stages(worker, burst_at(chunk.burst), chunk.packets, own, verdicts, made)
                publish_digests()
                if not finished:
                    return DRAIN_DIGESTS
                fetch_add(address + REMAINING, -1)
                worker.next_run = number + 1
                worker.budget -= 1
                if worker.budget <= 0:
                    return PAUSED
                idle = 0
                if worker.workers == 1:
                    try_write(worker)
            elif try_write(worker) or try_read(worker):
                idle = 0
            elif number > load_acquire(worker.capture + LAST) and worker.next_write >= worker.next_read:
                return FINISHED
            else:
                idle += 1
                if idle > PATIENCE:
                    sched_yield()

    return work_file
