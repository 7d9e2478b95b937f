"""The entropy of bytes: compiled as interpreted, and what NumPy finds."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import burstline as bl
from both_modes import pcap_of, run_both, stage_of
from burstline.engine.offline import FileRun
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


def test_a_histogram_counts_every_byte_of_every_worker(tmp_path: Path) -> None:
    chance = random.Random(9)
    payloads = [chance.randbytes(chance.randrange(300)) for _ in range(80)] + [b"", b"aaaaaaaaa", b"ab", b"xyz"]
    seen = bl.ByteHistogram()
    pipeline = bl.Pipeline(stage_of("def look(pkt):\n    seen.add(pkt.payload)\n", seen=seen))
    wanted = np.bincount(np.frombuffer(b"".join(payloads), "u1"), minlength=256).tolist()
    run_both(pipeline, [frame(p) for p in payloads], out=None).equal()
    assert seen.counts == wanted  # the interpreter's
    source = tmp_path / "in.pcap"
    source.write_bytes(pcap_of([frame(p) for p in payloads]))
    for workers in (1, 2):
        FileRun(pipeline, str(source), None, workers=workers).run()
        assert seen.counts == wanted
