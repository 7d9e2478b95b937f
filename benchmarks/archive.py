"""An archive of 50 captures by two processes beside one; packets/s, more is better.

The captures are generated, 90 M packets and 10 GB in all that do not repeat: 1.8 M in 6 k flows each, 96 bytes of every
packet kept, each with a seed of its own. The pipeline keeps flows of one direction and of both, a histogram of sizes,
two sketches, a map of ports and a histogram of bytes. Timed is the whole command, with the start of all processes, the
parts that they hand back and the merged result; each must have counted the same. The files are warm.

How much two cores of a machine do beside one depends on what they share: memory, cache, other guests. So the second row
is beside two commands at once, of one process each, over half of the captures each: they have nothing to do with each
other, and nobody merges their results.

Goal: 1.8 times one process.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
    half = sorted(folder.iterdir())[::2]
    other = [path for path in sorted(folder.iterdir()) if path not in half]
    found: set[tuple[int, int]] = set()  # packets and bytes that each side has counted
    two, one = partial(rate, [[folder]], 2, found), partial(rate, [[folder]], 1, found)
    apart = partial(rate, [half, other], 1, found)
    runs = options.runs(5)
    for peer, rated in (("1 process", one), ("2 commands, a half each", apart)):
        a, b = alternate(two, rated, runs)
        if len(found) > 1 or any(counted != count * packets for counted, _ in found):
            raise BurstlineError(f"the runs counted {found}", "this is a fault of burstline; please report it")
        yield Row("archive", f"{count} captures, {count * packets:,} packets", peer, a, b, "packets/s", runs)


def rate(parts: Sequence[Sequence[Path]], jobs: int, found: set[tuple[int, int]]) -> float:
    """Packets/s of commands at the same time, each over its part of the captures; `found` gets what they counted."""
    start = time.perf_counter()
    with ThreadPoolExecutor() as pool:
        words = [engine.command("archive", APP, *part, "--jobs", str(jobs), "--json") for part in parts]
        cores_of = cores() if len(parts) > 1 else [None]
        reports = [json.loads(text) for text in pool.map(lambda w, core: output(w, core=core), words, cores_of)]
    seconds = time.perf_counter() - start
    packets, size = (sum(report[name] for report in reports) for name in ("packets_in", "bytes_in"))
    found.add((packets, size))
    return float(packets) / seconds


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
