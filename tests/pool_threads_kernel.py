"""What threads do to a pool in test_pool_threads.py: take, mark as theirs, pass on or give back, and look for marks of
others."""

from __future__ import annotations

from typing import Any

from burstline.buffers.magazine_kernel import NUMBER, give, pop, push, take
from burstline.native.memory import fetch_add, load64, load_acquire, shift_right, store64, store_release, wrapping_add

SLOTS = 128  # of the ring to the other thread


def churn(cache: Any, work: Any) -> int:
    """`work.rounds` times: take some, mark them, pass a part to the other thread and give the rest back; then give
    back what the other has passed. Returns how many buffers this thread gave."""
    seed = work.seed
    given = 0
    for _ in range(work.rounds):
        seed ^= shift_right(seed, 12)
        seed = wrapping_add(seed, seed << 25)
        seed ^= shift_right(seed, 27)
        n = 1 + (seed & 31)
        if seed & 7 << 8 == 0:
            n = 256
        n = take(cache, work.some, n)
        if n == 0:
            work.failed += 1
        mark(work, n)
        passed = 0
        while passed < n and (seed >> 16 & 3) and send(work, load64(work.some + 8 * passed)):
            passed += 1
        for k in range(passed, n):
            unmark(work, load64(work.some + 8 * k))
        give(cache, work.some + 8 * passed, n - passed)
        given += n - passed + receive(cache, work, 256)
    store_release(work.done, 1)
    while load_acquire(work.other_done) == 0 or load_acquire(work.inbox) != load_acquire(work.inbox + 64):
        given += receive(cache, work, 256)
    return given


def mark(work: Any, n: int) -> None:
    """As owned by this thread; somebody else's mark, or memory that went away, is counted."""
    for k in range(n):
        address = load64(work.some + 8 * k)
        if fetch_add(work.marks + (address - work.start >> 6 << 3), 1) != 0:
            work.twice += 1
        store64(address, address)


def unmark(work: Any, address: int) -> None:
    if load64(address) != address:
        work.overwritten += 1
    if fetch_add(work.marks + (address - work.start >> 6 << 3), -1) != 1:
        work.twice += 1


def send(work: Any, address: int) -> int:
    """By a ring of one producer and one consumer: its head, its tail a line behind, then the slots."""
    head = load_acquire(work.outbox)
    if head - load_acquire(work.outbox + 64) == SLOTS:
        return 0
    store64(work.outbox + 128 + 8 * (head & SLOTS - 1), address)
    store_release(work.outbox, head + 1)
    return 1


def receive(cache: Any, work: Any, most: int) -> int:
    tail = load_acquire(work.inbox + 64)
    n = min(most, load_acquire(work.inbox) - tail)
    for k in range(n):
        address = load64(work.inbox + 128 + 8 * (tail + k & SLOTS - 1))
        unmark(work, address)
        store64(work.some + 8 * k, address)
    store_release(work.inbox + 64, tail + n)
    give(cache, work.some, n)
    return n


def restack(depot: Any, head: int, work: Any) -> int:
    """`work.rounds` times: take three magazines off a stack, mark them, and put them back in another order. Returns how
    many there were."""
    found = 0
    for k in range(work.rounds):
        first, second, third = pop(head, depot.magazines), pop(head, depot.magazines), pop(head, depot.magazines)
        own(work, first, 0)
        own(work, second, 0)
        own(work, third, 0)
        found += (first != 0) + (second != 0) + (third != 0)
        if k & 1:
            first, second = second, first
        unstack(depot, head, work, first)
        unstack(depot, head, work, third)
        unstack(depot, head, work, second)
    return found


def unstack(depot: Any, head: int, work: Any, magazine: int) -> None:
    own(work, magazine, 1)
    if magazine:
        push(head, depot.magazines, magazine)


def own(work: Any, magazine: int, before: int) -> None:
    if magazine and fetch_add(work.marks + 8 * (magazine & NUMBER), 1 - 2 * before) != before:
        work.twice += 1
