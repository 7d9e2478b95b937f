"""Packets that stages make, in compiled code: copying them, counting them, and giving their buffers back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from burstline.buffers.stock_kernel import give_buffer, take_buffer
from burstline.engine.account_kernel import count_consumed, count_out
from burstline.engine.worker import NO_BUFFER, TALLY, Worker
from burstline.native.memory import address_of, copy, external, load16, load64, store16, store32, store64
from burstline.native.struct_type import reference
from burstline.packet.burst import BurstColumns
from burstline.packet.made import ANYWHERE, MADE, Made
from burstline.pipeline.needs import Needs

made_cell = address_of(MADE)
made_at = reference(Made)
new_mbuf = external("bl_dpdk_new", 2)
AS_PASSED = 1 << 16  # no port's number: the packet goes where those go that come through
PROTOCOLS = 64  # bytes of an element of that column

Clone = Callable[[int, int, int], int]


def file_cloner(needs: Needs, burst_at: Any) -> Clone:
    """`(burst, packet, port)` makes a copy of a packet in a buffer of the worker's stock; returns its number."""
    copy_columns = columns_copier(needs)

    def clone(burst: int, i: int, port: int) -> int:
        made, source = made_at(load64(made_cell())), burst_at(burst)
        size = source.captured[i]
        buffer = take_buffer(made.source, size) if made.count < made.room else 0
        if buffer == 0:
            return miss(made, source.length[i])
        copy(buffer, source.data[i], size)
        into, k = burst_at(made.burst), made.count
        into.data[k] = buffer
        copy_columns(source, i, into, k, port)
        made.count = k + 1
        return k

    return clone


def live_cloner(needs: Needs, burst_at: Any, mbuf_layout: Mapping[str, int]) -> Clone:
    """The same in an mbuf of the pools that the worker receives by."""
    copy_columns = columns_copier(needs)
    buf_addr, data_off, data_len = mbuf_layout["buf_addr"], mbuf_layout["data_off"], mbuf_layout["data_len"]
    pkt_len = mbuf_layout["pkt_len"]

    def clone(burst: int, i: int, port: int) -> int:
        made, source = made_at(load64(made_cell())), burst_at(burst)
        size = source.captured[i]
        mbuf = new_mbuf(made.source, size) if made.count < made.room else 0
        if mbuf == 0:
            return miss(made, source.length[i])
        into, k = burst_at(made.burst), made.count
        into.data[k] = load64(mbuf + buf_addr) + load16(mbuf + data_off)
        into.mbuf[k] = mbuf
        copy(into.data[k], source.data[i], size)
        store16(mbuf + data_len, size)
        store32(mbuf + pkt_len, size)
        copy_columns(source, i, into, k, port)
        made.count = k + 1
        return k

    return clone


def miss(made: Made, length: int) -> int:
    made.missed += 1
    made.missed_bytes += length
    return made.room


def columns_copier(needs: Needs) -> Callable[[BurstColumns, int, BurstColumns, int, int], None]:
    """All that stages may ask a made packet for is what the one has that it was made of."""
    inner, protocols = needs.inner, "protocols" in needs.columns

    def copy_columns(source: BurstColumns, i: int, into: BurstColumns, k: int, port: int) -> None:
        into.captured[k], into.length[k] = source.captured[i], source.length[i]
        into.time[k], into.port[k], into.link[k] = source.time[i], source.port[i], source.link[i]
        into.present[k], into.proto[k] = source.present[i], source.proto[i]
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
        into.verdict[k] = AS_PASSED if port == ANYWHERE else port & 0xFFFF  # as many bits as send() has
        into.early[k] = i

    return copy_columns


def begin_made(address: int) -> None:
    """The stages are about to run over a burst: what they make goes to the Made at an address."""
    made = made_at(address)
    made.count = made.written = made.missed = made.missed_bytes = 0
    store64(made_cell(), address)


def count_missed(worker: Worker, made: Made) -> None:
    """Those that found no buffer."""
    worker.made += made.missed
    worker.bytes_made += made.missed_bytes
    tally = worker.tallies + NO_BUFFER * TALLY
    store64(tally, load64(tally) + made.missed)
    store64(tally + 8, load64(tally + 8) + made.missed_bytes)


def file_counter(burst_at: Any) -> Callable[[Worker, int, int], None]:
    """`(worker, made, stock)` counts what stages made of a chunk; where nothing is written, their buffers go back."""

    def count_made(worker: Worker, address: int, stock: int) -> None:
        made = made_at(address)
        burst = burst_at(made.burst)
        for k in range(made.count):
            length = burst.length[k]
            worker.made += 1
            worker.bytes_made += length
            if worker.has_sink != 0:
                count_out(worker, length)
            else:
                count_consumed(worker, length)
                give_buffer(stock, burst.data[k])
        count_missed(worker, made)
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
