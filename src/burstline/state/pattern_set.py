"""`PatternSet`: which of many literals occur in some bytes, and where."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from burstline.errors import BurstlineError, UsageError
from burstline.native.bytes_view import Bytes
from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.state.base import LookAhead
from burstline.state.region import Block, Region
from burstline.state.rule_set import RESULTS

BUCKETS, FINGERPRINT = 8, 4  # a bit for each bucket; bytes at the start of a literal that are looked up in tables
FEW = 16  # literals whose first three bytes are enough: docs/patterns.md
# Bytes of payloads from the most frequent on, roughly: a single literal is looked for by its rarest ones.
FREQUENT = b"\0 etaoinsrhldcumfpgwybvkxjqz.,-0123456789\r\nETAOINSRHLDCUMFPGWYBVKXJQZ"
MOST_PATTERNS = 1 << 20
PIECE = 64  # bytes that are compared at once


class PatternHead(Struct):
    """The literals, as compiled code reads them; all workers have the same, but results of their own."""

    tables: i64  # address: of each byte of the fingerprint two tables of sixteen bytes, by its lower and its upper half
    buckets: i64  # address: of each bucket its first literal and the one behind its last, 32 bits each
    literals: i64  # address of PatternEntries, bucket by bucket
    fingerprint: i64  # bytes of it that are looked up
    near: i64  # of a single literal: two places in it, `far` behind `near`; -1 of several
    far: i64
    near_byte: i64  # what is there, once the bits in which the two cases of a letter differ are set
    far_byte: i64
    near_case: i64  # these bits
    far_case: i64
    results: i64  # address: of each packet of the burst what `first_in` says, 32 bits


class PatternEntry(Struct):
    """One literal. A byte counts where its bits in the mask are set, so that case can be left open."""

    word: i64  # its first eight bytes, and their mask
    mask: i64
    length: i64
    number: i64
    rest: i64  # address of all its bytes, then of all their masks, in pieces of 64; 0 where the first eight are all


class PatternSet(LookAhead):
    """`bad = PatternSet([b"/etc/passwd", "cmd.exe"])` or `PatternSet.load("words.txt")`; texts are UTF-8.

    In a stage `number, at = bad.find(pkt.payload)` gives the first literal that occurs and where it starts, -1 and 0
    where none does; `bad.find(pkt.payload, at, number)` the next occurrence. The order is by where they start, and
    at one place by their numbers, from 0. `pkt.payload in bad` tells whether there is one. With `ignore_case`,
    ASCII letters count without regard to case. `bad.first_in(pkt)` is the number of the first literal in the payload,
    or -1, as it was when the burst came.

    Raises UsageError for a literal that is empty or there twice.
    """

    def __init__(self, literals: Iterable[bytes | str] = (), *, ignore_case: bool = False) -> None:
        self.ignore_case = ignore_case
        self.literals: tuple[bytes, ...] = ()
        self._keep: list[Any] = []
        self._heads: list[tuple[Block, Region]] = []
        self._shared: dict[str, int] = {}
        self._set([_as_bytes(each) for each in literals], "literal {}".format)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, ignore_case: bool = False) -> PatternSet:
        r"""One literal a line; `\x00`, `\n`, `\t` and `\\` stand for what they do in Python. Empty lines and those that
        begin with `#` are left out. A bad line is an error that names it."""
        try:
            lines = Path(path).read_text("utf-8").split("\n")
        except UnicodeDecodeError:
            raise UsageError(f"{path} is no text in UTF-8", r"write other bytes as \xff") from None
        except OSError as error:
            raise BurstlineError(f"cannot read literals from {path}: {error.strerror}") from None
        found, places = [], []
        for number, line in enumerate((line.removesuffix("\r") for line in lines), 1):
            if line.strip() and not line.startswith("#"):
                found.append(_unescaped(line, f"{path}:{number}"))
                places.append(f"{path}:{number}")
        made = cls(ignore_case=ignore_case)
        made._set(found, places.__getitem__)
        return made

    def _set(self, literals: list[bytes], place: Any) -> None:
        if len(literals) > MOST_PATTERNS:
            raise UsageError(f"{len(literals):,} literals are more than {MOST_PATTERNS:,}", "use fewer")
        seen: dict[bytes, int] = {}
        for number, literal in enumerate(literals):
            if not literal:
                raise UsageError(f"{place(number)} is empty: it would be found everywhere", "leave it out")
            same = seen.setdefault(self._folded(literal), number)
            if same != number:
                raise UsageError(f"{place(number)}: {literal!r} is there already, as {place(same)}", "leave one out")
        self.literals = tuple(literals)

    def _folded(self, data: bytes) -> bytes:
        return data.lower() if self.ignore_case else data

    def find(self, view: Bytes, at: int = 0, after: int = -1) -> tuple[int, int]:
        """The first occurrence at byte `at` of a literal behind number `after`, or else behind that byte: the literal's
        number and where it starts; (-1, 0) where there is none."""
        data = self._folded(bytes(view))
        best: tuple[int, int] | None = None
        for number, literal in enumerate(map(self._folded, self.literals)):
            start = data.find(literal, max(at if number > after else at + 1, 0))
            if start >= 0 and (best is None or (start, number) < best):
                best = start, number
        return (best[1], best[0]) if best else (-1, 0)

    def first_in(self, pkt: Any) -> int:
        """The number of the first literal in a packet's payload, or -1. Compiled, it is worked out for all packets of a
        burst ahead of the stages."""
        return int(self.seen(pkt, self._first_in))

    def look_ahead(self, pkt: Any) -> None:
        self.note(pkt, self._first_in(pkt))

    def _first_in(self, pkt: Any) -> int:
        return self.find(pkt.payload)[0]

    def __contains__(self, view: Bytes) -> bool:
        return self.find(view)[0] >= 0

    def __len__(self) -> int:
        return len(self.literals)

    def signature(self) -> tuple[Any, ...]:
        return ()

    def attach(self) -> int:
        self._shared = self._shared or self._built()
        head, results = Block(PatternHead.layout), Region(4 * RESULTS)
        head.set(results=results.address, **self._shared)
        self._heads.append((head, results))
        return head.address

    def addresses(self) -> list[int]:
        return [head.address for head, _ in self._heads]

    def reset(self) -> None:
        self._heads = []

    def _built(self) -> dict[str, int]:
        """Teddy's tables (Qiu et al., "Harry", and Hyperscan, NSDI 2019, section 4): a bit for each bucket that has a
        literal with that half of that byte. Literals that begin alike share a bucket, so that its tables stay thin."""
        order = sorted(range(len(self.literals)), key=lambda n: (self._folded(self.literals[n])[:FINGERPRINT], n))
        share = -(-len(order) // BUCKETS) or 1
        buckets = [sorted(order[k * share : (k + 1) * share]) for k in range(BUCKETS)]
        tables = bytearray(32 * FINGERPRINT)
        bounds, entries = bytearray(), bytearray()
        for bucket, numbers in enumerate(buckets):
            first = len(entries) // PatternEntry.layout.size
            bounds += first.to_bytes(4, "little") + (first + len(numbers)).to_bytes(4, "little")
            for number in numbers:
                literal = self.literals[number]
                for place in range(FINGERPRINT):
                    for value in self._values(literal, place):
                        tables[32 * place + (value & 15)] |= 1 << bucket
                        tables[32 * place + 16 + (value >> 4)] |= 1 << bucket
                entries += self._entry(literal, number)
        return {
            "tables": self._memory(tables), "buckets": self._memory(bounds), "literals": self._memory(entries),
            "fingerprint": 3 if len(order) <= FEW else FINGERPRINT, **self._rarest(),
        }  # fmt: skip

    def _rarest(self) -> dict[str, int]:
        """Of a single literal, the two places that tell most."""
        if len(self.literals) != 1:
            return {"near": -1, "far": -1}
        literal = self.literals[0]
        ranks = {k: FREQUENT.find(literal[k : k + 1]) & 0xFF for k in range(min(len(literal), PIECE))}
        rarest = sorted(ranks, key=lambda k: -ranks[k])[:2]
        near, far = min(rarest), max(rarest)
        cases = [0x20 if self.ignore_case and literal[k : k + 1].isalpha() else 0 for k in (near, far)]
        return {
            "near": near, "far": far, "near_byte": literal[near] | cases[0], "far_byte": literal[far] | cases[1],
            "near_case": cases[0], "far_case": cases[1],
        }  # fmt: skip

    def _values(self, literal: bytes, place: int) -> Iterable[int]:
        """The bytes that may stand at a place of a literal: any behind its end."""
        if place >= len(literal):
            return range(256)
        byte = literal[place : place + 1]
        return {*byte.lower(), *byte.upper()} if self.ignore_case else set(byte)

    def _entry(self, literal: bytes, number: int) -> bytes:
        masks = bytes(0xDF if self.ignore_case and bytes((b,)).isalpha() else 0xFF for b in literal)
        size = -(-len(literal) // PIECE) * PIECE
        rest = self._memory(literal.ljust(size, b"\0") + masks.ljust(size, b"\0")) if len(literal) > 8 else 0
        words = (literal[:8].ljust(8, b"\0"), masks[:8].ljust(8, b"\0"))
        numbers = (len(literal), number, rest)
        return b"".join(words) + b"".join(n.to_bytes(8, "little") for n in numbers)

    def _memory(self, data: bytes | bytearray) -> int:
        region = Region(len(data) + PIECE)
        region.write(0, bytes(data))
        self._keep.append(region)
        return region.address


def _as_bytes(literal: bytes | str) -> bytes:
    return literal.encode() if isinstance(literal, str) else bytes(literal)


_ESCAPE = re.compile(rb"\\(x[0-9A-Fa-f]{2}|.|$)", re.DOTALL)
_MEANT = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"\\": b"\\"}


def _unescaped(line: str, place: str) -> bytes:
    def meant(found: re.Match[bytes]) -> bytes:
        what = found[1]
        if what in _MEANT:
            return _MEANT[what]
        if len(what) == 3:
            return bytes((int(what[1:], 16),))
        shown = f"\\{what.decode(errors='replace')}"
        raise UsageError(
            f"{place}: {shown} stands for nothing", r"write \\ for the character itself, or \x00, \n, \t, \r"
        )

    return _ESCAPE.sub(meant, line.encode())
