"""Flows on a live port end by the clock, also when no packet comes any more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from both_modes import pcap_of
from burstline import dpdk
from dpdk_live import needs_root
from test_flow_timeouts import FLOWS, frame

APP = """
import os
import signal
import time
import burstline as bl

class Flow(bl.Record):
    packets: bl.u32
    last: bl.u64

flows = bl.FlowTable(Flow, both_ways=True, idle=1)
left = 0

@bl.stage
def count(pkt):
    flow = flows[pkt]
    flow.packets += 1
    flow.last = pkt.time

@flows.expired
def show(rows):
    global left
    now = time.time_ns()
    for row in rows:
        print("left", row["packets"], row["reason"].decode(), (now - int(row["last"])) // 1_000_000)
    left += len(rows)
    if left == int(os.environ["AWAITED"]):
        os.kill(os.getpid(), signal.SIGINT)

pipeline = bl.Pipeline(count)
"""


@needs_root
@pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
@pytest.mark.parametrize("mode", [(), ("--interpret",)])
def test_flows_leave_by_the_clock_when_no_packet_comes(mode: tuple[str, ...], tmp_path: Path) -> None:
    app, capture = tmp_path / "app.py", tmp_path / "in.pcap"
    app.write_text(APP)
    capture.write_bytes(pcap_of([frame(flow) for flow in FLOWS] * 5))
    path = os.pathsep.join(p for p in sys.path if p)
    words = [sys.executable, "-m", "burstline", "run", str(app), f"dpdk:net_pcap0,rx_pcap={capture}", "--no-huge"]
    done = subprocess.run(
        [*words, "--duration", "60", "--json", *mode],
        env={**os.environ, "PYTHONPATH": path, "AWAITED": str(len(FLOWS))},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout[done.stdout.index("{") :])["packets_in"] == 5 * len(FLOWS)
    said = [line.split() for line in (done.stdout + done.stderr).splitlines() if line.startswith("left ")]
    assert [(packets, reason) for _, packets, reason, _ in said] == [("5", "idle")] * len(FLOWS)
    assert all(int(ms) >= 1000 for *_, ms in said)
