"""The compiled loop between DPDK ports, for one worker: poll, run the stages, see to what becomes of packets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from burstline.engine.bucket_kernel import enter
from burstline.engine.burst_costs import PHASES
from burstline.engine.burst_size import adapt
from burstline.engine.burst_stage_kernel import burst_stage_runner
from burstline.engine.costs_kernel import add_cost, begin_burst
from burstline.engine.counters_kernel import begin_counts, store_counts
from burstline.engine.flow_prefetch import begin_flows, end_flows, flow_looks
from burstline.engine.made_kernel import begin_made
from burstline.engine.moves.move_kernel import ROUNDS, arrived, has_room, mover_at, worker_moves
from burstline.engine.port_arrival_kernel import burst_taker, now
from burstline.engine.port_departure_kernel import burst_sorter, pass_on, write_mark, write_marks
from burstline.engine.port_made_kernel import made_sender
from burstline.engine.port_queue_kernel import held_back, receive_burst
from burstline.engine.stages_kernel import Buckets, no_buckets, work_ahead
from burstline.engine.traffic_watch_kernel import add_busy, watch_burst
from burstline.engine.trampoline_kernel import CODE
from burstline.engine.worker import FINISHED, PAUSED, SWAPPED, PortWorker
from burstline.native.memory import call_address, cycles, external, load_acquire, prefetch
from burstline.native.struct_type import struct_address
from burstline.packet.burst import BurstColumns
from burstline.packet.burst_type import burst_address
from burstline.packet.machine import Machine
from burstline.pipeline.needs import Needs
from burstline.pipeline.verdict import KIND_BITS, KIND_MASK, NEXT, SENT

publish_digests = external("burstline_publish_digests", 0)
usleep = external("usleep", 1)

RECEIVE, PARSE, STAGES, SEND = range(len(PHASES))
LINE = 64
SUMMED_AHEAD = 3  # packets whose payloads are fetched before checksums of them are computed
DIFFERENT = KIND_MASK  # a kind that no verdict has
POLLS = 64  # without a packet, between two looks for flows that are over their time
PATIENCE = 512  # polls without a packet before an adaptive worker sleeps
NAP, LONG_NAP = 20, 100  # microseconds
LONG_PATIENCE = 5000


def fill_verdicts(burst: BurstColumns, n: int, verdict: int) -> None:
    for i in range(n):
        burst.verdict[i] = verdict


def fetch_payload(burst: BurstColumns, i: int) -> None:
    for at in range(LINE, burst.captured[i], LINE):
        prefetch(burst.data[i] + at)


def wait(worker: PortWorker) -> None:
    """No port had a packet: poll on, or give the core away for a moment when that has been so for long."""
    worker.idle += 1
    if worker.poll == 0 and worker.idle > PATIENCE:
        usleep(LONG_NAP if worker.idle > LONG_PATIENCE else NAP)


def port_loop(
    needs: Needs,
    machine: Machine,
    burst_at: Any,
    sink: str,
    buckets: Buckets = None,
    costs: bool = False,
    moves: bool = False,
    watched: bool = False,
) -> Callable[[PortWorker], int]:
    """`sink` is the format of the file that packets are written to, or empty. With `moves`, flows can move to other
    workers; `watched`: the worker has a TrafficWatch."""
    to_file = sink != ""
    take, sort_out = burst_taker(needs, machine, to_file=to_file), burst_sorter(sink)
    makes, send_made = needs.makes, made_sender(needs, burst_at, sink)
    bucketed, run_buckets = buckets is not None, buckets or no_buckets
    groups, ahead, run_burst_stages = needs.groups, needs.ahead, burst_stage_runner(shared=False)
    flows, timed, looks = needs.flows, needs.time, needs.flows and not bucketed
    look_first, look = flow_looks(shared=False)
    summed, cuts, marked = needs.sums, needs.cuts, needs.marked
    begin_moves, take_moved = worker_moves(flows)

    def run_stages(burst: BurstColumns, n: int, making: int, near: int) -> int:
        """The verdict of all packets, when it is the same for all; else `DIFFERENT`, and each has its own written. What
        they make goes to the Made at `making`; flow tables fetch entries `near` packets ahead."""
        common, differ = 0, False
        if makes:
            begin_made(making)
        begin_counts()
        if flows:
            begin_flows(burst.time[0] if timed else 0, n)
        if ahead:
            work_ahead(burst_address(burst), n, 0)
        if groups:
            run_burst_stages(burst, n, 0)
        if bucketed:
            run_buckets(burst, n)
        if looks:
            look_first(burst, 0, n, 0, near)
        for i in range(n):
            if looks:
                look(burst, i, n, 0, near)
            if summed and i + SUMMED_AHEAD < n:
                fetch_payload(burst, i + SUMMED_AHEAD)
            verdict = burst.verdict[i] if bucketed else enter(burst_address(burst), i)
            if i == 0:
                common = verdict
            if verdict != common and not differ:
                if not bucketed:
                    fill_verdicts(burst, i, common)
                differ = True
            if differ:
                burst.verdict[i] = verdict
        if flows:
            end_flows()
        store_counts()
        return DIFFERENT if differ else common

    def handle(worker: PortWorker, burst: BurstColumns, n: int, number: int) -> None:
        """Run the stages over what came from a port, and see to what becomes of it."""
        came, time = n, cycles() if costs else 0
        if costs:
            begin_burst(n)
        n, total = take(worker, burst, n, number)
        if costs:
            time = add_cost(worker.costs, PARSE, came, time)
        if watched:
            watch_burst(worker.watch, burst, n, now(worker))
        common = run_stages(burst, n, worker.making, worker.prefetch)
        if costs:
            time = add_cost(worker.costs, STAGES, came, time)
        if cuts:
            write_marks(burst, n)
        if marked:
            write_mark(burst, n)
        publish_digests()
        target = common >> KIND_BITS
        if common == NEXT and not to_file:
            pass_on(worker, burst, n, total, worker.out)
        elif common & KIND_MASK == SENT and target < worker.ports and not to_file:
            pass_on(worker, burst, n, total, target)
        else:
            if common != DIFFERENT:
                fill_verdicts(burst, n, common)
            sort_out(worker, burst, n)
        if makes:
            send_made(worker)
        if costs:
            add_cost(worker.costs, SEND, came, time)

    def work_ports(worker: PortWorker) -> int:
        burst = burst_at(worker.burst)
        if worker.clock_start == 0:
            worker.clock_start = cycles()
        code = struct_address(worker) + CODE
        while load_acquire(worker.stop) == 0:
            if load_acquire(code) != worker.running:
                return SWAPPED
            worker.rounds -= 1
            if worker.rounds == 0:
                call_address(worker.look, struct_address(worker))
            found = moving = begin_moves(worker) if moves else 0
            if moves and moving != 0:
                for _ in range(ROUNDS):
                    n = take_moved(worker, burst_address(burst.mbuf))
                    if n == 0:
                        break
                    handle(worker, burst, n, mover_at(worker.moves).port)
            for number in range(worker.ports):
                if moves and moving != 0 and not has_room(worker):
                    break
                time = cycles() if costs or watched else 0
                n = receive_burst(worker, number, burst_address(burst.mbuf))
                if moves and moving != 0:
                    n = arrived(worker, number, burst_address(burst.mbuf), n)
                if n > 0:
                    if costs:
                        add_cost(worker.costs, RECEIVE, n, time)
                    found += n
                    worker.useful_polls += 1
                    if worker.adapts:
                        adapt(worker, n)
                    handle(worker, burst, n, number)
                    if watched:
                        add_busy(worker.watch, time)
            if found == 0:
                if flows and timed and worker.idle % POLLS == POLLS - 1:
                    begin_flows(now(worker), 0)  # what is over its time leaves, though no packet comes
                    end_flows()
                    publish_digests()
                wait(worker)
            else:
                worker.idle = 0
                worker.budget -= 1
                if worker.budget == 0:
                    return PAUSED
        for number in range(worker.ports):
            while True:
                n = held_back(worker, number, burst_address(burst.mbuf))
                if n == 0:
                    break
                handle(worker, burst, n, number)
        return FINISHED

    return work_ports
