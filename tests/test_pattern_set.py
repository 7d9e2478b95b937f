"""`PatternSet`: every occurrence that a plain search finds, in order, compiled and interpreted."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import burstline as bl
from both_modes import run_both, stage_of
from burstline.native.bytes_view import Bytes
from burstline.simd import level
from test_vectors import frame

WORDS = [
    b"GET ",
    b"POST ",
    b"Host",
    b"ab",
    b"abc",
    b"abcd",
    b"b",
    b"\0\0\0",
    b"passwd",
    b"/etc/passwd",
    b"x" * 70,
    b"Q",
]


def occurrences(patterns: bl.PatternSet, data: bytes) -> list[tuple[int, int]]:
    """By the object itself: number and start of each."""
    view, found = Bytes(memoryview(bytearray(data))), []
    number, at = patterns.find(view)
    while number >= 0:
        found.append((number, at))
        number, at = patterns.find(view, at, number)
    return found


@given(st.lists(st.binary(min_size=1, max_size=3), min_size=1, max_size=6, unique=True), st.binary(max_size=60))
def test_interpreted_all_occurrences_come_in_order(literals: list[bytes], data: bytes) -> None:
    wanted = sorted(
        (found.start(), number)
        for number, literal in enumerate(literals)
        for found in re.finditer(b"(?=" + re.escape(literal) + b")", data)
    )
    assert occurrences(bl.PatternSet(literals), data) == [(number, at) for at, number in wanted]


PATTERNS = bl.PatternSet(WORDS)
FOLDED = bl.PatternSet(["get ", "HoSt", "\u00e4", "a1b2c3d4e5"], ignore_case=True)
ONE, ONE_FOLDED, LETTER = bl.PatternSet(["passwd"]), bl.PatternSet(["gEt "], ignore_case=True), bl.PatternSet(["x"])
SUMS = [bl.Counter(f"sum {k}") for k in range(6)]
STAGE = """
def look(pkt):
    view = pkt.payload
    weight = (pkt.time // 1000) & 0xFF
    number, at = PATTERNS.find(view)
    steps = 0
    while number >= 0 and steps < 40:
        PLAIN.add((number + 1) * 7919 + at * weight)
        number, at = PATTERNS.find(view, at, number)
        steps += 1
    number, at = FOLDED.find(view)
    while number >= 0:
        OPEN.add((number + 1) * 7919 + at * weight)
        number, at = FOLDED.find(view, at, number)
    number, at = ONE.find(view)
    while number >= 0:
        SINGLE.add(1 + at * weight)
        number, at = ONE.find(view, at, number)
    number, at = ONE_FOLDED.find(view)
    while number >= 0:
        EITHER.add(1 + at * weight)
        number, at = ONE_FOLDED.find(view, at, number)
    number, at = LETTER.find(view, 2)
    SHORT.add((number + 1) * 7919 + at * weight)
    number, at = PATTERNS.find(view, -2, 3)
    SHORT.add(number * 131 + at)
    LARGE.add((ONE.first_in(pkt) + 2) * weight + PATTERNS.first_in(pkt) * 31)
    number, at = MANY.find(view, 3)
    LARGE.add((number + 1) * 7919 + at * weight)
    if view in MANY:
        return bl.DROP
"""


def many() -> bl.PatternSet:
    chance = random.Random(2)
    return bl.PatternSet(dict.fromkeys(chance.randbytes(chance.randrange(2, 12)) for _ in range(2000)))


def payloads() -> list[bytes]:
    """Of all sizes; noise, repeated letters, and the literals at every place near the ends of blocks."""
    chance = random.Random(5)
    made = [bytes(chance.choices(b"abcxGETpo \0", k=chance.randrange(400))) for _ in range(200)]
    made += [chance.randbytes(chance.randrange(700)) for _ in range(150)]
    for word in [*WORDS, b"gEt ", b"hOST", b"A1B2C3D4E5", b"\xc3\xa4", b"\xc3\x84"]:
        for at in (0, 1, 60, 61, 62, 63, 64, 65, 126, 127, 128):
            made.append(b"-" * at + word)
            made.append(b"-" * at + word[:-1])
            made.append(b"-" * at + word + b"-" * 70)
    return made


@pytest.mark.parametrize("simd", level.known())
def test_compiled_the_same_is_found(simd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSTLINE_SIMD", simd)
    names: dict[str, Any] = {"PATTERNS": PATTERNS, "FOLDED": FOLDED, "MANY": many()}
    names |= {"ONE": ONE, "ONE_FOLDED": ONE_FOLDED, "LETTER": LETTER}
    names |= dict(zip(("PLAIN", "OPEN", "LARGE", "SINGLE", "EITHER", "SHORT"), SUMS, strict=True))
    outcome = run_both([stage_of(STAGE, **names)], [frame(p) for p in payloads()], out=None).equal()
    assert all(value for value in outcome.state.values() if isinstance(value, int))
    assert outcome.counts["drops"].keys() == {"look"}


def test_a_file_of_literals_is_read_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_bytes('# ours\nGET \r\n\n\\x00\\xff"\n\\\\n\n\u00e4\n'.encode())
    assert bl.PatternSet.load(file).literals == (b"GET ", b'\0\xff"', b"\\n", b"\xc3\xa4")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb\na\n", "{}:3: b'a' is there already, as {}:1"),
        ("a\n\\q\n", "{}:2: \\q stands for nothing"),
        ("a\nb\\x1\n", "{}:2: \\x stands for nothing"),
        ("a\nb\\", "{}:2: \\ stands for nothing"),
    ],
)
def test_a_bad_line_is_named(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text(text)
    with pytest.raises(bl.UsageError) as caught:
        bl.PatternSet.load(file)
    assert message.replace("{}", str(file)) in caught.value.message


def test_an_empty_literal_and_one_that_is_there_twice_are_refused() -> None:
    with pytest.raises(bl.UsageError, match="literal 1 is empty"):
        bl.PatternSet(["a", ""])
    with pytest.raises(bl.UsageError, match="literal 1: b'AB' is there already, as literal 0"):
        bl.PatternSet(["ab", "AB"], ignore_case=True)
