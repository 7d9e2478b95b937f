"""The capture bench: both sides write what a port receives, and the file of the peer can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import capture
from benchmarks.harness import install
from benchmarks.harness.process import cores
from burstline import dpdk
from burstline.cli.bench import Options
from dpdk_live import needs_root

pytestmark = [
    needs_root,
    pytest.mark.skipif(
        not dpdk.available() or install.c_compiler() is None or install.package_flags("libdpdk") is None,
        reason="needs DPDK and a C compiler",
    ),
    pytest.mark.skipif(len(cores()) < 2, reason="needs two cores"),
]


def test_all_sides_write_packets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "BYTES", 1 << 20)
    options = Options("capture", quick=True, cache=tmp_path, say=lambda text: None)
    rows = list(capture.run(options))
    assert not options.failures and [row.peer for row in rows] == ["rte_pcapng, as dpdk-dumpcap", "write(2) alone"]
    for row in rows:
        assert row.case == "512 bytes" and row.theirs and row.ours > 0 and row.theirs > 0
