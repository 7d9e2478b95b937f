"""`burstline flows` of a live port: the flows that it finds in the same packets of a capture."""

from __future__ import annotations

from pathlib import Path

import pytest

from burstline import dpdk
from burstline.cli.main import main
from dpdk_live import alone

TIMES = ["first", "last", "first_back", "last_back", "syn_rtt", "ack_rtt"]  # live, those of the worker's clock


@pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
def test_flows_of_a_port_are_those_of_the_same_packets_in_a_capture(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    capture, known, found = tmp_path / "in.pcap", tmp_path / "known.parquet", tmp_path / "found.parquet"
    assert main(["gen", str(capture), "--packets", "1500", "--flows", "200"]) == 0  # no more than there are buffers
    assert main(["flows", str(capture), "-o", str(known)]) == 0
    device = f"dpdk:net_pcap0,rx_pcap={capture}"
    said = alone(main, ["flows", device, "--duration", "1", "-o", str(found)])
    assert said == 0
    order = [("src", "ascending"), ("sport", "ascending"), ("dst", "ascending"), ("dport", "ascending")]
    one, other = (parquet.read_table(path).sort_by(order).drop_columns(TIMES) for path in (known, found))
    assert one.num_rows > 100 and one.equals(other)
