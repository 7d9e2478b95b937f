"""Buffers for a long time: packets of all sizes are cloned, emitted, dropped and sent to where there is no port, by
chance, between virtual devices. At the end every buffer is back and every packet accounted for.

    python tests/soak_buffers.py [--seconds 600]

`make soak` runs it; as root.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

APP = """
import burstline as bl

HEAD = bytes.fromhex("020000000001020000000002 0800")


def frame(size):
    ip = bytes.fromhex("4500") + (size - 14).to_bytes(2, "big") + bytes.fromhex("1234 0000 4011 0000 0a000001 0a000002")
    udp = bytes.fromhex("03e807d0") + (size - 34).to_bytes(2, "big") + bytes(2)
    return (HEAD + ip + udp).ljust(size, b"x")


small, full, jumbo = bl.Template(frame(60)), bl.Template(frame(1514)), bl.Template(frame(9000))
limit = bl.Meter(rate=100_000, burst=1000)


@bl.stage
def soak(pkt):
    if not pkt.ipv4:  # from net_null: what makes new packets, so that the loop does not run dry
        if limit.allow(pkt):
            small.emit(pkt, 0)
            full.emit(pkt, 0)
            packet = jumbo.emit(pkt, 0)
            packet.ipv4.id = pkt.time & 0xFFFF
        return bl.DROP
    chance = (pkt.ipv4.id * 25173 + 13849) & 0xFFFF  # each packet carries its own
    pkt.ipv4.id = chance
    kind = chance >> 12
    if kind < 3:
        return bl.drop("by chance")
    if kind < 6:
        copy = pkt.clone(0)
        copy.ipv4.id = chance ^ 0x5A5A
    elif kind == 6:
        pkt.clone(1)
        pkt.clone(9)
    elif kind == 7:
        return bl.send(1)
    elif kind == 8:
        return bl.send(9)
    elif kind == 9:
        return bl.CONSUME
    return bl.send(0)


pipeline = bl.Pipeline(soak)
"""
NULL = "dpdk:net_null0,copy=1"  # makes packets of zeros, and takes any
CONFIG = """
[pools]
buffers = 3000
most = 20000
cache = 128
"""


def soak(seconds: float, folder: Path) -> dict[str, Any]:
    """The report of a run, which has ended well. Raises AssertionError where something is lost."""
    app, config, capture = folder / "soak.py", folder / "soak.toml", folder / "loop.pcap"
    app.write_text(APP)
    config.write_text(CONFIG)
    space: dict[str, Any] = {}
    exec(APP.partition("small, full")[0], space)
    frames = [space["frame"](60 + k * 37 % 8900) for k in range(400)]
    records = b"".join(struct.pack("<IIII", 1, k, len(f), len(f)) + f for k, f in enumerate(frames))
    capture.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + records)
    done = subprocess.run(
        [
            sys.executable, "-m", "burstline", "run", str(app), f"dpdk:ring-loop,capture={capture}", NULL, "--out",
            NULL, "--duration", str(seconds), "--config", str(config), "--json", "--no-huge",
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True, text=True, timeout=seconds + 120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr  # not where a buffer was not given back
    report: dict[str, Any] = json.loads(done.stdout)
    lost = sum(drop["packets"] for drop in report["drops"].values())
    gone = report["packets_out"] + report["packets_consumed"] + lost
    assert report["packets_in"] + report["packets_made"] == gone
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        report = soak(seconds, Path(folder))
    print(f"{report['packets_in']:,} packets came in and {report['packets_made']:,} were made in {seconds:g} s")
    for name, drop in sorted(report["drops"].items()):
        print(f"dropped: {name}: {drop['packets']:,}")
    for each in report["buffers"]:
        print(
            f"buffers of {each['size']:,}: {each['populated']:,}, {each['taken']:,} taken, {each['failed']:,} missing"
        )
    print("every buffer is back, every packet accounted for")
    return 0


if __name__ == "__main__":
    sys.exit(main())
