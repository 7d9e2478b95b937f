"""Writing what a port receives to a capture file in memory (tmpfs); packets/s that are in the file, more is better.

`net_null` makes a packet for each one that is asked for, so that both sides are offered more than they can write. Ours:
`burstline capture`, a worker on one core and the thread that writes on the other. Beside it what dpdk-dumpcap does,
with DPDK's own library for it, in C and in one process, on the same two cores (benchmarks/c/capture.c): Debian's
dpdk-dumpcap and dpdk-pdump got no packet of dpdk-testpmd on the machine where this was written. Runs alternate.

A second row tells how near ours is to what the file system takes: beside a thread that does nothing but write(2) the
same MiB again and again, in packets of as many bytes. The kernel finds a page for each 4 KiB of it, too.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.forward import free_hugepages
from benchmarks.harness import engine
from benchmarks.harness.install import linked_program
from benchmarks.harness.process import cores, measuring_core, output
from burstline.cli.bench import Options, Row, alternate
from burstline.errors import BurstlineError

UNIT = "packets/s"
MEMORY = Path("/dev/shm")
SIZES = (64, 512, 1500)
PCAPNG = 32  # bytes around a packet and its padding: an enhanced packet block without options
BYTES = 4 << 30  # of a file, at most: so much both can write in the time


def run(options: Options) -> Iterator[Row]:
    if len(cores()) < 2 or not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < BYTES:
        options.lacks("two cores, or room in /dev/shm", "a machine with two cores and 8 GB of memory")
        return
    huge = [] if free_hugepages() > 128 else ["--no-huge"]
    if huge:
        options.lacks("free hugepages", "sysctl -w vm.nr_hugepages=512")
    theirs = linked_program("capture", options.cache, "libdpdk")
    if theirs is None:
        options.lacks("rte_pcapng", "apt-get install clang libdpdk-dev pkg-config")
    runs, seconds = options.runs(5), 0.4 if options.quick else 1.5
    for size in SIZES[1:2] if options.quick else SIZES:
        case = f"{size} bytes"
        ours = capturing(size, seconds, huge)
        peers = {"write(2) alone": writing(size, seconds)}
        if theirs is not None:
            peers = {"rte_pcapng, as dpdk-dumpcap": dumping(theirs, size, seconds, huge), **peers}
        try:
            for peer, rate in peers.items():
                a, b = alternate(ours, rate, runs)
                yield Row("capture", case, peer, a, b, UNIT, runs)
        except BurstlineError as error:
            options.fails(case, error)


def capturing(size: int, seconds: float, huge: list[str]) -> Callable[[], float]:
    def measured() -> float:
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            words = ["capture", f"dpdk:net_null0,size={size},copy=1", "-o", f"{folder}/out.pcapng", "--json"]
            words += ["--duration", str(seconds), "--cores", str(measuring_core()), *huge]
            found = engine.report(engine.command(*words))
            return float(found["packets_out"]) / float(found["seconds"])

    return measured


def dumping(program: Path, size: int, seconds: float, huge: list[str]) -> Callable[[], float]:
    first, last = cores()[0], measuring_core()
    eal = ["-l", f"{first},{last}", "--main-lcore", str(first), "--no-pci", "--log-level=error"]
    eal += [f"--vdev=net_null0,size={size},copy=1", *(["--no-huge", "-m", "512"] if huge else ["--in-memory"])]

    def measured() -> float:
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            said = output([program, *eal, "--", str(seconds), f"{folder}/out.pcapng"])
            written, _, took = said.splitlines()[-1].split()
            return int(written) / float(took)

    return measured


def writing(size: int, seconds: float) -> Callable[[], float]:
    block = memoryview(bytes(1 << 20))
    each = PCAPNG + (size + 3 & ~3)

    def measured() -> float:
        before = set(cores())
        os.sched_setaffinity(0, before - {measuring_core()})
        try:
            with tempfile.TemporaryFile(dir=MEMORY, buffering=0) as file:
                start, written = time.perf_counter(), 0
                while (took := time.perf_counter() - start) < seconds and written < BYTES:
                    written += file.write(block)
            return written / each / took
        finally:
            os.sched_setaffinity(0, before)

    return measured
