"""Lines that come from memory for each packet, as cachegrind (Valgrind) simulates them: the compiled loop of `sessions`
in a process of its own, once with few packets and once with more, of which the difference is taken.

Each packet is of another flow, so that no line but those of the burst is used twice before it has left the simulated
caches; prefetches are none to cachegrind.
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness.process import output

FLOWS = 1 << 17
FEW, MANY = 1, 3  # rounds over all flows, after one in which they begin
CACHES = ("--I1=32768,8,64", "--D1=32768,8,64", "--LL=262144,16,64")
SIMD = "avx2"  # what Valgrind knows
SUMMARY = re.compile(r"^(events|summary): (.*)$", re.MULTILINE)


def is_here() -> bool:
    return shutil.which("valgrind") is not None


def save(code: Any, path: Path) -> None:
    """What `lines_a_packet` takes: made with `BURSTLINE_SIMD=avx2`."""
    path.write_bytes(pickle.dumps((code.object, code.about())))


def lines_a_packet(code: Path, *, derived: bool) -> float:
    """Misses of the last-level cache for data, by packet."""
    few, many = (_misses(code, derived, rounds) for rounds in (FEW, MANY))
    return (many - few) / ((MANY - FEW) * FLOWS)


def _misses(code: Path, derived: bool, rounds: int) -> int:
    found = code.with_suffix(".cachegrind")
    output(
        ["valgrind", "--tool=cachegrind", "--cache-sim=yes", *CACHES, f"--cachegrind-out-file={found}",
         sys.executable, "-m", "benchmarks.harness.simulated", code, int(derived), rounds],
        env={"BURSTLINE_SIMD": SIMD, "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)},
    )  # fmt: skip
    lines = dict(SUMMARY.findall(found.read_text()))
    events = dict(zip(lines["events"].split(), map(int, lines["summary"].split()), strict=True))
    return events["DLmr"] + events["DLmw"]


def main(code: str, derived: str, rounds: str) -> None:
    """What runs under Valgrind."""
    import numpy as np

    from benchmarks.harness.sessions import AHEAD, BURST, Context, arena, sessions
    from burstline.engine.program import Instance, Program, name_state
    from burstline.packet.burst import Burst
    from burstline.state.region import Block, Region

    pipeline, _, _ = sessions(FLOWS, derived=derived == "1")
    name_state(pipeline)
    instance = Instance(Program(pipeline, {}, *pickle.loads(Path(code).read_bytes())))
    packets, memory, context = arena(FLOWS), Region(Burst(BURST + 64).size), Block(Context.layout)
    once = np.random.default_rng(1).permutation(FLOWS).astype(np.uint32)
    order = np.concatenate([once, once[:AHEAD]])
    context.set(burst=memory.address, arena=packets.ctypes.data, order=order.ctypes.data, packets=FLOWS)
    for _ in range(1 + int(rounds)):
        instance.run(context)


if __name__ == "__main__":
    main(*sys.argv[1:])
