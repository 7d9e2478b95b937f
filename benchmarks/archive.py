"""An archive of 50 captures by two processes beside one; packets/s, more is better.

The captures are generated, 90 M packets and 10 GB in all that do not repeat: 1.8 M in 6 k flows each, 96 bytes of every
packet kept, each with a seed of its own. The pipeline keeps flows of one direction and of both, a histogram of sizes,
two sketches, a map of ports and a histogram of bytes. Timed is the whole command, with the start of all processes, the
parts that they hand back and the merged result; the counts of both must be the same. The files are warm.

Goal: 1.8 times one process.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import engine
from benchmarks.harness.captures import warm
from benchmarks.harness.process import cores, output
from burstline.cli.bench import Options, Row, alternate
from burstline.errors import BurstlineError

APP = engine.APPS / "survey.py"
FULL, QUICK = (50, 1_800_000, 6000), (4, 5000, 100)  # captures; packets and flows of each
SNAPLEN = 96


def run(options: Options) -> Iterator[Row]:
    count, packets, flows = QUICK if options.quick else FULL
    folder = captures(options, count, packets, flows)
    if len(cores()) < 2:
        raise BurstlineError("two processes need two cores", "run on a machine that has them")
    found: set[tuple[int, int]] = set()

    def rate(jobs: int) -> float:
        start = time.perf_counter()
        report = json.loads(output(engine.command("archive", APP, folder, "--jobs", str(jobs), "--json")))
        seconds = time.perf_counter() - start
        found.add((report["packets_in"], report["bytes_in"]))
        if len(found) > 1 or report["packets_in"] != count * packets:
            raise BurstlineError(f"the runs counted {found}", "this is a fault of burstline; please report it")
        return float(report["packets_in"]) / seconds

    runs = options.runs(5)
    two, one = alternate(lambda: rate(2), lambda: rate(1), runs)
    yield Row("archive", f"{count} captures, {count * packets:,} packets", "1 process", two, one, "packets/s", runs)


def captures(options: Options, count: int, packets: int, flows: int) -> Path:
    """The directory of them."""
    folder = options.cache / f"archive-{count}-of-{packets}-packets-{flows}-flows"
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        path = folder / f"{k:02}.pcap"
        if not path.exists():
            options.say(f"generating {path}")
            sizes = ("--packets", packets, "--flows", flows, "--snaplen", SNAPLEN, "--seed", k + 1)
            part = options.cache / f"{folder.name}-part.pcap"
            output(engine.command("gen", part, *map(str, sizes)))
            os.replace(part, path)
        warm(path)
    return folder
