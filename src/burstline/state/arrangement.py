"""Which field of a record lies where: derived from what packets touch together.

A record lies in lines of 64 bytes. Its first one has the flow's key, so that every packet reads it anyway, and `room`
bytes behind that. Fields are given to lines so that packets touch as few others as they can; this is the clustering of
fields by affinity of Chilimbi, Davidson and Larus, "Cache-conscious structure definition", PLDI 1999, with the paths
through the stages in the place of traced accesses. Lines that most packets touch follow the first; the others are the
cold half.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from burstline.errors import UsageError
from burstline.native.struct import LINE, FieldType, Layout, Slot

MOST = 64  # bytes a first line can have
EXACT = 9  # fields that are touched: for up to so many the best of all arrangements is searched for
USES = 64  # that are told apart
SCALE = 1 << 20  # weights are counted in such parts of one, so that no rounding decides


@dataclass(frozen=True)
class Use:
    """Fields of a record that one packet touches, and how many packets of one that comes to the pipeline do so."""

    fields: frozenset[str]
    weight: float


@dataclass(frozen=True)
class _Line:
    """Fields in a line; or, with one of more than 64 bytes, in as many as that one needs. Bits of `uses` are the uses
    that touch it. `half` is None where any will do."""

    fields: tuple[str, ...] = ()
    size: int = 0
    most: int = LINE
    uses: int = 0
    half: int | None = None
    number: int | None = None  # of `line(n)`
    is_first: bool = False


_Lines = tuple[_Line, ...]


def arrange(name: str, fields: dict[str, FieldType], uses: Iterable[Use], room: int) -> Layout:
    """The layout of a record with `room` bytes, a multiple of 8, left in its first line.

    Where everything fits into the room, and in the order of declaration among equals, there is no cold half. No padding
    lies between two fields of a line. Raises UsageError for lines of the user's that cannot be made.
    """
    if not 0 <= room <= MOST or room % 8:
        raise ValueError(f"{room} bytes are no room in a line")
    return _Problem(name, fields, list(uses), room).solved()


def lines_touched(layout: Layout, touched: Iterable[str], room: int) -> int:
    """Lines of a record besides its first one that a packet touches with these fields."""
    lines = set()
    for name in touched:
        slot = layout.slot(name)
        assert slot is not None
        at = slot.offset + (0 if slot.half else MOST - room)
        lines |= {(slot.half, line) for line in range(at // LINE, (at + slot.type.size - 1) // LINE + 1)}
    return len(lines - {(0, 0)})


def _few(weights: dict[frozenset[str], int], fields: Sequence[str]) -> dict[frozenset[str], int]:
    """No more uses than are told apart: of the lightest ones each field as if it were touched alone."""
    if len(weights) <= USES:
        return weights
    heaviest = sorted(weights, key=lambda use: (-weights[use], sorted(use)))
    kept = {use: weights[use] for use in heaviest[:USES]}
    for use in heaviest[USES:]:
        for field in fields:
            if field in use:
                alone = frozenset((field,))
                kept[alone] = kept.get(alone, 0) + weights[use]
    return kept


class _Problem:
    def __init__(self, name: str, fields: dict[str, FieldType], uses: Sequence[Use], room: int) -> None:
        self.name, self.fields, self.room = name, fields, room
        weights: dict[frozenset[str], int] = {}
        for use in uses:
            known = use.fields.intersection(fields)
            weights[known] = weights.get(known, 0) + round(use.weight * SCALE)
        weights = _few(weights, list(fields))
        self.weights = list(weights.values())
        self.mask = {f: sum(1 << k for k, use in enumerate(weights) if f in use) for f in fields}
        self._summed: dict[int, int] = {0: 0}

    def weight(self, uses: int) -> int:
        """Of the uses in a bit set."""
        found = self._summed.get(uses)
        if found is None:
            found = self._summed[uses] = sum(w for k, w in enumerate(self.weights) if uses >> k & 1)
        return found

    def cost(self, lines: _Lines) -> int:
        """Lines touched besides the first, but for those that a field of more than 64 bytes always costs."""
        return sum(self.weight(line.uses) for line in lines if not line.is_first)

    def solved(self) -> Layout:
        start = self.begun()
        placed = {f for line in start for f in line.fields}
        free = [f for f in self.fields if f not in placed]
        touched = [f for f in free if self.weight(self.mask[f])]
        rest = [f for f in free if f not in touched]
        # What most packets touch comes first, and of that what takes the least room; sorting keeps declaration order.
        touched.sort(key=lambda f: (self.fields[f].size <= LINE, -self.weight(self.mask[f]), self.fields[f].size))
        lines = self.greedy(start, touched)
        if len(touched) <= EXACT:
            lines = _Search(self, touched, lines).best(start)
        else:
            alike = sorted(
                touched, key=lambda f: (self.fields[f].size <= LINE, -self.weight(self.mask[f]), self.mask[f])
            )
            starts = lines, self.greedy(start, alike)
            lines = min((self.improved(each, touched) for each in starts), key=self.merit)
        return self.laid_out(self.filled(lines, rest))

    @cached_property
    def first(self) -> _Line:
        return _Line(most=self.room, half=0, is_first=True)

    def begun(self) -> _Lines:
        """The first line, and those that the user asked for; hot fields, in the first one as far as they fit."""
        lines = [self.first]
        for number in sorted({t.line for t in self.fields.values() if t.line is not None}):
            if number:
                lines.append(_Line(number=number))
            for f, kind in self.fields.items():
                if kind.line == number:
                    grown = self.with_field(lines[-1 if number else 0], f)
                    if grown is None:
                        raise UsageError(
                            f"{self.name}.{f} finds no room in line({number}): {kind.size} bytes, of "
                            f"{lines[-1 if number else 0].most} there are {lines[-1 if number else 0].size} taken",
                            "give it another line" if number else "the flow's key lies there too: give it another line",
                        )
                    lines[-1 if number else 0] = grown
        hot = sorted((f for f, kind in self.fields.items() if kind.is_hot), key=lambda f: -self.weight(self.mask[f]))
        return self.greedy(tuple(lines), hot)

    def with_field(self, line: _Line, field: str) -> _Line | None:
        """The line with another field; None where it does not fit in, by its size or by what the user wants."""
        kind = self.fields[field]
        half = 1 if kind.is_cold else 0 if kind.is_hot else None
        most = line.most
        if kind.size > LINE and not line.fields and not line.is_first and line.number is None:
            most = -(-kind.size // LINE) * LINE
        if line.size + kind.size > most or (half is not None and line.half is not None and half != line.half):
            return None
        return replace(
            line,
            fields=(*line.fields, field),
            size=line.size + kind.size,
            most=most,
            uses=line.uses | self.mask[field],
            half=line.half if half is None else half,
        )

    def choices(self, lines: _Lines, field: str) -> Iterator[_Lines]:
        """The ways to add a field: into each line that takes it, and into a new one."""
        for k, line in enumerate(lines):
            grown = self.with_field(line, field)
            if grown is not None:
                yield (*lines[:k], grown, *lines[k + 1 :])
        new = self.with_field(_Line(), field)
        assert new is not None
        yield (*lines, new)

    def greedy(self, lines: _Lines, fields: Iterable[str]) -> _Lines:
        for field in fields:
            lines = min(self.choices(lines, field), key=self.merit)
        return lines

    def merit(self, lines: _Lines) -> tuple[int, int]:
        """What is minimised: lines touched, then lines."""
        return self.cost(lines), sum(line.most for line in lines)

    def improved(self, lines: _Lines, fields: Sequence[str]) -> _Lines:
        """Local search: move a field, or let two change places, as long as that is better."""
        best = self.merit(lines)
        while True:
            found = min(self.neighbours(lines, fields), key=self.merit, default=lines)
            if self.merit(found) >= best:
                return lines
            lines, best = found, self.merit(found)

    def neighbours(self, lines: _Lines, fields: Sequence[str]) -> Iterator[_Lines]:
        for k, field in enumerate(fields):
            yield from self.choices(self.without(lines, field), field)
            for other in fields[k + 1 :]:
                yield from self.changed_over(lines, field, other)

    def changed_over(self, lines: _Lines, a: str, b: str) -> Iterator[_Lines]:
        """The lines with two fields of different lines in each other's place, where both fit."""
        at = {f: k for k, line in enumerate(lines) for f in line.fields}
        if at[a] != at[b]:
            changed = []
            for line in lines:
                new = {a: b, b: a}
                made = self.rebuilt(line, [new.get(f, f) for f in line.fields])
                if made is None:
                    return
                changed.append(made)
            yield tuple(changed)

    def without(self, lines: _Lines, field: str) -> _Lines:
        kept = []
        for line in lines:
            made: _Line | None = line
            if field in line.fields:
                left = [f for f in line.fields if f != field]
                made = self.rebuilt(line, left) if left or line.is_first or line.number is not None else None
            if made is not None:
                kept.append(made)
        return tuple(kept)

    def rebuilt(self, line: _Line, fields: Sequence[str]) -> _Line | None:
        """The line with these fields in the place of its own; None where they do not fit."""
        made: _Line | None = self.first if line.is_first else _Line(number=line.number)
        for f in sorted(fields, key=lambda f: self.fields[f].size <= LINE):
            made = made and self.with_field(made, f)
        return made

    def filled(self, lines: _Lines, rest: Sequence[str]) -> _Lines:
        """With the fields that no packet touches: largest first, each into the line that has the least room for it."""
        for field in sorted(rest, key=lambda f: -self.fields[f].size):
            grown = [(k, made) for k, line in enumerate(lines) if (made := self.with_field(line, field))]
            if grown:
                at, made = min(grown, key=lambda g: (not g[1].is_first, g[1].most - g[1].size))
                lines = (*lines[:at], made, *lines[at + 1 :])
            else:
                lines = next(iter(self.choices(lines, field)))
        return lines

    @cached_property
    def everything(self) -> int:
        return self.weight((1 << len(self.weights)) - 1)

    def laid_out(self, lines: _Lines) -> Layout:
        """Lines that at least half of the packets touch, or that have a hot field, follow the first: there they come a
        tenth sooner than from another array, though that would be the denser (measured with two lines always touched,
        one million flows, on Zen)."""
        first, *others = lines
        halves: tuple[list[_Line], list[_Line]] = ([], [])
        for line in others:
            is_hot = 2 * self.weight(line.uses) >= self.everything > 0
            halves[line.half if line.half is not None else 0 if is_hot else 1].append(line)
        slots: list[Slot] = []
        ends = [self.put(slots, first, 0, 0), 0]
        for half, of_half in enumerate(halves):
            # The fuller ones first, since what is left free behind the last one is no padding.
            of_half.sort(key=lambda line: (line.number or MOST, -self.weight(line.uses), line.size - line.most))
            at = self.room if half == 0 else 0
            for line in of_half:
                ends[half] = self.put(slots, line, at, half)
                at += line.most
        align = max((s.type.align for s in slots), default=1)
        cold = ends[1]
        if cold > LINE:
            cold = -(-cold // LINE) * LINE
        elif cold:
            cold = max(1 << (cold - 1).bit_length(), 8)  # so that none of an array lies in two lines
        return Layout(self.name, tuple(slots), -(-ends[0] // align) * align, align, cold)

    def put(self, slots: list[Slot], line: _Line, at: int, half: int) -> int:
        """Lay out a line's fields from `at` on, by falling alignment, so that no padding lies between any two; returns
        where they end. Behind a field of more than 64 bytes it is by rising alignment, so that they end where all are
        aligned: what is left free before them is no more than 7 bytes."""
        declared = list(self.fields)
        order = sorted(line.fields, key=lambda f: (-self.fields[f].align, declared.index(f)))
        if line.most > LINE:
            (large,) = (f for f in order if self.fields[f].size > LINE)
            slots.append(Slot(large, self.fields[large], at, half))
            order = [f for f in reversed(order) if f != large]
            end = at + line.size
            at = -(-end // 8) * 8 - sum(self.fields[f].size for f in order) if order else end
        for field in order:
            slots.append(Slot(field, self.fields[field], at, half))
            at += self.fields[field].size
        return at


class _Search:
    """Branch and bound: fields in their order into lines, given up where the cost, which only grows, is no better."""

    def __init__(self, problem: _Problem, fields: Sequence[str], known: _Lines) -> None:
        self.problem, self.fields = problem, fields
        self.found, self.merit = known, problem.merit(known)

    def best(self, start: _Lines) -> _Lines:
        if self.merit[0] > self.problem.cost(start):
            self.go(start, 0)
        return self.found

    def go(self, lines: _Lines, at: int) -> None:
        if at == len(self.fields):
            self.found, self.merit = lines, self.problem.merit(lines)
            return
        for made in sorted(self.problem.choices(lines, self.fields[at]), key=self.problem.merit):
            if self.problem.merit(made) < self.merit:
                self.go(made, at + 1)
