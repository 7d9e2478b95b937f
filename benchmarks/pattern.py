"""Literals in payloads of 1,400 bytes; ns a payload, less is better.

2**20 payloads that do not repeat, in pieces of 2**15 that are made anew between the timings, on one core, beside
Hyperscan in block mode through its C interface (c/pattern.c). 1, 8 and 64 literals of 5 to 16 letters; one payload in
twenty has one. Payloads are noise, and letters as frequent as in English, where many places begin like a literal.
Every occurrence is counted, with its literal and its end, and both sides must count the same.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator

from benchmarks.harness.install import shared_library
from benchmarks.harness.process import measuring_core
from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError

PIECE, PIECES = 1 << 15, 32
COUNTS = (1, 8, 64)


def run(options: Options) -> Iterator[Row]:
    from benchmarks.harness.pattern_loop import Hyperscan, Payloads, literals, ours

    library = shared_library("pattern", options.cache, needs="libhs")
    if library is None:
        options.lacks("Hyperscan", "apt-get install clang libhyperscan-dev pkg-config")
        return
    pieces = 2 if options.quick else PIECES
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {measuring_core()})
    try:
        for text in (False, True):
            for count in COUNTS:
                words = literals(count)
                payloads = Payloads(PIECE, words, text)
                one, two = ours(words, payloads), Hyperscan(library, words, payloads)
                case = f"{count} literal{'s' if count > 1 else ''} in {'letters' if text else 'noise'}"
                times: list[tuple[float, float]] = []
                same = True
                for piece in range(pieces):
                    payloads.fill(piece)
                    one()  # both find the payloads in the same caches
                    times.append((one(), two()) if piece % 2 else (two(), one())[::-1])
                    same = same and one.found == two.found
                if not same:
                    options.fails(case, BurstlineError("Hyperscan finds other occurrences", "mend one of the two"))
                    continue
                a, b = (statistics.median(column) for column in zip(*times, strict=True))
                yield Row("pattern", case, "Hyperscan", a, b, "ns/packet", pieces)
                two.close()
    finally:
        os.sched_setaffinity(0, usable)
