"""Packets that stages clone leave by live ports, after their burst; every buffer comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from both_modes import pcap_of
from burstline import dpdk
from burstline.ports.capture_reader import read_capture
from dpdk_live import needs_root, packet

pytestmark = [needs_root, pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")]

APP = """
import burstline as bl

@bl.stage
def copy(pkt):
    for k in range(pkt.length % 3):
        one = pkt.clone(0)
        one.eth.dst = 0x0200_0000_0000 + k
    if pkt.length % 5 == 0:
        pkt.clone(9)
    if pkt.length % 4 == 0:
        return bl.DROP
    pkt.eth.src = 7

pipeline = bl.Pipeline(copy)
"""


def run(*arguments: str) -> dict[str, Any]:
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-m", "burstline", "run", *arguments, "--json", "--no-huge"],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def written(path: Path) -> list[bytes]:
    with path.open("rb") as stream:
        return [bytes(found.data) for found in read_capture(stream, str(path))]


@pytest.mark.parametrize("mode", [(), ("--interpret",)], ids=["compiled", "interpreted"])
def test_copies_go_out_of_the_port_that_they_are_told_and_the_rest_as_without_them(
    tmp_path: Path, mode: tuple[str, ...]
) -> None:
    app, source, back, out = (tmp_path / name for name in ("app.py", "in.pcap", "back.pcap", "out.pcap"))
    app.write_text(APP)
    frames = [packet(k, 60 + k % 13) for k in range(300)] + [packet(k, 8990 + k) for k in range(10)]
    source.write_bytes(pcap_of(frames))
    report = run(
        str(app), f"dpdk:net_pcap0,rx_pcap={source},tx_pcap={back}", "--out", f"dpdk:net_pcap1,tx_pcap={out}",
        "--duration", "2", *mode,
    )  # fmt: skip
    copies = [(0x0200_0000_0000 + k).to_bytes(6, "big") + f[6:] for f in frames for k in range(len(f) % 3)]
    nowhere = sum(len(f) % 5 == 0 for f in frames)
    assert written(back) == copies
    assert written(out) == [f[:6] + (7).to_bytes(6, "big") + f[12:] for f in frames if len(f) % 4]
    assert report["packets_in"] == len(frames)
    assert report["packets_made"] == len(copies) + nowhere
    assert report["drops"]["no such port"]["packets"] == nowhere
    assert report["packets_in"] + report["packets_made"] == report["packets_out"] + sum(
        drop["packets"] for drop in report["drops"].values()
    )


def test_copies_that_find_no_buffer_are_dropped_by_name_and_their_packets_go_on(tmp_path: Path) -> None:
    """More copies of a burst are asked for than it has room for: 63 more than a burst of the settings."""
    app, config = tmp_path / "app.py", tmp_path / "few.toml"
    app.write_text(
        "import burstline as bl\n"
        "@bl.stage\n"
        "def many(pkt):\n"
        "    for _ in range(40):\n"
        "        pkt.clone()\n"
        "pipeline = bl.Pipeline(many)\n"
    )
    config.write_text("[engine]\nburst = 64\n")
    report = run(
        str(app), "dpdk:ring-loop,packets=64", "--out", "dpdk:net_null0", "--duration", "1", "--config", str(config)
    )
    assert report["drops"]["no buffer"]["packets"] > 0
    assert report["packets_made"] == 40 * report["packets_in"]
    lost = sum(drop["packets"] for drop in report["drops"].values())
    assert report["packets_in"] + report["packets_made"] == report["packets_out"] + lost
    assert [w for w in report["warnings"] if w.endswith(", or make at most 127 packets of a burst")]


@pytest.mark.parametrize("ops", ["stack", "ring_mp_mc"])
def test_buffers_of_copies_come_from_dpdks_own_pools_too_and_go_back_there(tmp_path: Path, ops: str) -> None:
    """A run ends with an error where one is not back."""
    app, source, config, out = (tmp_path / name for name in ("app.py", "in.pcap", "ops.toml", "out.pcap"))
    app.write_text(APP)
    config.write_text(f'[pools]\nops = "{ops}"\n')
    frames = [packet(k, 60 + k % 13) for k in range(300)]
    source.write_bytes(pcap_of(frames))
    report = run(
        str(app), f"dpdk:net_pcap0,rx_pcap={source}", "--out", f"dpdk:net_pcap1,tx_pcap={out}",
        "--duration", "1", "--config", str(config),
    )  # fmt: skip
    assert written(out) == [f[:6] + (7).to_bytes(6, "big") + f[12:] for f in frames if len(f) % 4]
    assert report["packets_in"] == len(frames)
    assert report["packets_made"] > 0
    assert [(pool["in_use"], pool["cores"]) for pool in report["buffers"]] == [(0, [])] * 4, "ours know their cores"
