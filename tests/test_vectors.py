"""Vectors in stages: under every level of the CPU, compiled code does what NumPy does, lane by lane."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import burstline as bl
import vector_stages
from both_modes import run_both, stage_of
from burstline.compiler.errors import CompileError
from burstline.simd import level as simd_level
from burstline.simd import m16, select, u8x16, u32x4, u32x16, vector

SIZES = (0, 1, 2, 3, 15, 16, 17, 63, 64, 127, 130, 259, 300, 420, 600)


def frame(payload: bytes) -> bytes:
    """Ethernet, IPv4 and UDP around it."""
    udp = b"\0\x35\0\x35" + (8 + len(payload)).to_bytes(2, "big") + b"\0\0" + payload
    ip = b"\x45\0" + (20 + len(udp)).to_bytes(2, "big") + b"\0\0\0\0\x40\x11\0\0" + bytes(8)
    return b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0" + ip + udp


def payloads() -> list[bytes]:
    """Of all sizes; noise, and bytes near each other, so that comparisons go both ways."""
    random_ = random.Random(4)
    made = [random_.randbytes(size) for size in SIZES for _ in range(6)]
    made += [bytes(random_.choices((0, 1, 5, 77, 127, 128, 200, 255), k=size)) for size in SIZES for _ in range(6)]
    return [*made, bytes(600), b"\xff" * 600]


@pytest.fixture(params=simd_level.known())
def level(request: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("BURSTLINE_SIMD", request.param)
    yield request.param


def test_vectors_in_stages_are_numpys_at_every_level(level: str) -> None:
    outcome = run_both(vector_stages.pipeline, [frame(p) for p in payloads()]).equal()
    assert outcome.counts["drops"].keys() == {"odd: error"}  # an offset before the payload, where a lane is 77
    assert outcome.state["Counter 0"] != 0


@given(st.lists(st.integers(0, 2**32 - 1), min_size=8, max_size=8), st.integers(-(2**63), 2**63 - 1))
def test_interpreted_vectors_are_arithmetic_modulo_their_lanes(lanes: list[int], number: int) -> None:
    x, y = u32x4(*lanes[:4]), u32x4(*lanes[4:])
    pairs = list(zip(lanes[:4], lanes[4:], strict=True))
    top = 2**32
    assert (x + y).array.tolist() == [(a + b) % top for a, b in pairs]
    assert (x * number - y).array.tolist() == [(a * number - b) % top for a, b in pairs]
    assert (x << y).array.tolist() == [(a << b) % top if b < 32 else 0 for a, b in pairs]
    assert (x >> (y & 63)).array.tolist() == [a >> (b & 63) for a, b in pairs]
    assert (x < y).bits() == sum(1 << k for k, (a, b) in enumerate(pairs) if a < b)
    assert select(x == y, x, number).array.tolist() == [a if a == b else number % top for a, b in pairs]
    assert (~(x ^ y)).popcount().array.tolist() == [32 - (a ^ b).bit_count() for a, b in pairs]


def test_what_numbers_a_vector_cannot_have_is_said_with_what_it_can() -> None:
    for bits, lanes in ((24, 4), (32, 0), (8, 4096)):
        with pytest.raises(bl.UsageError) as caught:
            vector(bits, lanes)
        assert f"u{bits}x{lanes}" in str(caught.value)
    widest = simd_level.vector_bits() // 8
    with pytest.raises(bl.UsageError, match=f"u8x{widest} at once"):
        vector(8, 4096)


def test_a_vector_is_neither_true_nor_false() -> None:
    for value in (u32x16(1), u32x16(1) == 1):
        with pytest.raises(TypeError, match="neither true nor false"):
            bool(value)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("x = u32x16(1) + u8x16(1)", "`+` of a vector u32x16 and a vector u8x16 does not exist"),
        ("if u32x16(1) == 1: return bl.DROP", "neither true nor false"),
        ("return u32x16(1)", "a vector u32x16"),
        ("x = u32x16.load(7)", "Kind.load is not called with"),
        ("x = u32x16(1).shuffle(pkt.length)", "Vector.shuffle is not called with"),
        ("x = u32x16(1).shuffle(16)", "Vector.shuffle is not called with"),
        ("x = u32x16(1, 2)", "u32x16"),
        ("x = select(m16(1), 1, 2)", "select"),
    ],
)
def test_what_is_no_vector_operation_is_refused_with_its_line(line: str, problem: str) -> None:
    source = f"def wrong(pkt):\n    {line}\n"
    stage = stage_of(source, u32x16=u32x16, u8x16=u8x16, m16=m16, select=select)
    with pytest.raises(CompileError) as caught:
        run_both([stage], [frame(b"")])
    assert problem in str(caught.value) and line in str(caught.value)


def test_a_level_that_the_cpu_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSTLINE_SIMD", "sve")
    with pytest.raises(bl.UsageError, match="BURSTLINE_SIMD is 'sve': this CPU has scalar"):
        simd_level.used()


def test_lanes_are_little_endian_and_what_is_not_there_is_zero() -> None:
    from burstline.native.bytes_view import Bytes

    view = Bytes(memoryview(bytearray(range(1, 11))))
    assert u32x4.load(view, 2).array.tolist() == [0x06050403, 0x0A090807, 0, 0]
    assert u32x4.load(view, 9).array.tolist() == [10, 0, 0, 0]
    assert u32x4.load(view, 99).array.tolist() == [0, 0, 0, 0]
    assert np.array_equal(u32x4.gather(view, u32x4(0, 6, 7, 99)).array, [0x04030201, 0x0A090807, 0, 0])
