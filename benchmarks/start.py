"""From the start of a new process to the first packet processed, by the top-talkers example; s, less is better.

Cold: nothing is compiled yet (an empty cache). Warm: the pipeline lies compiled in the cache. The time is the engine's
own (`first_packet_seconds`, since the start of the process); a run whose process ended sooner than that is refused.
There is no peer: the goals are 3 s cold and 0.4 s warm.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import captures, engine
from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError

EXAMPLE = Path(__file__).parent.parent / "examples" / "top_talkers.py"
PACKETS, FLOWS = 20_000, 500
TICK = 0.01  # seconds; the kernel tells the start of a process no finer (proc(5), starttime)


def run(options: Options) -> Iterator[Row]:
    path = captures.capture(options.cache, PACKETS, FLOWS, options.say)
    runs = options.runs(5)
    with tempfile.TemporaryDirectory(prefix="burstline-bench-") as directory:
        cache = Path(directory) / "cache"

        def first_packet(cold: bool) -> float:
            if cold:
                shutil.rmtree(cache, ignore_errors=True)
            start = time.perf_counter()
            seconds = engine.first_packet_seconds(EXAMPLE, path, cache)
            wall = time.perf_counter() - start
            if not 0 < seconds <= wall + TICK:
                raise BurstlineError(
                    f"first packet after {seconds:.3f} s in a process of {wall:.3f} s", "a clock is wrong"
                )
            return seconds

        for case, cold in (("cold, goal 3 s", True), ("warm, goal 0.4 s", False)):
            first_packet(cold)
            median = statistics.median(first_packet(cold) for _ in range(runs))
            yield Row("start", f"first packet of top talkers, {case}", None, median, None, "s", runs)
