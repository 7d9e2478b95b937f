"""Our side of every comparison: the one place that knows how the engine is started and how its report is read."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness.process import measuring_core, output
from burstline.errors import BurstlineError

APPS = Path(__file__).parent.parent / "apps"
NULL_DEVICE = "dpdk:net_null0,size=64,copy=0"
RING_LOOP = "dpdk:ring-loop,packets=512,size=64"


def command(*arguments: str | Path) -> list[str]:
    """`burstline ...` of this very Python."""
    return [sys.executable, "-m", "burstline", *map(str, arguments)]


def report(
    words: list[str], *, core: int | None = None, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> dict[str, Any]:
    """Run the engine to its end; what it reports with --json."""
    text = output(words, core=core, env=env, cwd=cwd)
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        raise BurstlineError(f"the engine's report is not JSON: {text[:200]!r}", " ".join(words)) from None
    if not isinstance(found, dict):
        raise BurstlineError(f"the engine's report is not an object: {text[:200]!r}", " ".join(words))
    return found


def rate(found: Mapping[str, Any]) -> float:
    """Packets/s over the time that packets were processed, the start of the process left out."""
    return float(found["rate"])


def offline(app: Path, path: Path, workers: int) -> list[str]:
    return command("run", app, path, "--workers", str(workers), "--json")


def forward(device: str, *, burst: int, seconds: float, hugepages: bool) -> list[str]:
    """MAC swap on one worker, on testpmd's core, on a device that gives back what is sent to it."""
    core = ["--workers", "1", "--cores", str(measuring_core()), "--idle", "poll"]
    options = ["--burst", str(burst), "--duration", str(seconds), "--json", *([] if hugepages else ["--no-huge"])]
    return command("run", APPS / "macswap.py", device, *core, *options)


def route(packets: Path, *, seconds: float, config: Path) -> list[str]:
    """The router on one worker, over the packets of a capture that go round."""
    core = ["--workers", "1", "--cores", str(measuring_core()), "--idle", "poll", "--burst", "64"]
    device = f"{RING_LOOP.partition(',')[0]},capture={packets}"
    return command("run", APPS / "router.py", device, *core, "--duration", str(seconds), "--json", "--config", config)


def routed(packets: Path, out: Path) -> list[str]:
    """The same over the file, once."""
    return command("run", APPS / "router.py", packets, "--out", out, "--json")


def forwarding_rate(words: list[str], env: Mapping[str, str] | None = None) -> float:
    """Packets/s of a forwarding run, of which every packet must have been sent."""
    found = report(words, env=env)
    if found["packets_out"] != found["packets_in"]:
        raise BurstlineError(
            f"only {found['packets_out']} of {found['packets_in']} packets were sent back", " ".join(words)
        )
    return rate(found)


def forwarding_bytes(words: list[str], frame: int, env: Mapping[str, str] | None = None) -> float:
    """Bytes/s of a forwarding run over frames of one size, as they were received: before any were merged. Every one
    must have been sent, as it came."""
    found = report(words, env=env)
    did = found["ports"][0]["offloads"]["did"]
    merged, cut = did.get("gro_segments", 0), did.get("gso_segments", 0)
    if found["packets_out"] != found["packets_in"] or merged != cut:
        raise BurstlineError(
            f"only {found['packets_out']} of {found['packets_in']} packets were sent back, {merged} merged, {cut} cut",
            " ".join(words),
        )
    frames = found["packets_in"] + merged - did.get("gro_merged", 0)
    return frame * frames / float(found["seconds"])


def first_packet_seconds(app: Path, path: Path, cache: Path) -> float:
    """From the start of the process to the first packet that was processed, with compiled code kept in `cache`, beside
    which the example leaves its files."""
    env = {"BURSTLINE_CACHE": str(cache)}
    return float(report(offline(app, path, 1), env=env, cwd=cache.parent)["first_packet_seconds"])
