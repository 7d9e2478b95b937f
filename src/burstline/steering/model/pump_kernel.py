"""The NIC in software at work: each packet of the wire to the queue that the table in force says, with its hash and
mark, and what was sent to the queues back to the wire. No lock: a burst holds the table that it began with.
"""

from __future__ import annotations

from burstline.native.memory import (
    call_with_four,
    call_with_three,
    call_with_two,
    copy,
    cycles,
    load8,
    load16,
    load32,
    load64,
    move,
    scale,
    shift_right,
    store16,
    store32,
    store64,
    swap32,
)
from burstline.native.struct_type import reference, struct_address
from burstline.offload.mbuf import (
    BUF_ADDR,
    DATA_LEN,
    DATA_OFF,
    HASH,
    MARK,
    OL_FLAGS,
    PKT_LEN,
    PORT,
    RX_FDIR,
    RX_FDIR_ID,
    RX_IP_CKSUM_NONE,
    RX_L4_CKSUM_NONE,
    RX_RSS_HASH,
)
from burstline.state.published_kernel import used_tables
from burstline.steering.model.lookup import MARK as RULE_MARK
from burstline.steering.model.lookup import NO_MARK, LookupTables
from burstline.steering.model.lookup_kernel import NOWHERE, count_packet, find, hash_row, queue_of
from burstline.steering.model.pump import BURST, Decided, Pump
from burstline.steering.model.row import IP_KIND
from burstline.steering.model.row_kernel import fill_row

tables_at, decided_at = reference(LookupTables), reference(Decided)
TABLES, READING = Pump.layout.offset("tables"), Pump.layout.offset("reading")
CHECKED = RX_IP_CKSUM_NONE | RX_L4_CKSUM_NONE  # what the wire's port knows of checksums stays


def held_tables(p: Pump) -> int:
    address = struct_address(p)
    return used_tables(address + TABLES, address + READING)


def decide(p: Pump, data: int, length: int, result: int) -> int:
    """Over a packet in memory, which its rule counts; returns nothing of use."""
    tables, found = tables_at(held_tables(p)), decided_at(result)
    fill_row(p.row, data, length, p.tpids)
    found.hash = hash_row(tables, p.row)
    rule = find(tables, p.row)
    found.queue = queue_of(tables, rule, found.hash)
    found.mark = load64(rule + RULE_MARK) if rule != 0 else NO_MARK
    count_packet(rule, length)
    return 0


def pump(p: Pump, most: int) -> int:
    """Up to `most` packets of the wire, and all that was sent; returns how many packets moved, either way."""
    held_tables(p)  # who changed them waits for it, also where nothing comes
    moved = send_all(p)
    took = 0
    while took < most:
        tables = held_tables(p)
        if not flush(p):
            break
        wanted = min(BURST, most - took)
        n = call_with_four(p.receive, p.wire, 0, p.mbufs, wanted) if p.wire >= 0 else make(p, wanted)
        if n == 0:
            break
        for k in range(n):
            steer(p, tables, load64(p.mbufs + 8 * k))
        took += n
    flush(p)
    return moved + took


def steer(p: Pump, tables_address: int, mbuf: int) -> None:
    """One packet to the end of its queue's list, as a NIC hands it over, or away."""
    tables, row = tables_at(tables_address), p.row
    length = load32(mbuf + PKT_LEN)
    p.came += 1
    p.came_bytes += length
    fill_row(row, load64(mbuf + BUF_ADDR) + load16(mbuf + DATA_OFF), load16(mbuf + DATA_LEN), p.tpids)
    hashed = hash_row(tables, row)
    rule = find(tables, row)
    queue = queue_of(tables, rule, hashed)
    count_packet(rule, length)
    if queue == NOWHERE:
        p.dropped += 1
        store64(p.mbufs + 8 * BURST, mbuf)
        call_with_two(p.free, p.mbufs + 8 * BURST, 1)
        return
    flags = load64(mbuf + OL_FLAGS) & CHECKED
    if load8(row + IP_KIND) != 0:
        flags |= RX_RSS_HASH
    store32(mbuf + HASH, hashed)
    store32(mbuf + MARK, 0)
    if rule != 0 and load64(rule + RULE_MARK) != NO_MARK:
        flags |= RX_FDIR | RX_FDIR_ID
        store32(mbuf + MARK, load64(rule + RULE_MARK))
    store64(mbuf + OL_FLAGS, flags)
    store16(mbuf + PORT, p.port)
    waiting = load64(p.waiting + 8 * queue)
    store64(p.outbound + 8 * (BURST * queue + waiting), mbuf)
    store64(p.waiting + 8 * queue, waiting + 1)


