"""A stateful gateway over bulk TCP on one core, with GRO and without; bytes/s, more is better.

A `net_ring` whose transmit side is its receive side holds 2**18 segments of 1,448 bytes with timestamps, of 1,024 flows
in random order: each sends so many segments in a row as a sender's TSO makes of one packet (64 KB are 45), and each
packet is there once, with a payload of its own. The gateway (apps/gateway.py) asks prefixes, follows and meters
connections, translates addresses, and routes. With GRO, segments that came in one burst are merged before, and cut
again behind, by software, to what they were; both sides send the same segments. Bursts are 256; GRO asks for half of
that.

Packets come as from a port that has verified their checksums, or, in one case, from one that has not, and software
verifies them, on both sides. They lie in memory, which nothing but a prefetch brings into the cache; "in cache" is
with 2**12 packets of 64 flows, as a port that writes to the cache leaves them (DDIO). "Not translated" computes no
checksum of a payload. Runs alternate; rates are those of a few seconds of forwarding, the start left out.

Goal: 3 times the same without GRO.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import engine
from benchmarks.harness.process import measuring_core
from burstline.cli.bench import Options, Row, alternate
from burstline.dpdk.hugepages import usable
from burstline.errors import BurstlineError

PACKETS, FLOWS, MEMORY = 1 << 18, 1024, 800
CACHED, CACHED_FLOWS = 1 << 12, 64
APP = engine.APPS / "gateway.py"


@dataclass(frozen=True)
class Case:
    name: str
    train: int  # segments in a row
    cached: bool = False
    verifies: bool = False
    gateway: str = "translating"


CASES = (
    Case("45 in a row", 45),
    Case("16 in a row", 16),
    Case("8 in a row", 8),
    Case("45 in a row, in cache", 45, cached=True),
    Case("45 in a row, verified in software", 45, verifies=True),
    Case("45 in a row, not translated", 45, gateway="router"),
)
QUICK = CASES[4:5]


def run(options: Options) -> Iterator[Row]:
    if not usable(MEMORY):
        options.lacks("800 MiB of free huge pages", "sysctl -w vm.nr_hugepages=512")
        return
    with tempfile.TemporaryDirectory(prefix="burstline-bench-") as directory:
        for case in QUICK if options.quick else CASES:
            try:
                yield compare(options, Path(directory), case)
            except BurstlineError as error:
                options.fails(case.name, error)


def compare(options: Options, directory: Path, case: Case) -> Row:
    from benchmarks.harness.trains import FRAME, write_trains

    seconds, runs = (0.1, 1) if options.quick else (2.0, options.runs(5))
    small = case.cached or options.quick
    packets = directory / f"{case.train}{'-cached' if small else ''}.pcap"
    if not packets.exists():
        count, flows = (CACHED, CACHED_FLOWS) if small else (PACKETS, FLOWS)
        write_trains(packets, flows, case.train, count)
    device = f"dpdk:ring-loop,capture={packets},checksums={'unknown' if case.verifies else 'good'}"

    verify = 'checksum = "verify"\n' if case.verifies else ""

    def rate(gro: str) -> Callable[[], float]:
        config = directory / f"gro-{gro}.toml"
        config.write_text(f"[pools]\nbuffer_size = 1664\n[offloads]\ngro = {gro}\n{verify}")
        words = engine.command(
            "run", APP, device, "--workers", 1, "--cores", measuring_core(), "--idle", "poll", "--burst", 256,
            "--duration", seconds, "--json", "--config", config,
        )  # fmt: skip
        return lambda: engine.forwarding_bytes(words, FRAME, {"GATEWAY": case.gateway})

    ours, without = alternate(rate("true"), rate("false"), runs)
    return Row("bulk", case.name, "without GRO", ours, without, "bytes/s", runs)
