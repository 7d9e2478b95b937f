"""Arrangements: as good as the best of all that there are, without padding, and as the user wants them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import burstline as bl
from burstline.errors import UsageError
from burstline.native.struct import FIELD_TYPES, FieldType, Layout, lay_out
from burstline.state.arrangement import EXACT, MOST, SCALE, USES, Use, _Problem, arrange, lines_touched

ROOMS = st.integers(0, MOST // 8).map(lambda n: 8 * n)
PLAIN = [*FIELD_TYPES.values(), bl.bytes_[3], bl.bytes_[24], bl.bytes_[64], bl.bytes_[100], bl.bytes_[128]]
WANTED = [*(bl.cold[t] for t in PLAIN), *(bl.hot[t] for t in PLAIN)]


def named(kinds: Sequence[FieldType]) -> dict[str, FieldType]:
    return {f"f{k}": kind for k, kind in enumerate(kinds)}


@st.composite
def problems(draw: st.DrawFn, kinds: Sequence[FieldType], most: int) -> tuple[dict[str, FieldType], list[Use]]:
    fields = named(draw(st.lists(st.sampled_from(list(kinds)), max_size=most)))
    sets = st.frozensets(st.sampled_from(sorted(fields) or ["none"]))
    weights = st.integers(0, 8).map(lambda n: n / 8)
    return fields, [Use(*use) for use in draw(st.lists(st.tuples(sets, weights), max_size=6))]


def lines_a_packet(layout: Layout, uses: Sequence[Use], room: int) -> float:
    """Expected, besides the first one."""
    return sum(use.weight * lines_touched(layout, use.fields & {s.name for s in layout}, room) for use in uses)


def partitions(fields: Sequence[str]) -> Iterator[list[list[str]]]:
    """All ways to part fields into a first line and any others."""

    def go(rest: Sequence[str], lines: list[list[str]]) -> Iterator[list[list[str]]]:
        if not rest:
            yield lines
            return
        for k in range(len(lines)):
            yield from go(rest[1:], [*lines[:k], [*lines[k], rest[0]], *lines[k + 1 :]])
        yield from go(rest[1:], [*lines, [rest[0]]])

    return go(fields, [[]])


def least(fields: dict[str, FieldType], uses: Sequence[Use], room: int) -> float:
    """By trying all. A field of more than 64 bytes begins a line; small ones may share what it leaves of its last."""
    best = float("inf")
    for first, *others in partitions(list(fields)):
        if sum(fields[f].size for f in first) > room:
            continue
        total, fits = 0.0, True
        for line in others:
            large = [fields[f].size for f in line if fields[f].size > 64]
            small = sum(fields[f].size for f in line if fields[f].size <= 64)
            tail = large[0] % 64 if large else 0
            fits = fits and len(large) < 2 and (small <= 64 - tail if tail or not large else small == 0)
            for use in uses:
                is_large = any(f in use.fields and fields[f].size > 64 for f in line)
                touched = -(-large[0] // 64) if is_large else int(any(f in use.fields for f in line))
                total += use.weight * touched
        if fits:
            best = min(best, total)
    return best


@settings(deadline=None, max_examples=300)
@given(problems(PLAIN, 6), ROOMS)
@example(
    (
        {"f0": bl.bytes_[100], "f1": FIELD_TYPES["u8"], "f2": FIELD_TYPES["u16"]},
        [Use(frozenset({"f0"}), 0.125), Use(frozenset({"f1", "f2"}), 0.125)],
    ),
    0,
)
def test_no_arrangement_touches_fewer_lines(problem: tuple[dict[str, FieldType], list[Use]], room: int) -> None:
    fields, uses = problem
    assert lines_a_packet(arrange("R", fields, uses, room), uses, room) == least(fields, uses, room)


@settings(deadline=None, max_examples=300)
@given(problems(PLAIN + WANTED, 16), ROOMS)
def test_fields_neither_overlap_nor_leave_gaps_in_a_line(
    problem: tuple[dict[str, FieldType], list[Use]], room: int
) -> None:
    fields, uses = problem
    layout = arrange("R", fields, uses, room)
    assert {s.name: s.type for s in layout} == fields
    for half, size in ((0, layout.size), (1, layout.cold_size)):
        slots = layout.half(half)
        assert max((s.offset + s.type.size for s in slots), default=0) <= size
        assert all(s.offset % s.type.align == 0 for s in slots)
        for before, after in itertools.pairwise(slots):
            end = before.offset + before.type.size
            begins_a_line = (after.offset - (0 if half else room)) % 64 == 0
            gap = 0 < after.offset - end < 8 and before.type.size > 64
            assert after.offset == end or gap or (after.offset > end and begins_a_line)
    assert layout.size % layout.align == 0
    assert all(s.half == 1 for s in layout if s.type.is_cold)
    assert all(s.half == 0 for s in layout if s.type.is_hot)
    cold = layout.cold_size
    assert cold % 64 == 0 if cold > 64 else cold in (0, 8, 16, 32, 64)
    assert arrange("R", fields, list(reversed(uses)), room) == layout


@settings(deadline=None, max_examples=50)
@given(problems([t for t in PLAIN if t.size <= 64], 12), ROOMS)
def test_more_fields_than_are_searched_lie_no_worse_than_in_order_of_need(
    problem: tuple[dict[str, FieldType], list[Use]], room: int
) -> None:
    fields, uses = problem
    fields |= {f"more{k}": FIELD_TYPES["u32"] for k in range(EXACT)}
    uses = [*uses, Use(frozenset(fields), 0.5)]
    made = _Problem("R", fields, uses, room)
    touched = sorted(fields, key=lambda f: (-made.weight(made.mask[f]), made.fields[f].size))
    greedy = made.cost(made.greedy((made.first,), touched)) / SCALE
    assert lines_a_packet(arrange("R", fields, uses, room), uses, room) <= greedy


@given(st.lists(st.tuples(st.sampled_from(["u64", "u32", "u8"]), st.integers(-1, 3)), max_size=16), ROOMS)
def test_fields_of_a_numbered_line_share_it(drawn: list[tuple[str, int]], room: int) -> None:
    """Of line 0 no more than fit in beside the key, and of others no more than a line takes."""
    fields: dict[str, FieldType] = {}
    for k, (name, line) in enumerate(drawn):
        taken = sum(t.size for t in fields.values() if t.line == line)
        fits = taken + FIELD_TYPES[name].size <= (64 if line else room)
        fields[f"f{k}"] = bl.line(line)[FIELD_TYPES[name]] if line >= 0 and fits else FIELD_TYPES[name]
    uses = [Use(frozenset(fields), 0.5), Use(frozenset(list(fields)[::2]), 0.25)]
    layout = arrange("R", fields, uses, room)
    begins = {name: lines_begin(layout, name, room) for name in fields}
    for number in range(4):
        lines = {begins[name] for name, kind in fields.items() if kind.line == number}
        assert len(lines) <= 1
        assert number or lines <= {(0, 0)}
    plain = lay_out("R", fields)
    own = [{s.offset // 64 for s in plain if s.type.line == number} for number in (None, *range(4))]
    assert all(not a & b for a, b in itertools.combinations(own, 2))


def lines_begin(layout: Layout, name: str, room: int) -> tuple[int, int]:
    slot = layout.slot(name)
    assert slot is not None
    return slot.half, (slot.offset + (0 if slot.half else MOST - room)) // 64


@given(st.integers(USES, 3 * USES), ROOMS)
def test_of_very_many_uses_the_lightest_are_taken_apart(count: int, room: int) -> None:
    fields = {f"f{k}": FIELD_TYPES["u64"] for k in range(8)}
    names = list(fields)
    uses = [
        Use(frozenset(n for k, n in enumerate(names) if number >> k & 1), 1 / (1 + number)) for number in range(count)
    ]
    made = _Problem("R", fields, uses, room)
    assert len(made.weights) <= USES + len(fields)
    for name in names:
        weight = sum(round(u.weight * SCALE) for u in uses if name in u.fields)
        assert made.weight(made.mask[name]) == weight


def places(layout: Layout) -> dict[str, tuple[int, int]]:
    return {s.name: (s.half, s.offset) for s in layout}


U64, U32 = FIELD_TYPES["u64"], FIELD_TYPES["u32"]


def test_what_most_packets_touch_lies_with_the_key_and_the_rest_elsewhere() -> None:
    fields = {"first_seen": U64, "packets": U64, "flags": U32, "bytes": U64, "seen": U32}
    uses = [Use(frozenset({"packets", "bytes"}), 1.0), Use(frozenset(fields), 0.1)]
    layout = arrange("Flow", fields, uses, 16)
    assert places(layout) == {
        "packets": (0, 0), "bytes": (0, 8), "first_seen": (1, 0), "flags": (1, 8), "seen": (1, 12),
    }  # fmt: skip
    assert (layout.size, layout.cold_size) == (16, 16)


def test_there_is_no_cold_half_where_all_fits() -> None:
    layout = arrange("Flow", {"a": U32, "b": U64, "c": U32}, [Use(frozenset({"a"}), 1.0)], 16)
    assert places(layout) == {"b": (0, 0), "a": (0, 8), "c": (0, 12)}
    assert layout.cold_size == 0


def test_what_is_used_together_lies_together() -> None:
    fields = {f"{group}{k}": U64 for k in range(8) for group in "ab"}
    uses = [Use(frozenset(f for f in fields if f[0] == group), 0.4) for group in "ab"]
    layout = arrange("R", fields, uses, 0)
    lines = {group: {(s.half, s.offset // 64) for s in layout if s.name[0] == group} for group in "ab"}
    assert [len(line) for line in lines.values()] == [1, 1]
    assert lines["a"] != lines["b"]


def test_the_user_has_the_last_word() -> None:
    fields = {"a": bl.cold[U64], "b": bl.hot[U64], "c": bl.line(0)[U64], "d": bl.line(1)[U64], "e": bl.line(1)[U32]}
    layout = arrange("R", fields, [Use(frozenset({"a", "d"}), 1.0)], 16)
    assert places(layout) == {"b": (0, 0), "c": (0, 8), "a": (1, 0), "d": (1, 8), "e": (1, 16)}
    with pytest.raises(UsageError, match=r"R.b finds no room in line\(0\): 8 bytes, of 8 there are 8 taken"):
        arrange("R", {"a": bl.line(0)[U64], "b": bl.line(0)[U64]}, [], 8)
    with pytest.raises(UsageError, match=r"R.b finds no room in line\(2\): 16 bytes, of 64 there are 60 taken"):
        arrange("R", {"a": bl.line(2)[bl.bytes_[60]], "b": bl.line(2)[FIELD_TYPES["ipv6"]]}, [], 8)


@pytest.mark.parametrize("room", [-8, 4, 72])
def test_a_room_is_part_of_a_line(room: int) -> None:
    with pytest.raises(ValueError, match="are no room in a line"):
        arrange("R", {"a": U64}, [], room)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: bl.cold[bl.hot[U64]], r"cold\[hot\[u64\]\]: a field has one place"),
        (lambda: bl.line(1)[bl.cold[U64]], r"line\[cold\[u64\]\]: a field has one place"),
        (lambda: bl.line(-1), r"line\(-1\) is no line of a record"),
        (lambda: bl.line[U64], r"line\[u64\] has no number"),
    ],
)
def test_places_that_make_no_sense_are_refused(make: object, match: str) -> None:
    assert callable(make)
    with pytest.raises(UsageError, match=match):
        make()


def test_lines_of_other_structures_are_cache_lines_of_their_own() -> None:
    class Context(bl.Record):
        theirs: bl.line(1)[bl.u64]  # type: ignore[valid-type]
        small: bl.u8
        mine: bl.u64

    assert places(Context.layout) == {"theirs": (0, 0), "mine": (0, 64), "small": (0, 72)}
    assert (Context.layout.size, Context.layout.align) == (128, 64)
