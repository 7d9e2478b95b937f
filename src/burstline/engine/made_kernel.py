"""Packets that stages make, in compiled code: copying them, counting them, and giving their buffers back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from burstline.buffers.stock_kernel import give_buffer, take_buffer
from burstline.engine.account_kernel import count_consumed, count_out
from burstline.engine.worker import NO_BUFFER, TALLY, Worker
from burstline.native.memory import address_of, clear, copy, external, load16, load64, store16, store32, store64
from burstline.native.struct_type import reference
from burstline.offload.mbuf import BUF_ADDR, DATA_LEN, DATA_OFF, PKT_LEN
from burstline.offload.segments_kernel import copy_marks
from burstline.packet.burst import BurstColumns
from burstline.packet.made import ANYWHERE, MADE, Made
from burstline.packet.parser import LINK_ETHERNET
from burstline.pipeline.needs import Needs
from burstline.state.template import TemplateBlock

made_cell = address_of(MADE)
made_at, template_at = reference(Made), reference(TemplateBlock)
new_mbuf = external("bl_dpdk_new", 2)
AS_PASSED = 1 << 16  # no port's number: the packet goes where those go that come through
PROTOCOLS = 64  # bytes of an element of that column

Clone = Callable[[int, int, int], int]
Emit = Callable[[int, int, int, int], int]
NewBuffer = Callable[[Made, BurstColumns, int], bool]
Marks = Callable[[BurstColumns, int, BurstColumns, int], None]


def file_makers(needs: Needs, burst_at: Any) -> tuple[Clone, Emit]:
    """What `makers` makes, in buffers of the worker's stock."""

    def new_buffer(made: Made, into: BurstColumns, size: int) -> bool:
        buffer = take_buffer(made.source, size)
        into.data[made.count] = buffer
        return buffer != 0

    def no_marks(into: BurstColumns, k: int, source: BurstColumns, i: int) -> None:
        return None

    return makers(needs, burst_at, new_buffer, no_marks)


def live_makers(needs: Needs, burst_at: Any) -> tuple[Clone, Emit]:
    """The same in mbufs of the pools that the worker receives by."""

    def new_buffer(made: Made, into: BurstColumns, size: int) -> bool:
        mbuf = new_mbuf(made.source, size)
        if mbuf == 0:
            return False
        into.mbuf[made.count] = mbuf
        into.data[made.count] = load64(mbuf + BUF_ADDR) + load16(mbuf + DATA_OFF)
        store16(mbuf + DATA_LEN, size)
        store32(mbuf + PKT_LEN, size)
        return True

    def marks(into: BurstColumns, k: int, source: BurstColumns, i: int) -> None:
        copy_marks(into.mbuf[k], source.mbuf[i])

    return makers(needs, burst_at, new_buffer, marks)


def makers(needs: Needs, burst_at: Any, new_buffer: NewBuffer, marks: Marks) -> tuple[Clone, Emit]:
    """`clone(burst, packet, port)` copies a packet, `emit(template, burst, packet, port)` makes one of a template, at
    the time of a packet. Both return its number among the made ones."""
    copy_columns, template_columns = columns_copier(needs), columns_of_template(needs)

    def place(into: BurstColumns, k: int, source: BurstColumns, i: int, port: int) -> None:
        into.time[k], into.port[k] = source.time[i], source.port[i]
        into.verdict[k] = AS_PASSED if port == ANYWHERE else port & 0xFFFF  # as many bits as send() has
        into.early[k] = i

    def clone(burst: int, i: int, port: int) -> int:
        made, source = made_at(load64(made_cell())), burst_at(burst)
        into, k, size = burst_at(made.burst), made.count, source.captured[i]
        if k == made.room or not new_buffer(made, into, size):
            return miss(made, source.length[i])
        copy(into.data[k], source.data[i], size)
        copy_columns(source, i, into, k)
        marks(into, k, source, i)
        place(into, k, source, i, port)
        made.count = k + 1
        return k

    def emit(template: int, burst: int, i: int, port: int) -> int:
        made, source, block = made_at(load64(made_cell())), burst_at(burst), template_at(template)
        into, k = burst_at(made.burst), made.count
        if k == made.room or not new_buffer(made, into, block.size):
            return miss(made, block.size)
        copy(into.data[k], block.data, block.size)
        template_columns(block, into, k)
        place(into, k, source, i, port)
        made.count = k + 1
        return k

    return clone, emit


def miss(made: Made, length: int) -> int:
    made.missed += 1
    made.missed_bytes += length
    return made.room


