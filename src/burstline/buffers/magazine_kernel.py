"""Taking and giving buffers: the compiled half of `magazine.py`. One core calls these with a cache of its own."""

from __future__ import annotations

from typing import Any

from burstline.buffers.magazine import LINK, MAGAZINE, ROUNDS, CoreCache, Depot
from burstline.native.build import apart
from burstline.native.memory import (
    compare_swap,
    fetch_add,
    load32,
    load64,
    load_acquire,
    prefetch,
    prefetch_to_write,
    store32,
    store64,
    store_release,
    wrapping_add,
)
from burstline.native.struct_type import reference, struct_address
from burstline.simd import u32x8, u64x8
from burstline.simd.memory import load_vector, store_vector

depot_at = reference(Depot)
FULL_TOP, EMPTY_TOP, FULL, EMPTY, ASIDE, LAST, FRESH = (
    Depot.layout.offset(name) for name in ("full_top", "empty_top", "full", "empty", "aside", "last", "fresh")
)
RESERVE = CoreCache.layout.offset("reserve")
NUMBER = (1 << 32) - 1
CHANGE = 1 << 32
UNIT = 6  # bits: handles count cache lines


def push(head: int, magazines: int, magazine: int) -> None:
    """Onto a stack (R. K. Treiber, "Systems Programming: Coping with Parallelism", IBM RJ 5118, 1986)."""
    number = magazine & NUMBER
    link = magazine_at(magazines, number) - LINK
    while True:
        top = load_acquire(head)
        store64(link, magazine - number | top & NUMBER)
        if compare_swap(head, top, wrapping_add(top & ~NUMBER, CHANGE) | number):
            return


def pop(head: int, magazines: int) -> int:
    """The magazine on top; 0 when there is none."""
    while True:
        top = load_acquire(head)
        number = top & NUMBER
        if number == 0:
            return 0
        link = load64(magazine_at(magazines, number) - LINK)
        if compare_swap(head, top, wrapping_add(top & ~NUMBER, CHANGE) | link & NUMBER):
            return link & ~NUMBER | number


def put(depot: int, top: int, head: int, magazines: int, magazine: int) -> None:
    if compare_swap(depot + top, 0, magazine) == 0:
        push(depot + head, magazines, magazine)


def get(depot: int, top: int, head: int, magazines: int) -> int:
    magazine = load_acquire(depot + top)
    if magazine and compare_swap(depot + top, magazine, 0):
        return magazine
    return pop(depot + head, magazines)


def get_full(depot: int, magazines: int) -> int:
    """A magazine with handles, of those laid aside where there is no other; 0 when there is none."""
    magazine = get(depot, FULL_TOP, FULL, magazines)
    if magazine == 0:
        magazine = pop(depot + ASIDE, magazines)
    if magazine == 0:  # nor if some were put back between the two looks
        magazine = get(depot, FULL_TOP, FULL, magazines)
    return magazine


def get_empty(depot: Depot) -> int:
    """One without. There are two for each core more than there are buffers, so that, when all were in use, those that
    others hold leave one here, or one that is on its way."""
    at = struct_address(depot)
    while True:
        number = get(at, EMPTY_TOP, EMPTY, depot.magazines)
        if number == 0 and load_acquire(at + FRESH) <= depot.numbers:
            number = fetch_add(at + FRESH, 1)
        if 0 < number <= depot.numbers:
            return number


def magazine_at(magazines: int, number: int) -> int:
    """The address of its handles."""
    return magazines + (number - 1) * MAGAZINE + LINK


def number_of(handles: int, magazines: int) -> int:
    return (handles - LINK - magazines) // MAGAZINE + 1


def load_handles(to: int, handles: int, n: int, base: int) -> None:
    """Handles as addresses."""
    whole = n & ~7
    for k in range(0, whole, 8):
        some: Any = load_vector(u32x8, handles + 4 * k)
        store_vector(to + 8 * k, (u64x8(some) << UNIT) + base)
    for k in range(whole, n):
        store64(to + 8 * k, base + (load32(handles + 4 * k) << UNIT))


def store_handles(handles: int, source: int, n: int, base: int) -> None:
    """Addresses as handles."""
    whole = n & ~7
    for k in range(0, whole, 8):
        some: Any = load_vector(u64x8, source + 8 * k)
        store_vector(handles + 4 * k, u32x8((some - base) >> UNIT))
    for k in range(whole, n):
        store32(handles + 4 * k, load64(source + 8 * k) - base >> UNIT)


def visit(cache: CoreCache) -> None:
    """Count where the depot's line comes from another core."""
    prefetch_to_write(cache.depot)  # or it would come twice: to be read, then to be written
    last = cache.depot + LAST
    if load_acquire(last) != cache.core:
        cache.transfers += 1
        store_release(last, cache.core)


def swap(cache: CoreCache) -> None:
    cache.loaded, cache.previous = cache.previous, cache.loaded
    cache.count, cache.kept = cache.kept, cache.count


@apart
def restock(cache: CoreCache) -> int:
    """The previous magazine is empty: exchange it for one that is not, if there is one."""
    depot = depot_at(cache.depot)
    visit(cache)
    cache.way = 1
    magazine = get_full(cache.depot, depot.magazines)
    if magazine:
        cache.popped += 1
    else:
        magazine = pop(struct_address(cache) + RESERVE, depot.magazines)
        if magazine == 0:
            return 0
        cache.reserved += 1
    put(cache.depot, EMPTY_TOP, EMPTY, depot.magazines, number_of(cache.previous, depot.magazines))
    cache.previous = magazine_at(depot.magazines, magazine & NUMBER)
    cache.kept = magazine >> 32
    for line in range(0, MAGAZINE, 64):
        prefetch(cache.previous - LINK + line)
    return 1


