"""The compiled loop between DPDK ports, for one worker: receive, parse, run the stages, send or free, count."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from burstline.engine.account_kernel import count_consumed, count_drop, count_drops, count_out
from burstline.engine.bucket_kernel import enter
from burstline.engine.burst_costs import PHASES
from burstline.engine.burst_size import adapt
from burstline.engine.burst_stage_kernel import burst_stage_runner
from burstline.engine.costs_kernel import add_cost, begin_burst
from burstline.engine.counters_kernel import begin_counts, store_counts
from burstline.engine.flow_prefetch import begin_flows, end_flows, flow_looks
from burstline.engine.made_kernel import AS_PASSED, begin_made, count_made_ones, made_at
from burstline.engine.stages_kernel import Buckets, burst_parser, no_buckets, work_ahead
from burstline.engine.trampoline_kernel import CODE
from burstline.engine.worker import (
    BAD_CHECKSUM,
    FINISHED,
    NO_BUFFER,
    NO_SUCH_PORT,
    PAUSED,
    SEND_FAILED,
    SWAPPED,
    PortQueue,
    PortWorker,
)
from burstline.native.memory import (
    call_address,
    call_with_three,
    cycles,
    external,
    load16,
    load32,
    load64,
    load_acquire,
    prefetch,
    scale,
    store64,
    store_release,
)
from burstline.native.struct_type import reference, struct_address
from burstline.offload.mbuf import OL_FLAGS, RX_LRO
from burstline.offload.segments_kernel import cut_into, found_right, partial, segment_size, segments, size_to_fit
from burstline.offload.twins import Twins
from burstline.packet.burst import BurstColumns
from burstline.packet.burst_type import burst_address
from burstline.packet.machine import Machine
from burstline.packet.parser import LINK_ETHERNET
from burstline.pipeline.needs import Needs
from burstline.pipeline.verdict import CONSUMED, DROPPED, KIND_BITS, KIND_MASK, NEXT, SENT
from burstline.ports.capture_sink import Sink
from burstline.ports.capture_write_kernel import write_pcap, write_pcapng

receive = external("bl_dpdk_rx", 4)
transmit = external("bl_dpdk_tx", 4)
free = external("bl_dpdk_free", 2)
gather = external("bl_dpdk_gather", 2)
publish_digests = external("burstline_publish_digests", 0)
usleep = external("usleep", 1)
queue_at, sink_at, twins_at = reference(PortQueue), reference(Sink), reference(Twins)

RECEIVE, PARSE, STAGES, SEND = range(len(PHASES))
QUEUE_SIZE = 64  # bytes from one PortQueue to the next
LINE = 64
SUMMED_AHEAD = 3  # packets whose payloads are fetched before checksums of them are computed
SEND_TRIES = 4  # a port whose ring is full gets this many chances a burst
DIFFERENT = KIND_MASK  # a kind that no verdict has
POLLS = 64  # without a packet, between two looks for flows that are over their time
PATIENCE = 512  # polls without a packet before an adaptive worker sleeps
NAP, LONG_NAP = 20, 100  # microseconds
LONG_PATIENCE = 5000


def receive_burst(worker: PortWorker, number: int, mbufs: int) -> int:
    """How many packets came. Where software checks what the port does not, the bad ones are counted, and gone."""
    queue = queue_at(worker.queues + number * QUEUE_SIZE)
    worker.polls += 1
    if queue.receives == 0:
        return 0
    if queue.twins == 0:
        return receive(queue.port, queue.queue, mbufs, worker.batch)
    n = call_with_three(worker.receive, queue.twins, mbufs, worker.most)
    twins = twins_at(queue.twins)
    if twins.bad:
        worker.packets_in += twins.bad
        worker.bytes_in += twins.bad_bytes
        count_drops(worker, BAD_CHECKSUM, twins.bad, twins.bad_bytes)
    return n


def held_back(worker: PortWorker, number: int, mbufs: int) -> int:
    """At the end of a run: what software still holds back for a port, to merge it with what may follow."""
    queue = queue_at(worker.queues + number * QUEUE_SIZE)
    if queue.receives == 0 or queue.twins == 0:
        return 0
    twins_at(queue.twins).ending = 1
    return receive_burst(worker, number, mbufs)


def send_burst(worker: PortWorker, number: int, mbufs: int, n: int, length: int) -> None:
    """Send packets of so many bytes on a port, and count them; what it does not take is freed."""
    queue = queue_at(worker.queues + number * QUEUE_SIZE)
    failed = call_with_three(worker.transmit, queue.twins, mbufs, n)
    failed_bytes = twins_at(queue.twins).failed_bytes
    queue.sent += n - failed
    worker.packets_out += n - failed
    worker.bytes_out += length - failed_bytes
    if failed:
        count_drops(worker, SEND_FAILED, failed, failed_bytes)


def send_all(worker: PortWorker, number: int, mbufs: int, n: int) -> int:
    """Send on a port; returns how many went. The rest is freed."""
    queue = queue_at(worker.queues + number * QUEUE_SIZE)
    sent = transmit(queue.port, queue.queue, mbufs, n)
    tries = 1
    while sent < n and tries < SEND_TRIES:
        sent += transmit(queue.port, queue.queue, mbufs + sent * 8, n - sent)
        tries += 1
    queue.sent += sent
    if sent < n:
        free(mbufs + sent * 8, n - sent)
    return sent


def now(worker: PortWorker) -> int:
    return worker.clock_ns + scale(cycles() - worker.clock_start, worker.clock_scale, 32)


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
    mbuf_layout: Mapping[str, int],
    sink: str,
    buckets: Buckets = None,
    costs: bool = False,
) -> Callable[[PortWorker], int]:
    buf_addr, data_off, data_len = mbuf_layout["buf_addr"], mbuf_layout["data_off"], mbuf_layout["data_len"]
    pkt_len, nb_segs = mbuf_layout["pkt_len"], mbuf_layout["nb_segs"]
    parse_burst = burst_parser(needs, machine)
    bucketed, run_buckets = buckets is not None, buckets or no_buckets
    groups, ahead, run_burst_stages = needs.groups, needs.ahead, burst_stage_runner(shared=False)
    flows, timed, looks = needs.flows, needs.time, needs.flows and not bucketed
    look_first, look = flow_looks(shared=False)
    clock, numbered = needs.time or sink != "", needs.port or sink != ""
    to_file = sink != ""
    parsed = needs.full_parse or needs.eth
    cut = parsed or needs.captured or to_file
    whole = cut or needs.bytes
    makes = needs.makes
    # A merged packet stays a chain of mbufs, with all headers in the first, where nobody looks behind those.
    payloads = needs.payloads or to_file
    summed = needs.sums
    segmented, cuts, checked, written = needs.segments, needs.cuts, needs.checks, needs.writes
    write_packet = write_pcapng if sink == "pcapng" else write_pcap

    def take(worker: PortWorker, burst: BurstColumns, n: int, number: int) -> tuple[int, int]:
        """Count packets that came, fill the burst's columns from their mbufs, and parse; returns how many there are,
        and their bytes. One in several mbufs that cannot be gathered into one is dropped."""
        total = lost = 0
        time = now(worker) if clock else 0
        pools = queue_at(worker.queues + number * QUEUE_SIZE).pools if whole else 0
        for i in range(n):  # so small that the CPU asks for all of them at once
            prefetch(burst.mbuf[i])
        for i in range(n):
            mbuf = burst.mbuf[i]
            length = load32(mbuf + pkt_len)
            if whole and scattered(mbuf):
                mbuf = gather(mbuf, pools)
                burst.mbuf[i] = mbuf
                if scattered(mbuf):
                    lost += length
            burst.data[i] = load64(mbuf + buf_addr) + load16(mbuf + data_off)
            if cut:
                burst.captured[i] = load16(mbuf + data_len)
            burst.length[i] = length
            if numbered:
                burst.port[i] = number
            if clock:
                burst.time[i] = time
            if parsed:
                prefetch(burst.data[i])
            total += length
        worker.packets_in += n
        worker.bytes_in += total
        if lost:
            n = without_chains(worker, burst, n)
        parse_burst(burst, 0, n, LINK_ETHERNET)
        if segmented or checked:
            read_marks(burst, n)
        return n, total - lost

    def scattered(mbuf: int) -> bool:
        """It is in several mbufs, and should not be."""
        return load16(mbuf + nb_segs) != 1 and (payloads or load64(mbuf + OL_FLAGS) & RX_LRO == 0)

    def read_marks(burst: BurstColumns, n: int) -> None:
        """What the port, or software in its place, says of packets. What it found of checksums holds until a stage
        writes to a packet; but what a partial one lacks is filled in when it is sent."""
        for i in range(n):
            mbuf = burst.mbuf[i]
            size = segment_size(mbuf) if segmented else 0
            if size > 0:
                burst.segment_size[i] = size
                burst.segments[i] = segments(mbuf, burst.data[i], load16(mbuf + data_len), size)
            if checked:
                burst.checks[i] = 1 if partial(mbuf) or (not written and found_right(mbuf)) else 0

    def write_marks(burst: BurstColumns, n: int) -> None:
        """How stages want packets to be cut."""
        for i in range(n):
            if burst.segment_size[i] != segment_size(burst.mbuf[i]):
                cut_into(burst.mbuf[i], burst.segment_size[i])

    def without_chains(worker: PortWorker, burst: BurstColumns, n: int) -> int:
        """Drop the packets that are still in several mbufs, and close the gaps; returns how many are left."""
        kept = 0
        for i in range(n):
            mbuf, length = burst.mbuf[i], burst.length[i]
            if scattered(mbuf):
                lose(worker, mbuf, length)
                continue
            burst.mbuf[kept] = mbuf
            burst.data[kept] = burst.data[i]
            burst.length[kept] = length
            if cut:
                burst.captured[kept] = burst.captured[i]
            kept += 1
        return kept

    def lose(worker: PortWorker, mbuf: int, length: int) -> None:
        """No buffer was there to hold the whole packet."""
        count_drop(worker, NO_BUFFER, length)
        store64(worker.unwanted, mbuf)
        free(worker.unwanted, 1)

    def run_stages(burst: BurstColumns, n: int, making: int) -> int:
        """The verdict of all packets, when it is the same for all; else `DIFFERENT`, and each has its own written. What
        they make goes to the Made at `making`."""
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
            look_first(burst, 0, n, 0)
        for i in range(n):
            if looks:
                look(burst, i, n, 0)
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

    def sort_out(worker: PortWorker, burst: BurstColumns, n: int) -> None:
        """Group the packets by verdict, send and free each group at once, count each packet."""
        dead = 0
        for i in range(n):
            verdict, length, mbuf = burst.verdict[i], burst.length[i], burst.mbuf[i]
            kind = verdict & KIND_MASK
            target = verdict >> KIND_BITS if kind == SENT else worker.out
            if kind == DROPPED:
                count_drop(worker, verdict >> KIND_BITS, length)
                target = -1
            elif kind == CONSUMED:
                count_consumed(worker, length)
                target = -1
            elif to_file:
                write_packet(sink_at(worker.sink), worker.interfaces, burst, i)
                count_out(worker, length)
                target = -1
            elif target < 0:
                count_consumed(worker, length)
            elif target >= worker.ports:
                count_drop(worker, NO_SUCH_PORT, length)
                target = -1
            if target < 0:
                store64(worker.unwanted + dead * 8, mbuf)
                dead += 1
            else:
                waiting = load64(worker.counts + target * 8)
                store64(worker.outbound + (target * worker.most + waiting) * 8, mbuf)
                store64(worker.counts + target * 8, waiting + 1)
        if to_file and sink_at(worker.sink).fault != 0:
            store_release(worker.stop, 1)
        if dead:
            free(worker.unwanted, dead)
        for number in range(worker.ports):
            send_waiting(worker, number)

    def send_counted(worker: PortWorker, number: int, mbufs: int, n: int) -> None:
        """The lengths are read before the mbufs are given away."""
        lengths = worker.unwanted
        total = 0
        for i in range(n):
            length = load32(load64(mbufs + i * 8) + pkt_len)
            store64(lengths + i * 8, length)
            total += length
        if queue_at(worker.queues + number * QUEUE_SIZE).twins:
            send_burst(worker, number, mbufs, n, total)
            return
        sent = send_all(worker, number, mbufs, n)
        for i in range(n):
            if i < sent:
                count_out(worker, load64(lengths + i * 8))
            else:
                count_drop(worker, SEND_FAILED, load64(lengths + i * 8))

    def send_made(worker: PortWorker) -> None:
        """What the stages made leaves behind the burst, a port at a time; what cannot is counted, and given back."""
        made = made_at(worker.making)
        burst = burst_at(made.burst)
        total = 0
        if segmented:
            write_marks(burst, made.count)
        for k in range(made.count):
            length, mbuf = burst.length[k], burst.mbuf[k]
            target = worker.out if burst.verdict[k] == AS_PASSED else burst.verdict[k]
            total += length
            if to_file:
                write_packet(sink_at(worker.sink), worker.interfaces, burst, k)
                count_out(worker, length)
            elif target < 0:
                count_consumed(worker, length)
            elif target >= worker.ports:
                count_drop(worker, NO_SUCH_PORT, length)
            if to_file or target < 0 or target >= worker.ports:
                store64(worker.unwanted, mbuf)
                free(worker.unwanted, 1)
            else:
                waiting = load64(worker.counts + target * 8)
                store64(worker.outbound + (target * worker.most + waiting) * 8, mbuf)
                store64(worker.counts + target * 8, waiting + 1)
                if waiting + 1 == worker.most:
                    send_made_waiting(worker, target)
        count_made_ones(worker, made, total)
        for number in range(worker.ports):
            send_made_waiting(worker, number)

    def send_made_waiting(worker: PortWorker, number: int) -> None:
        at = queue_at(worker.queues + number * QUEUE_SIZE).twins
        if at != 0:
            twins, mbufs = twins_at(at), worker.outbound + number * worker.most * 8
            for k in range(load64(worker.counts + number * 8)):
                cut_made(twins, load64(mbufs + 8 * k))
        send_waiting(worker, number)

    def cut_made(twins: Twins, mbuf: int) -> None:
        """A made packet that is too large for its port, and of which stages have not said how it is to be cut."""
        if segment_size(mbuf) == 0:
            captured, data = load16(mbuf + data_len), load64(mbuf + buf_addr) + load16(mbuf + data_off)
            size = size_to_fit(data, captured, load32(mbuf + pkt_len), twins.mtu, twins.segment_size)
            if size > 0:
                cut_into(mbuf, size)

    def send_waiting(worker: PortWorker, number: int) -> None:
        waiting = load64(worker.counts + number * 8)
        if waiting:
            store64(worker.counts + number * 8, 0)
            send_counted(worker, number, worker.outbound + number * worker.most * 8, waiting)

    def pass_on(worker: PortWorker, burst: BurstColumns, n: int, total: int, target: int) -> None:
        """All packets go one way: the mbufs go out as they came in."""
        mbufs = burst_address(burst.mbuf)
        if target < 0:
            free(mbufs, n)
            worker.consumed += n
            worker.bytes_consumed += total
            return
        if queue_at(worker.queues + target * QUEUE_SIZE).twins:
            send_burst(worker, target, mbufs, n, total)
            return
        sent = send_all(worker, target, mbufs, n)
        worker.packets_out += sent
        worker.bytes_out += total
        for i in range(sent, n):
            worker.bytes_out -= burst.length[i]
            count_drop(worker, SEND_FAILED, burst.length[i])

    def handle(worker: PortWorker, burst: BurstColumns, n: int, number: int) -> None:
        """Run the stages over what came from a port, and see to what becomes of it."""
        came, time = n, cycles() if costs else 0
        if costs:
            begin_burst(n)
        n, total = take(worker, burst, n, number)
        if costs:
            time = add_cost(worker.costs, PARSE, came, time)
        common = run_stages(burst, n, worker.making)
        if costs:
            time = add_cost(worker.costs, STAGES, came, time)
        if cuts:
            write_marks(burst, n)
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
            found = 0
            for number in range(worker.ports):
                time = cycles() if costs else 0
                n = receive_burst(worker, number, burst_address(burst.mbuf))
                if n > 0:
                    if costs:
                        add_cost(worker.costs, RECEIVE, n, time)
                    found += n
                    worker.useful_polls += 1
                    if worker.adapts:
                        adapt(worker, n)
                    handle(worker, burst, n, number)
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
