"""However far ahead flow tables fetch, the flows are the same: also farther than a burst has packets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from both_modes import pcap_of
from burstline import dpdk
from burstline.engine.config import Config, Engine
from burstline.numa.learned.advice import PREFETCH
from dpdk_live import alone
from test_live_control import frame


class Flow(bl.Record):
    packets: bl.u64


flows = bl.FlowTable(Flow, capacity=4096)
SPORTS = [1000 + k * k % 997 for k in range(1500)]


@bl.stage
def count(pkt: Any) -> None:
    flows[pkt].packets += 1


def counted(capture: str, near: int) -> dict[str, Any]:
    from burstline.engine import port_context
    from burstline.engine.live import LiveRun

    port_context.NEAR = near
    config = Config(engine=Engine(workers=1, duration=1.0))
    run = LiveRun(bl.Pipeline(count), [f"net_pcap0,rx_pcap={capture}"], None, config)
    report = run.run()
    rows = flows.to_numpy()
    return {"packets": report.received.packets, "flows": {int(row["sport"]): int(row["packets"]) for row in rows}}


@pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
@pytest.mark.parametrize("near", [0, *PREFETCH, 300])
def test_flows_are_the_same_however_far_ahead_they_are_fetched(near: int, tmp_path: Path) -> None:
    capture = tmp_path / "in.pcap"
    capture.write_bytes(pcap_of(frame(sport) for sport in SPORTS))
    found = alone(counted, str(capture), near)
    assert found == {"packets": len(SPORTS), "flows": dict(Counter(SPORTS))}