@apart
def unload(cache: CoreCache) -> None:
    """The previous magazine is full: exchange it for an empty one, of which there always is one."""
    depot = depot_at(cache.depot)
    visit(cache)
    cache.way = -1
    number = get_empty(depot)
    put(cache.depot, FULL_TOP, FULL, depot.magazines, cache.kept << 32 | number_of(cache.previous, depot.magazines))
    cache.pushed += 1
    cache.previous = magazine_at(depot.magazines, number)
    cache.kept = 0
    for line in range(0, MAGAZINE, 64):
        prefetch_to_write(cache.previous - LINK + line)


@apart
def take_more(cache: CoreCache, to: int, n: int) -> int:
    """Where the loaded magazine has not enough for this call and the next. What the next one needs is fetched now, so
    that it is in this core's cache by then."""
    done = 0
    while done < n:
        if cache.count == 0:
            if cache.kept == 0 and restock(cache) == 0:
                give(cache, to, done)
                cache.given -= done
                cache.failed += n
                return 0
            swap(cache)
        some = min(cache.count, n - done)
        cache.count -= some
        load_handles(to + 8 * done, cache.loaded + 4 * cache.count, some, cache.base)
        done += some
    cache.taken += n
    if cache.kept == 0 and cache.way > 0 and cache.low == 0:
        prefetch_to_write(cache.depot)
        cache.low = ROUNDS
    else:
        if cache.kept == 0 and cache.way > 0:
            restock(cache)
        cache.low = 0
    return n


@apart
def give_more(cache: CoreCache, source: int, n: int) -> int:
    """Where the loaded magazine has not the room for this call and the next."""
    done = 0
    while done < n:
        if cache.count >= cache.rounds:
            if cache.kept:
                unload(cache)
            swap(cache)
        some = min(cache.rounds - cache.count, n - done)
        store_handles(cache.loaded + 4 * cache.count, source + 8 * done, some, cache.base)
        cache.count += some
        done += some
    cache.given += n
    if cache.kept and cache.way < 0 and cache.high == cache.rounds:
        prefetch_to_write(cache.depot)
        cache.high = 0
    else:
        if cache.kept and cache.way < 0:
            unload(cache)
        cache.high = cache.rounds
    return n


def take(cache: CoreCache, to: int, n: int) -> int:
    """Write the addresses of `n` free buffers to `to`; returns `n`, or 0 when there are not so many."""
    left = cache.count - n
    if left < cache.low:
        return take_more(cache, to, n)
    load_handles(to, cache.loaded + 4 * left, n, cache.base)
    cache.count = left
    cache.taken += n
    return n


def give(cache: CoreCache, source: int, n: int) -> int:
    """Give back the `n` buffers whose addresses are at `source`, whoever took them."""
    count = cache.count + n
    if count > cache.high:
        return give_more(cache, source, n)
    store_handles(cache.loaded + 4 * cache.count, source, n, cache.base)
    cache.count = count
    cache.given += n
    return n


@apart
def hand_in(cache: CoreCache) -> int:
    """Give all of a core's buffers to the depot, its reserve too; the core must not be taking or giving meanwhile."""
    depot = depot_at(cache.depot)
    for _ in range(2):
        swap(cache)
        if cache.kept:
            unload(cache)
    while True:
        magazine = pop(struct_address(cache) + RESERVE, depot.magazines)
        if magazine == 0:
            return 0
        put(cache.depot, FULL_TOP, FULL, depot.magazines, magazine)


def top_up(cache: CoreCache, magazines: int) -> int:
    """Move so many magazines from the depot to the reserve of a core, which may be taking meanwhile; returns how many
    there were."""
    depot = depot_at(cache.depot)
    for done in range(magazines):
        magazine = get_full(cache.depot, depot.magazines)
        if magazine == 0:
            return done
        push(struct_address(cache) + RESERVE, depot.magazines, magazine)
    return magazines


def draw(cache: CoreCache, to: int) -> int:
    """Write the addresses of a magazine of the depot to `to`, of none that was laid aside; returns how many it had, 0
    when there is no other."""
    depot = depot_at(cache.depot)
    magazine = get(cache.depot, FULL_TOP, FULL, depot.magazines)
    if magazine == 0:
        return 0
    number = magazine & NUMBER
    load_handles(to, magazine_at(depot.magazines, number), magazine >> 32, depot.base)
    put(cache.depot, EMPTY_TOP, EMPTY, depot.magazines, number)
    return magazine >> 32


def lay_aside(cache: CoreCache, source: int, n: int) -> int:
    """A magazine of the `n` buffers whose addresses are at `source`, which goes out when there are no others."""
    depot = depot_at(cache.depot)
    number = get_empty(depot)
    store_handles(magazine_at(depot.magazines, number), source, n, depot.base)
    push(cache.depot + ASIDE, depot.magazines, n << 32 | number)
    return n


def put_back(cache: CoreCache) -> int:
    """Have what was laid aside lie on top again, in the order in which it lay; returns how many magazines that are."""
    depot = depot_at(cache.depot)
    done = 0
    while True:
        magazine = pop(cache.depot + ASIDE, depot.magazines)
        if magazine == 0:
            return done
        push(cache.depot + FULL, depot.magazines, magazine)
        done += 1
