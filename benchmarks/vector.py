"""Three stages over 64-byte packets in bursts of 1 to 256, on one core; packets/s, more is better.

A `net_ring` whose transmit side is its receive side holds 2**20 UDP packets of 100,000 flows (one for each in
`--quick`), in random order. The stages count down the hop limit of IPv4 and mend its checksum, count packets and bytes
by flow, and swap the MAC addresses. Each size, and the one that follows the load ("auto"), beside a burst of one
packet. Runs alternate; rates are those of a few seconds of forwarding, the start left out. `--plot` draws the curve.

Goal: 4 times a burst of one packet at the best.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import engine
from benchmarks.harness.process import measuring_core
from burstline.cli.bench import Options, Row, alternate
from burstline.dpdk.hugepages import usable
from burstline.errors import BurstlineError

PACKETS, FLOWS, MEMORY = 1 << 20, 100_000, 600
SIZES = (2, 4, 8, 16, 32, 64, 128, 256, "auto")
QUICK = (8, 256)
APP = engine.APPS / "three_stages.py"


def run(options: Options) -> Iterator[Row]:
    if not usable(MEMORY):
        options.lacks("600 MiB of free huge pages", "sysctl -w vm.nr_hugepages=512")
        return
    seconds, runs = (0.1, 1) if options.quick else (2.0, options.runs(5))
    with tempfile.TemporaryDirectory(prefix="burstline-bench-") as directory:
        packets, config = Path(directory) / "packets.pcap", Path(directory) / "burstline.toml"
        write_packets(packets, PACKETS // 16 if options.quick else PACKETS)
        config.write_text("[pools]\nbuffer_size = 256\n")

        def rate(burst: Any) -> Callable[[], float]:
            words = engine.command(
                "run", APP, f"dpdk:ring-loop,capture={packets}", "--workers", 1, "--cores", measuring_core(),
                "--idle", "poll", "--burst", burst, "--duration", seconds, "--json", "--config", config,
            )  # fmt: skip
            return lambda: engine.forwarding_rate(words)

        rates: dict[int, tuple[float, float]] = {}
        for burst in QUICK if options.quick else SIZES:
            try:
                ours, one = alternate(rate(burst), rate(1), runs)
            except BurstlineError as error:
                options.fails(f"burst {burst}", error)
                continue
            if burst != "auto":
                rates[burst] = ours, one
            yield Row("vector", f"three stages, burst {burst}", "burst 1", ours, one, "packets/s", runs)
        if options.plot is not None:
            from benchmarks.harness.plots import draw_bursts

            options.say(f"vector: {draw_bursts(rates, options.plot)}")


def write_packets(path: Path, count: int) -> None:
    """A capture of 64-byte UDP packets over IPv4, of FLOWS flows in random order."""
    import numpy as np

    random = np.random.default_rng(7)
    flow = random.integers(0, FLOWS, count)
    frame = np.zeros((count, 80), np.uint8)
    frame[:, :16] = np.frombuffer(np.array([0, 0, 64, 64], "<u4").tobytes(), np.uint8)
    frame[:, 16:30] = np.frombuffer(bytes.fromhex("0200000000020200000000010800"), np.uint8)
    frame[:, 30:42] = np.frombuffer(bytes.fromhex("4500003200000000ff110000"), np.uint8)
    frame[:, 42:50] = random.integers(0, 256, (FLOWS, 8))[flow]
    frame[:, 50:54] = random.integers(0, 256, (FLOWS, 4))[flow]
    frame[:, 55] = 30  # UDP's length
    words = frame[:, 30:50].reshape(count, 10, 2).astype(np.uint32)
    total = (words[:, :, 0] << 8 | words[:, :, 1]).sum(1)
    total = (total & 0xFFFF) + (total >> 16)
    total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    frame[:, 40], frame[:, 41] = total >> 8, total & 0xFF
    path.write_bytes(np.array([0xA1B2C3D4, 0x00040002, 0, 0, 65535, 1], "<u4").tobytes() + frame.tobytes())
