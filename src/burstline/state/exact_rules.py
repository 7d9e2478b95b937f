"""Steering rules for single flows: a hash table that one thread writes while others read it, without a lock.

A slot is one cache line. It is filled before its tag is written, and a tag is never written over by another's: a rule
that is removed leaves a dead slot behind, until the table is made anew and published as a whole (as RCU does it:
McKenney and Slingwine, "Read-copy update", PDCS 1998). So a reader sees a rule whole or not at all.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from burstline.errors import BurstlineError, UsageError
from burstline.native.fieldtypes import i64, shared
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct
from burstline.packet.flow_key import KEY_SIZE, flow_hash
from burstline.state.region import Block, Region

FREE, DEAD, LEAST_TAG = 0, 1, 2
SLOT = 64
KEY_AT, RANK_AT, DECISION_AT = 8, 48, 56  # in a slot, behind the tag
MOST_FLOWS = 1 << 22
WORD = (1 << 64) - 1


class ExactTable(Struct):
    """What compiled code is told."""

    count: shared  # rules that are there
    dead: i64  # slots of rules that were
    slots: i64  # their address
    mask: i64  # how many, less one


_put = Kernel("burstline.state.exact_rules_kernel:put_rules", ExactTable, int, int, int, int)
_remove = Kernel("burstline.state.exact_rules_kernel:remove_rules", ExactTable, int, int)
_copy = Kernel("burstline.state.exact_rules_kernel:copy_rules", ExactTable, ExactTable)


class TableFull(BurstlineError):
    """There is no room for more exact rules."""


class ExactRules:
    """Up to `flows` rules by flow key. Raises UsageError for more than the memory is made for."""

    def __init__(self, flows: int) -> None:
        if type(flows) is not int or not 1 <= flows <= MOST_FLOWS:
            raise UsageError(f"flows is {flows!r}", f"give 1 to {MOST_FLOWS:,}")
        self.flows = flows
        self.mask = (1 << (2 * flows - 1).bit_length()) - 1
        self.slots = Region(SLOT * (self.mask + 1))
        self._table = Block(ExactTable.layout)
        self._table.set(slots=self.slots.address, mask=self.mask)

    @property
    def count_address(self) -> int:
        return self._table.address + ExactTable.layout.offset("count")

    def __len__(self) -> int:
        return self._table.get("count")

    def put(self, keys: bytes, ranks: Sequence[int], words: Sequence[int]) -> bool:
        """True where the table is another one now. Raises TableFull, and puts none."""
        count = len(keys) // KEY_SIZE
        if len(self) + count > self.flows:
            raise TableFull(f"{len(self) + count:,} exact rules are more than {self.flows:,}", "remove some first")
        anew = self._table.get("dead") + len(self) + count > (self.mask + 1) * 3 // 4
        if anew:
            self._renew()
        given = (ctypes.c_int64 * count)(*ranks), (ctypes.c_int64 * count)(*words)
        held = ctypes.create_string_buffer(keys, len(keys) + 1)
        _put(self._table.address, ctypes.addressof(held), *map(ctypes.addressof, given), count)
        return anew

    def remove(self, keys: bytes) -> int:
        """How many were there."""
        held = ctypes.create_string_buffer(keys, len(keys) + 1)
        return _remove(self._table.address, ctypes.addressof(held), len(keys) // KEY_SIZE)

    def find(self, key: bytes) -> tuple[int, int] | None:
        """Rank and decision of the rule for a key."""
        tag = tag_of(flow_hash(key))
        at = tag & self.mask
        while (found := int.from_bytes(self.slots.read(SLOT * at, 8), "little")) != FREE:
            slot = self.slots.read(SLOT * at, SLOT)
            if found == tag and slot[KEY_AT:RANK_AT] == key:
                return int.from_bytes(slot[RANK_AT:DECISION_AT], "little"), int.from_bytes(slot[DECISION_AT:], "little")
            at = at + 1 & self.mask
        return None

    def _renew(self) -> None:
        """The same rules without dead slots, elsewhere: whoever reads the old ones still can."""
        slots, table = Region(self.slots.size), Block(ExactTable.layout)
        table.set(slots=slots.address, mask=self.mask)
        _copy(table.address, self._table.address)
        self._table.set(slots=slots.address, dead=0)
        self.slots = slots


def tag_of(hashed: int) -> int:
    """A flow's hash as it marks a slot."""
    return max(hashed & WORD, LEAST_TAG)
