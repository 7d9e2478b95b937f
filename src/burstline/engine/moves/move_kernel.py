"""The compiled half of a move, in each worker: hold, pass on, hand over, go on."""

from __future__ import annotations

from collections.abc import Callable

from burstline.engine.moves.phases import (
    CHANGED,
    CLOSING,
    EXPORTING,
    HELD,
    IDLE,
    PHASE_MASK,
    RELEASED,
    Mover,
)
from burstline.engine.worker import QUEUE_SIZE, PortQueue, PortWorker
from burstline.native.build import apart
from burstline.native.memory import (
    call_address,
    cycles,
    external,
    load64,
    load_acquire,
    scale,
    store64,
    store_release,
    unsigned_divide,
)
from burstline.native.struct_type import reference, struct_address
from burstline.offload.twins import Twins
from burstline.state.flow_moves import (
    PACKETS,
    PACKETS_AT,
    PUT,
    ROWS,
    ROWS_AT,
    ROWS_PUT,
    ROWS_TAKEN,
    TAKEN,
    Moving,
    Sifting,
)
from burstline.state.flow_moves_kernel import queue_after, queue_of

move_out = external("burstline_flows_move_out", 3)
move_in = external("burstline_flows_move_in", 2)
mover_at, moving_at, sifting_at = reference(Mover), reference(Moving), reference(Sifting)
queue_at, twins_at = reference(PortQueue), reference(Twins)
SEEN, DRAINED, EXPORTED = (Mover.layout.offset(name) for name in ("seen", "drained", "exported"))
WAITING = Mover.layout.offset("waiting")
PORT_MASK = 63  # mbufs lie on cache lines, and there are 64 ports
HERE, HOLD = -1, -2
ROUNDS = 2  # bursts of what was held to handle, for each look at the ports
GIVEN = 32  # packets that drivers give at once where so many wait; some give no more, whatever is asked for
MS = 1_000_000


def place(me: int, phase: int, before: int, after: int, ruled: bool, holds: bool) -> int:
    """What becomes of a packet that comes to worker `me`: HERE, HOLD, or the worker that it goes to. A flow that
    has a rule, or had one, may come to any for a moment, between two edits, or where a device orders its rules anew."""
    if before < 0 or after < 0:
        return HERE
    if phase == CLOSING:
        return HOLD if holds and after == me and before != after else HERE
    if before == after:
        return after if ruled and after != me else HERE
    if phase >= EXPORTING:
        if after != me:
            return after
        return HERE if phase == RELEASED and not holds else HOLD
    if before == me:
        return HERE
    return HOLD if after == me else after


def ask(mover: Mover, mbufs: int, n: int, port: int) -> None:
    moving = moving_at(mover.moving)
    sifting = sifting_at(moving.sifting)
    sifting.mbufs, sifting.count, sifting.port = mbufs, n, port
    call_address(moving.sift, moving.sifting)


def hold(mover: Mover, mbuf: int, port: int) -> None:
    store64(mover.held + 8 * ((mover.first + mover.waiting) & (HELD - 1)), mbuf | port)
    store_release(struct_address(mover) + WAITING, mover.waiting + 1)
    mover.held_count += 1


def pass_to(mover: Mover, to: int, mbuf: int, port: int) -> bool:
    """Whether there is room in the link."""
    link = load64(moving_at(mover.moving).links + 16 * to)
    put = load64(link + PUT)
    if put - load_acquire(link + TAKEN) == PACKETS:
        return False
    store64(link + PACKETS_AT + 8 * (put & (PACKETS - 1)), mbuf | port)
    store_release(link + PUT, put + 1)
    mover.passed_on += 1
    return True


@apart
def sort_arrivals(mover: Mover, mbufs: int, n: int, port: int) -> int:
    """Of packets that came: hold, or pass on, what is not to be handled now; returns how many are left."""
    moving = moving_at(mover.moving)
    sifting = sifting_at(moving.sifting)
    ask(mover, mbufs, n, port)
    phase, kept = mover.seen & PHASE_MASK, 0
    for i in range(n):
        mbuf = load64(mbufs + 8 * i)
        before, after = queue_of(moving, sifting.before, sifting.rule_before, i), queue_after(moving, i)
        ruled = load64(sifting.rule_before + 8 * i) != 0 or load64(sifting.rule_after + 8 * i) != 0
        to = place(moving.index, phase, before, after, ruled, mover.waiting > 0)
        if to >= 0 and pass_to(mover, to, mbuf, port):
            continue
        if to != HERE and mover.waiting < HELD:  # also what finds no room in a link
            hold(mover, mbuf, port)
        else:
            store64(mbufs + 8 * kept, mbuf)
            kept += 1
    return kept


def has_room(worker: PortWorker) -> bool:
    """Whether it can hold another burst. Otherwise packets wait at the ports."""
    return mover_at(worker.moves).waiting + worker.most <= HELD


def still_left(left: int, came: int, asked: int) -> int:
    """How many of `left` packets may still wait at a port whose driver gave `came` of those that were asked for."""
    return 0 if came < min(asked, GIVEN) else max(0, left - came)


@apart
def arrived(worker: PortWorker, number: int, mbufs: int, n: int) -> int:
    """`n` packets came from a port; returns how many are to be handled now."""
    mover = mover_at(worker.moves)
    if mover.seen & PHASE_MASK == CHANGED:
        left, twins = mover.left + 8 * number, queue_at(worker.queues + number * QUEUE_SIZE).twins
        if twins == 0:
            store64(left, still_left(load64(left), n, worker.batch))
        else:  # software may hold packets back, or drop them
            store64(left, still_left(load64(left), twins_at(twins).came, twins_at(twins).burst))
    return sort_arrivals(mover, mbufs, n, number) if n > 0 else 0


