"""What is worked out for whole bursts is the same on live ports as over the file that they read."""

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
from dpdk_live import needs_root
from test_rule_set import packets

APP = """
import os
import signal
import threading
import time

import burstline as bl

rules = bl.RuleSet([{"dport": "1-1000"}, {"src": "10.0.0.0/8"}, {"proto": "udp"}, {"src": "2001:db8::/32"}])
rss, words = bl.Toeplitz(), bl.PatternSet(["\\0\\0\\0", "by"])
total, seen, came, matched = bl.Counter("total"), bl.Counter("seen"), bl.Counter("came"), bl.match("tcp or arp")

@bl.burst_stage
def short(pkts):
    came.add(pkts.here.count())
    seen.add(pkts.here.count() + (pkts.ipv4.ttl & 255).sum())
    return bl.where(pkts.length < 62, bl.drop("short"))

@bl.predicate
def plain(pkt):
    return pkt.ipv4 or pkt.ipv6 or pkt.arp

@bl.stage
def look(pkt):
    total.add(rss.hash(pkt) % 1009 + rules.match(pkt) * 7 + words.first_in(pkt) * 31)
    if pkt in matched:
        return bl.drop("matched")

pipeline = bl.Pipeline(short, plain, look)

def stop_when_all_came():
    while came.value < int(os.environ["AWAITED"]):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)

if "AWAITED" in os.environ:
    threading.Thread(target=stop_when_all_came, daemon=True).start()

@pipeline.at_end
def show(report):
    print("sums", total.value, seen.value)
"""


def run(app: Path, source: str, *options: str, **variables: str) -> tuple[dict[str, Any], str]:
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-m", "burstline", "run", str(app), source, "--json", *options],
        env={**os.environ, "PYTHONPATH": path, **variables}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    return report, next(line for line in done.stderr.splitlines() if line.startswith("sums"))


@needs_root
@pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
def test_on_a_live_port_bursts_are_worked_out_as_over_a_file(tmp_path: Path) -> None:
    app, capture = tmp_path / "app.py", tmp_path / "in.pcap"
    app.write_text(APP)
    found = [p for p in packets() if len(p) >= 14]
    capture.write_bytes(pcap_of(found))
    over_file, sums = run(app, str(capture))
    assert {"short", "plain", "matched"} <= over_file["drops"].keys()
    for mode in ((), ("--interpret",)):
        source = f"dpdk:net_pcap0,rx_pcap={capture}"
        live, said = run(app, source, "--no-huge", "--duration", "60", *mode, AWAITED=str(len(found)))
        assert said == sums
        assert live["packets_in"] == over_file["packets_in"] == len(found)
        assert live["drops"] == over_file["drops"]
