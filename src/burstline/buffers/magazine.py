"""Where free buffers of one size class on one node are: in the cores' magazines, and in a depot that all share.

J. Bonwick and J. Adams, "Magazines and Vmem: Extending the Slab Allocator to Many CPUs and Arbitrary Resources", USENIX
ATC 2001: each core has a loaded magazine and the previous one, which is full or empty. A core that runs out hands an
empty magazine to the depot for a full one, a core that overflows the other way round: one line of memory that cores
share moves for a whole magazine. A buffer is a handle of 32 bits, its distance from `base` in cache lines, so that a
magazine is half the memory of one of pointers, and so is what moves when another core gets it.
"""

from __future__ import annotations

from burstline.native.fieldtypes import i64, shared
from burstline.native.struct import Struct

LINE = 64
LINES = 17  # of a magazine: it holds the largest burst
MAGAZINE = LINES * LINE
LINK = 32  # bytes before the handles: the number of the next magazine in a stack, and how many handles there are
ROUNDS = (MAGAZINE - LINK) // 4  # handles of a full magazine: whole vectors


class Depot(Struct):
    """Two stacks of magazines: full ones and empty ones; and the full ones that a control thread laid aside, which go
    out when there are no others.

    On top of each lies one in a slot of its own, which goes from core to core without a look at what is below. The
    rest hang on each other, below a head: a number of 32 bits, from 1, with 32 bits above it that change with each
    push and pop, so that none mistakes a stack that changed for the one that it saw (the ABA problem).
    """

    full_top: shared  # the number of a magazine, and above it how many handles it has; 0 when there is none
    empty_top: shared
    full: shared
    empty: shared
    aside: shared
    last: shared  # the core that was here last: when another comes, the line moves
    fresh: shared  # number of the first magazine that never was in use; there are as many as buffers, and two a core
    magazines: i64  # address of number 1
    numbers: i64  # of how many there is memory
    base: i64  # address that handles count from


class CoreCache(Struct):
    """One core's own. Others read the counts while it runs."""

    reserve: shared  # head of a stack of full magazines, which a control thread fills for this core alone
    # In the next line, what each call touches.
    loaded: i64  # address of the loaded magazine's handles
    count: i64  # how many there are
    low: i64  # a call that leaves less than this many handles loaded looks further
    high: i64  # and one that leaves more than this many
    base: i64
    taken: i64  # buffers, ever
    given: i64
    previous: i64
    # In the one after it, what calls touch that go to the depot.
    kept: i64  # handles of the previous one: mostly 0 or `rounds`, but some that the depot has are filled in part
    rounds: i64  # handles that it fills a magazine with: less than ROUNDS where there are few buffers
    depot: i64
    way: i64  # the last exchange with the depot: 1 to take, -1 to give
    core: i64  # its number, from 1
    popped: i64  # magazines that came from the depot
    pushed: i64  # and went there
    reserved: i64  # and came from the reserve
    transfers: i64  # of the depot's line from another core
    failed: i64  # buffers that calls asked for and did not get