def begin_phase(worker: PortWorker, mover: Mover, word: int) -> None:
    phase = word & PHASE_MASK
    if phase == CHANGED:
        for number in range(worker.ports):
            receives = queue_at(worker.queues + number * QUEUE_SIZE).receives
            store64(mover.left + 8 * number, load64(mover.depths + 8 * number) if receives else 0)
    elif phase == EXPORTING:
        moving = moving_at(mover.moving)
        moving.table = moving.next = 0
    store_release(struct_address(mover) + SEEN, word)


def is_drained(worker: PortWorker, mover: Mover) -> bool:
    left = 0
    for number in range(worker.ports):
        left += load64(mover.left + 8 * number)
    return left == 0


def of_one_port(mover: Mover, words: int, mask: int, first: int, count: int, mbufs: int) -> int:
    """The next packets that came by one and the same port, from a ring of words."""
    for n in range(count):
        word = load64(words + 8 * ((first + n) & mask))
        if n == 0:
            mover.port = word & PORT_MASK
        if word & PORT_MASK != mover.port:
            return n
        store64(mbufs + 8 * n, word & ~PORT_MASK)
    return count


def from_links(mover: Mover, mbufs: int, most: int) -> int:
    """Packets of one port that another worker passed on."""
    moving = moving_at(mover.moving)
    for k in range(moving.workers):
        link = load64(moving.links + 16 * ((mover.rounds + k) % moving.workers) + 8)
        taken = load64(link + TAKEN)
        waiting = load_acquire(link + PUT) - taken
        if waiting > 0:
            n = of_one_port(mover, link + PACKETS_AT, PACKETS - 1, taken, min(waiting, most), mbufs)
            store_release(link + TAKEN, taken + n)
            mover.rounds += k + 1
            return n
    return 0


def from_held(mover: Mover, mbufs: int, most: int) -> int:
    """Packets of one port, those that came first, that are now to be handled; what is another's is passed on."""
    moving = moving_at(mover.moving)
    n = of_one_port(mover, mover.held, HELD - 1, mover.first, min(mover.waiting, most), mbufs)
    if n == 0:
        return 0
    ask(mover, mbufs, n, mover.port)
    kept = 0
    for i in range(n):
        mbuf, after = load64(mbufs + 8 * i), queue_after(moving, i)
        if mover.seen & PHASE_MASK != CLOSING and after >= 0 and after != moving.index:
            if not pass_to(mover, after, mbuf, mover.port):
                n = i  # it stays, and all behind it
                break
        else:
            store64(mbufs + 8 * kept, mbuf)
            kept += 1
    mover.first += n
    store_release(struct_address(mover) + WAITING, mover.waiting - n)
    return kept


def worker_moves(flows: bool) -> tuple[Callable[[PortWorker], int], Callable[[PortWorker, int], int]]:
    """`begin(worker)`, before it looks at the ports: 0 when no flow moves. `take(worker, mbufs)`: packets of the port
    `Mover.port` that are to be handled now, as often as that is not 0 and at most `ROUNDS` times."""

    def hand_over(mover: Mover, now: int) -> int:
        """Some of the records that go; 1 when all have gone."""
        if flows:
            moving = moving_at(mover.moving)
            if moving.table < moving.tables:
                if move_out(moving.table, mover.moving, now) != 0:
                    moving.table += 1
                    moving.next = 0
                return 0
        return 1

    def take_over(mover: Mover, now: int) -> None:
        """The records that have come."""
        if flows:
            moving = moving_at(mover.moving)
            for k in range(moving.workers):
                link = load64(moving.links + 16 * k + 8)
                taken = load64(link + ROWS_TAKEN)
                for at in range(taken, load_acquire(link + ROWS_PUT)):
                    move_in(load64(link + ROWS_AT) + (at & (ROWS - 1)) * moving.row, now)
                    store_release(link + ROWS_TAKEN, at + 1)

    @apart
    def go_on(worker: PortWorker) -> int:
        mover = mover_at(worker.moves)
        word = load_acquire(mover.phase)
        phase = word & PHASE_MASK
        if phase == IDLE:
            return 0
        if word != mover.seen:
            begin_phase(worker, mover, word)
        if phase == CHANGED and mover.drained != word and is_drained(worker, mover):
            store_release(struct_address(mover) + DRAINED, word)
        if phase >= EXPORTING:
            time = worker.clock_ns + scale(cycles() - worker.clock_start, worker.clock_scale, 32)
            now = unsigned_divide(time, MS) & 0xFFFFFFFF
            take_over(mover, now)
            if phase == EXPORTING and mover.exported != word and hand_over(mover, now) != 0:
                store_release(struct_address(mover) + EXPORTED, word)
        return 1

    def begin(worker: PortWorker) -> int:
        if worker.moves == 0 or load_acquire(mover_at(worker.moves).phase) & PHASE_MASK == IDLE:
            return 0
        return go_on(worker)

    @apart
    def take(worker: PortWorker, mbufs: int) -> int:
        mover = mover_at(worker.moves)
        while has_room(worker):
            n = from_links(mover, mbufs, worker.most)
            if n == 0:
                break
            n = sort_arrivals(mover, mbufs, n, mover.port)
            if n > 0:
                return n
        if mover.seen & PHASE_MASK >= RELEASED:
            return from_held(mover, mbufs, worker.most)
        return 0

    return begin, take