def flush(p: Pump) -> bool:
    """Put what waits into the queues; False where some still waits."""
    done = True
    for queue in range(p.queues):
        waiting, mbufs = load64(p.waiting + 8 * queue), p.outbound + 8 * BURST * queue
        if waiting == 0:
            continue
        put = call_with_four(p.transmit, p.inner, queue, mbufs, waiting)
        store64(p.put + 8 * queue, load64(p.put + 8 * queue) + put)
        left = waiting - put
        if left != 0 and p.waits:
            move(mbufs, mbufs + 8 * put, 8 * left)
            store64(p.waiting + 8 * queue, left)
            done = False
            continue
        if left != 0:
            store64(p.missed + 8 * queue, load64(p.missed + 8 * queue) + left)
            call_with_two(p.free, mbufs + 8 * put, left)
        store64(p.waiting + 8 * queue, 0)
    return done


def send_all(p: Pump) -> int:
    """What was sent on the port, to the wire; returns how many packets."""
    moved, lengths = 0, p.mbufs + 8 * (BURST + 1)
    for queue in range(p.queues):
        while True:
            n = call_with_four(p.receive, p.inner, queue, p.mbufs, BURST)
            if n == 0:
                break
            for k in range(n):
                store64(lengths + 8 * k, load32(load64(p.mbufs + 8 * k) + PKT_LEN))
            sent = call_with_four(p.transmit, p.wire, 0, p.mbufs, n) if p.wire >= 0 else 0
            taken = sent if p.wire >= 0 else n  # a wire without a port takes all
            for k in range(taken):
                p.sent_bytes += load64(lengths + 8 * k)
            p.sent += taken
            p.unsent += n - taken
            if sent < n:
                call_with_two(p.free, p.mbufs + 8 * sent, n - sent)
            moved += n
    return moved


def make(p: Pump, wanted: int) -> int:
    """The next frames, in mbufs; fewer where they are not due, or where the pool has no more."""
    n = min(wanted, p.left)
    if p.rate != 0:
        if p.began == 0:
            p.began = cycles()
        n = min(n, scale(cycles() - p.began, p.rate, 32) - p.made)
    if n <= 0 or call_with_three(p.allocate, p.pool, p.mbufs, n) < 0:
        return 0
    for k in range(n):
        mbuf, frame = load64(p.mbufs + 8 * k), p.frames + 16 * p.next_frame
        length = load64(frame)
        copy(load64(mbuf + BUF_ADDR) + load16(mbuf + DATA_OFF), load64(frame + 8), length)
        store32(mbuf + PKT_LEN, length)
        store16(mbuf + DATA_LEN, length)
        if p.stamp >= 0:
            write_due(p, p.made + k, load64(mbuf + BUF_ADDR) + load16(mbuf + DATA_OFF) + p.stamp)
        p.next_frame = p.next_frame + 1 if p.next_frame + 1 < p.frame_count else 0
    p.left -= n
    p.made += n
    return n


def write_due(p: Pump, number: int, at: int) -> None:
    """When a frame was due on the wire, however late it is made: nobody else has to tell the time of it."""
    due = p.began + scale(number, p.period, 32)
    time = p.clock_ns + scale(due - p.clock_start, p.clock_scale, 32)
    store32(at, swap32(shift_right(time, 32)))
    store32(at + 4, swap32(time))
