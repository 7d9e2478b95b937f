"""The entropy of bytes: compiled as interpreted, and what NumPy finds."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import burstline as bl
from both_modes import run_both, stage_of
from burstline.native.bytes_view import Bytes
from test_vectors import frame


@given(st.binary(max_size=600))
def test_it_is_shannons_formula_in_thousandths(data: bytes) -> None:
    found = bl.byte_entropy(Bytes(memoryview(bytearray(data))))
    counts = np.bincount(np.frombuffer(data, "u1"), minlength=256)
    shares = counts[counts > 0] / max(len(data), 1)
    assert abs(found - float(-(shares * np.log2(shares)).sum()) * 1000) <= 1.5


def test_compiled_it_is_the_same_number() -> None:
    chance = random.Random(8)
    payloads = [chance.randbytes(chance.randrange(1400)) for _ in range(60)]
    payloads += [bytes(chance.choices(b"etaoin shr", k=chance.randrange(1400))) for _ in range(60)]
    payloads += [b"", b"a", b"a" * 900, bytes(range(256)) * 5, chance.randbytes(9000), b"ab" * 4000]
    total = bl.Counter("total")
    source = "def look(pkt):\n    total.add(bl.byte_entropy(pkt.payload) * ((pkt.time // 1000) & 0xFFF))\n"
    source += "    return bl.drop('random') if bl.byte_entropy(pkt.payload) > 7000 else None\n"
    outcome = run_both([stage_of(source, total=total)], [frame(p) for p in payloads]).equal()
    assert outcome.counts["drops"].keys() == {"random"}
