"""The table of the NIC in software in memory, as compiled code looks rows of headers up in it."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import astuple, dataclass

from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.state.region import Block, Region
from burstline.state.toeplitz import LONGEST_INPUT, toeplitz
from burstline.steering.hardware.driver import HardwareDriver
from burstline.steering.model.row import SCTP, SIZE, TCP, UDP, Row, rows_of
from burstline.steering.model.table import Entry, Table

WORDS = SIZE // 8
PASS, QUEUE, SPREAD, DROP = range(4)  # what a rule does with a packet
NO_MARK = -1
# A group: rank of its first rule, how many words it compares, chains less one, their address, then of each word offset
# and mask.
GROUP, GROUP_WORDS = 32 + 16 * WORDS, 32
# A rule: the value of each word that its group compares, then these; `next` is the address of another, or 0.
RULE, RANK, NEXT, FATE, NUMBER, MARK, COUNTER, BETWEEN, BETWEENS = 192, *range(128, 192, 8)
BETWEEN_SIZE = 40  # bytes: offset and width in the row, mask, least, most
MULTIPLIER, ALL = 0x9E3779B97F4A7C15, (1 << 64) - 1


class LookupTables(Struct):
    """What decides over packets at a moment; it never changes."""

    groups: i64  # address
    count: i64  # how many
    reta: i64  # address of the queue of each bucket, 16 bits
    reta_mask: i64
    toeplitz: i64  # address: of each byte of the input what each of its values adds to the hash, 32 bits
    hashed: i64  # bits of the transports whose ports are part of the hash
    isolated: i64


@dataclass(frozen=True)
class _Prepared:
    """A row of a rule in memory, as far as it depends on no other rule."""

    words: bytes  # places and masks of the words that it compares
    values: bytes  # of these words, as far as RANK
    hash: int
    does: bytes  # from FATE on
    keep: tuple[Region, ...]  # what it names


class Builder:
    """Makes memory of tables; what it made of a rule it keeps for the next table, as long as the rule is there."""

    def __init__(self, driver: HardwareDriver) -> None:
        self._driver = driver
        self._rows: dict[int, list[_Prepared]] = {}
        self._hashing: tuple[bytes, Region] | None = None

    def build(self, table: Table) -> Lookup:
        self._rows = {
            entry.handle: self._rows.get(entry.handle)
            or [_prepared(row, entry) for row in rows_of(entry.items, self._driver)]
            for entry in table.entries
        }
        if self._hashing is None or self._hashing[0] != table.key:
            self._hashing = table.key, _kept(b"".join(byte_tables(table.key)))
        return Lookup(table, self._rows, self._hashing[1])


class Lookup:
    """A table in memory, at `address`. `version` is the table's."""

    def __init__(self, table: Table, rows: dict[int, list[_Prepared]], hashing: Region) -> None:
        self.version = table.version
        self._named = table, rows, hashing  # memory that is written or read
        self._keep: list[Region] = []
        found: dict[bytes, list[tuple[int, _Prepared]]] = {}
        for rank, entry in enumerate(table.entries):
            for row in rows[entry.handle]:
                found.setdefault(row.words, []).append((rank, row))
        groups = b"".join(self._group(words, members) for words, members in found.items())  # by their first rank
        hashed = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP}
        self._block = Block(LookupTables.layout)
        self._block.set(
            groups=self._put(groups), count=len(found),
            reta=self._put(struct.pack(f"<{len(table.reta)}H", *table.reta) or bytes(2)),
            reta_mask=max(len(table.reta) - 1, 0), toeplitz=hashing.address,
            hashed=sum(hashed[name] for name in table.hashed), isolated=int(table.isolated),
        )  # fmt: skip
        self.address = self._block.address

    def _put(self, data: bytes) -> int:
        self._keep.append(_kept(data))
        return self._keep[-1].address

    def _group(self, words: bytes, members: list[tuple[int, _Prepared]]) -> bytes:
        size = 1 << (2 * len(members) - 1).bit_length()
        rules = Region(RULE * len(members) + 8)
        heads, made = [0] * size, [b""] * len(members)
        for place in range(len(members) - 1, -1, -1):  # so that chains begin with the lowest rank
            rank, row = members[place]
            at = row.hash & size - 1
            made[place] = row.values + struct.pack("<qq", rank, heads[at]) + row.does
            heads[at] = rules.address + RULE * place
        rules.write(0, b"".join(made))
        self._keep.append(rules)
        chains = self._put(struct.pack(f"<{size}q", *heads))
        first = struct.pack("<4q", members[0][0], len(words) // 16, size - 1, chains)
        return (first + words).ljust(GROUP, b"\0")


def _prepared(row: Row, entry: Entry) -> _Prepared:
    masks = [(8 * k, bytes(row.mask[8 * k : 8 * k + 8])) for k in range(WORDS)]
    used = [(at, mask) for at, mask in masks if any(mask)]
    values = [bytes(row.value[at : at + 8]) for at, _ in used]
    words = b"".join(struct.pack("<q", at) + mask for at, mask in used)
    hashed = hash_of(int.from_bytes(value, "little") for value in values)
    return _Prepared(words, b"".join(values).ljust(RANK, b"\0"), hashed, *_does(row, entry))


def _does(row: Row, entry: Entry) -> tuple[bytes, tuple[Region, ...]]:
    """What a rule does with packets, and what must be between which numbers."""
    actions, keep = {action.kind: action for action in entry.actions}, []
    fate, number, between = PASS, 0, 0
    if "QUEUE" in actions:
        fate, number = QUEUE, actions["QUEUE"].number
    elif "RSS" in actions:
        queues = actions["RSS"].queues
        keep.append(_kept(struct.pack(f"<{1 + len(queues)}H", len(queues), *queues)))
        fate, number = SPREAD, keep[-1].address
    elif "DROP" in actions:
        fate = DROP
    if row.between:
        keep.append(_kept(b"".join(struct.pack("<5q", *astuple(each)) for each in row.between)))
        between = keep[-1].address
    mark = actions["MARK"].number if "MARK" in actions else NO_MARK
    counter = entry.held.counter.address if entry.held.counter is not None else 0
    return struct.pack("<6q", fate, number, mark, counter, between, len(row.between)), tuple(keep)


def hash_of(words: Iterable[int]) -> int:
    """As compiled code does it."""
    found = 0
    for word in words:
        product = (found ^ word) * MULTIPLIER
        found = product & ALL ^ product >> 64
    return found


def byte_tables(key: bytes) -> Iterable[bytes]:
    """Of each byte of the hash's input what each of its 256 values adds, 32 bits."""
    for place in range(LONGEST_INPUT):
        bits = [toeplitz(key, bytes(place) + bytes((1 << k,))) for k in range(8)]
        added = [0]
        for value in range(1, 256):
            low = value & -value
            added.append(added[value ^ low] ^ bits[low.bit_length() - 1])
        yield struct.pack("<256I", *added)


def _kept(data: bytes) -> Region:
    region = Region(len(data) + 8)
    region.write(0, data)
    return region