def columns_copier(needs: Needs) -> Callable[[BurstColumns, int, BurstColumns, int], None]:
    """All that stages may ask a made packet for is what the one has that it was made of."""
    inner, protocols = needs.inner, "protocols" in needs.columns

    def copy_columns(source: BurstColumns, i: int, into: BurstColumns, k: int) -> None:
        into.captured[k], into.length[k], into.link[k] = source.captured[i], source.length[i], source.link[i]
        into.present[k], into.proto[k] = source.present[i], source.proto[i]
        into.segments[k], into.segment_size[k], into.checks[k] = (
            source.segments[i],
            source.segment_size[i],
            source.checks[i],
        )
        into.mark[k] = 0
        into.l3[k], into.l4[k] = source.l3[i], source.l4[i]
        into.payload[k], into.end[k] = source.payload[i], source.end[i]
        into.vlan_depth[k], into.mpls_depth[k] = source.vlan_depth[i], source.mpls_depth[i]
        if protocols:
            copy(into.protocols[k], source.protocols[i], PROTOCOLS)
        if inner:
            into.inner_present[k], into.inner_proto[k] = source.inner_present[i], source.inner_proto[i]
            into.inner_l2[k] = source.inner_l2[i]
            into.inner_l3[k], into.inner_l4[k] = source.inner_l3[i], source.inner_l4[i]
            into.inner_payload[k], into.inner_end[k] = source.inner_payload[i], source.inner_end[i]
            into.inner_vlan_depth[k] = source.inner_vlan_depth[i]
            into.inner_mpls_depth[k] = source.inner_mpls_depth[i]
            if protocols:
                copy(into.inner_protocols[k], source.inner_protocols[i], PROTOCOLS)

    return copy_columns


def columns_of_template(needs: Needs) -> Callable[[TemplateBlock, BurstColumns, int], None]:
    inner, protocols = needs.inner, "protocols" in needs.columns

    def template_columns(block: TemplateBlock, into: BurstColumns, k: int) -> None:
        into.captured[k], into.length[k], into.link[k] = block.size, block.size, LINK_ETHERNET
        into.present[k], into.proto[k] = block.present, block.proto
        into.segments[k], into.segment_size[k], into.checks[k], into.mark[k] = 1, 0, 0, 0
        into.l3[k], into.l4[k] = block.l3, block.l4
        into.payload[k], into.end[k] = block.payload, block.end
        into.vlan_depth[k], into.mpls_depth[k] = block.vlan_depth, block.mpls_depth
        if protocols:
            clear(into.protocols[k], PROTOCOLS)
        if inner:
            into.inner_present[k], into.inner_proto[k] = block.inner_present, block.inner_proto
            into.inner_l2[k], into.inner_l3[k], into.inner_l4[k] = block.inner_l2, block.inner_l3, block.inner_l4
            into.inner_payload[k], into.inner_end[k] = block.inner_payload, block.inner_end
            into.inner_vlan_depth[k] = block.inner_vlan_depth
            into.inner_mpls_depth[k] = block.inner_mpls_depth
            if protocols:
                clear(into.inner_protocols[k], PROTOCOLS)

    return template_columns


def begin_made(address: int) -> None:
    """The stages are about to run over a burst: what they make goes to the Made at an address."""
    made = made_at(address)
    made.count = made.written = made.missed = made.missed_bytes = 0
    store64(made_cell(), address)


def count_made_ones(worker: Worker, made: Made, length: int) -> None:
    """So many bytes are in those that were made; those that found no buffer count, too, and as dropped."""
    worker.made += made.count + made.missed
    worker.bytes_made += length + made.missed_bytes
    tally = worker.tallies + NO_BUFFER * TALLY
    store64(tally, load64(tally) + made.missed)
    store64(tally + 8, load64(tally + 8) + made.missed_bytes)


def file_counter(burst_at: Any) -> Callable[[Worker, int, int], None]:
    """`(worker, made, stock)` counts what stages made of a chunk; where nothing is written, their buffers go back."""

    def count_made(worker: Worker, address: int, stock: int) -> None:
        made = made_at(address)
        burst = burst_at(made.burst)
        total = 0
        for k in range(made.count):
            length = burst.length[k]
            total += length
            if worker.has_sink != 0:
                count_out(worker, length)
            else:
                count_consumed(worker, length)
                give_buffer(stock, burst.data[k])
        count_made_ones(worker, made, total)
        if worker.has_sink == 0:
            made.count = 0

    return count_made


def made_writer(burst_at: Any, write_packet: Callable[..., None]) -> Callable[[Any, int, int, int, int], None]:
    """`(sink, interfaces, made, stock, packet)` writes what was made of a packet, behind it."""

    def write_made(sink: Any, interfaces: int, address: int, stock: int, i: int) -> None:
        made = made_at(address)
        burst = burst_at(made.burst)
        while made.written < made.count and burst.early[made.written] == i:
            write_packet(sink, interfaces, burst, made.written)
            give_buffer(stock, burst.data[made.written])
            made.written += 1

    return write_made
