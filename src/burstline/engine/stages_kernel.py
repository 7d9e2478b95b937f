"""Parsing a burst and running the stages over it: what every source has in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from burstline.engine.account_kernel import count_consumed, count_drop, count_passed
from burstline.engine.bucket_kernel import enter
from burstline.engine.burst_stage_kernel import burst_stage_runner
from burstline.engine.counters_kernel import begin_counts, store_counts
from burstline.engine.flow_prefetch import NEAR, begin_flows, end_flows, flow_looks
from burstline.engine.made_kernel import begin_made, file_counter
from burstline.engine.worker import FileWorker
from burstline.native.build import apart
from burstline.native.memory import address_of, external, load16, load64, prefetch, store16, store32, store64
from burstline.packet.burst import BurstColumns
from burstline.packet.burst_type import burst_address
from burstline.packet.fast_path_kernel import fast_path
from burstline.packet.flow_key_kernel import owner_of
from burstline.packet.machine import Machine
from burstline.packet.parser import ETH, LINK_ETHERNET
from burstline.pipeline.needs import Needs
from burstline.pipeline.verdict import CONSUMED, DROPPED, KIND_BITS, KIND_MASK

parse = external(
    "burstline_parse", 5
)  # the parser's states, compiler/parser_ir.py: (burst, packet, data, captured, link)
zeros = address_of("burstline_zeros")
work_ahead = external("burstline_ahead", 3)  # state for the whole burst, by compiler/kernels.py: (burst, count, own)
digest_room = external("burstline_digest_room", 0)  # 0 when a digest's ring is more than half full


UNUSUAL = 31  # groups that go through the states at once after one in which more than three in eight were not plain
Buckets = Callable[[BurstColumns, int], None] | None


def burst_parser(
    needs: Needs, machine: Machine, *, linked: bool = False, fast: bool = True, lanes: int | None = None
) -> Callable[[BurstColumns, int, int, int], None]:
    """The parser of `(burst, first, count, link)`: packets whose `data` and `captured` columns are filled, and which
    begin with that link layer or, if they are `linked`, with the one in their `link` column.

    It writes only columns that are read. Without `fast` every packet goes through the parser's states; with it, `lanes`
    plain packets are parsed at once.
    """
    columns = tuple(sorted({*needs.columns, "present"})) if needs.eth else needs.columns
    plain = fast_path(columns, keys=needs.keys, inner=needs.inner, linked=linked, machine=machine, lanes=lanes)

    @apart
    def parse_headers(burst: BurstColumns, first: int, count: int, link: int) -> None:
        if fast and burst.unusual[0] == 0 and (linked or link == LINK_ETHERNET):
            slow = plain(burst, first, count, zeros())
            if slow * 8 > count * 3:
                burst.unusual[0] = UNUSUAL
        else:
            if fast and burst.unusual[0] > 0:
                burst.unusual[0] -= 1
            slow = count
            for k in range(count):
                burst.slow[k] = first + k
        for k in range(slow):
            i = burst.slow[k]
            parse(burst_address(burst), i, burst.data[i], burst.captured[i], burst.link[i] if linked else link)

    def look_for_ethernet(burst: BurstColumns, first: int, count: int, link: int) -> None:
        for i in range(first, first + count):
            is_ethernet = (burst.link[i] if linked else link) == LINK_ETHERNET
            burst.present[i] = ETH if is_ethernet and burst.captured[i] >= 14 else 0

    def parse_nothing(burst: BurstColumns, first: int, count: int, link: int) -> None:
        return None

    parse_level = parse_headers if needs.full_parse else look_for_ethernet if needs.eth else parse_nothing

    def parse_as_it_came(burst: BurstColumns, first: int, count: int, link: int) -> None:
        for i in range(first, first + count):
            burst.segments[i], burst.segment_size[i] = 1, 0
        for i in range(first, first + count if marked else first):
            burst.mark[i] = 0
        parse_level(burst, first, count, link)

    marked = needs.marks
    return parse_as_it_came if needs.segments or marked else parse_level


def no_buckets(burst: BurstColumns, n: int) -> None:
    return None


def share_out(burst: BurstColumns, n: int, workers: int, lists: int, stride: int) -> None:
    """Write down for each worker which packets are its own: in `stride` bytes, a count and 16-bit indices."""
    for worker in range(workers):
        store64(lists + worker * stride, 0)
    for i in range(n):
        owner = owner_of(burst, i, workers)
        burst.owner[i] = owner
        mine = lists + owner * stride
        count = load64(mine)
        store16(mine + 8 + 2 * count, i)
        store64(mine, count + 1)


def stage_runner(
    needs: Needs, keep: bool, burst_at: Any, buckets: Buckets = None
) -> Callable[[FileWorker, BurstColumns, int, int, int, int], bool]:
    """Runs the stages over a worker's packets of a burst and counts what they say; False when a digest's ring is half
    full, so that Python must take the records before the worker can go on.

    `own` is the worker's list when the source is shared. With `keep`, verdicts go to `verdicts`, 32 bits a packet: an
    array of the worker's own, since a cache line that two cores write costs more than the stages do. With `buckets`,
    the burst's verdicts are worked out chain by chain before they are counted. `made` is where packets go that stages
    make.
    """
    bucketed, groups, ahead = buckets is not None, needs.groups, needs.ahead
    run_burst_stages = burst_stage_runner(needs.shared)
    flows, timed, shared, digests = needs.flows, needs.time, needs.shared, needs.digests
    looks = flows and not bucketed
    look_first, look = flow_looks(shared)
    run_buckets = buckets or no_buckets
    makes, count_made = needs.makes, file_counter(burst_at)

    def run_stages(worker: FileWorker, burst: BurstColumns, n: int, own: int, verdicts: int, made: int) -> bool:
        count = load64(own) if shared else n
        first = worker.next_packet if digests else 0
        done = count
        indices = own + 8
        if makes and first == 0:
            begin_made(made)
        begin_counts()
        if flows and count > 0:
            begin_flows(burst.time[load16(indices) if shared else 0] if timed else 0, count)
        if ahead and first == 0:
            work_ahead(burst_address(burst), count, own if shared else 0)
        if groups and first == 0:
            run_burst_stages(burst, count, own)
        if bucketed:
            run_buckets(burst, n)
        if looks:
            look_first(burst, first, count, own, NEAR)
        total, gone, gone_bytes = 0, 0, 0
        for k in range(first, count):
            if digests and digest_room() == 0:
                done = k
                break
            if looks:
                look(burst, k, count, own, NEAR)
            if shared:  # another core wrote these
                prefetch(burst.key[load16(indices + 2 * (k + NEAR))])
            i = load16(indices + 2 * k) if shared else k
            verdict = burst.verdict[i] if bucketed else enter(burst_address(burst), i)
            length = burst.length[i]
            total += length
            if keep:
                store32(verdicts + 4 * i, verdict)
            if verdict & KIND_MASK == DROPPED:
                count_drop(worker, verdict >> KIND_BITS, length)
                gone += 1
                gone_bytes += length
            elif verdict & KIND_MASK == CONSUMED and worker.has_sink != 0:
                count_consumed(worker, length)
                gone += 1
                gone_bytes += length
        if flows and count > 0:
            end_flows()
        store_counts()
        count_passed(worker, done - first - gone, total - gone_bytes)
        worker.packets_in += done - first
        worker.bytes_in += total
        if digests:
            worker.next_packet = done if done < count else 0
        if makes and done == count:
            count_made(worker, made, worker.stock)
        return done == count

    return run_stages
