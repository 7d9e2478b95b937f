"""The soak of buffers, for seconds only."""

from __future__ import annotations

from pathlib import Path

import pytest

from burstline import dpdk
from dpdk_live import needs_root
from soak_buffers import soak


@needs_root
@pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
def test_every_buffer_is_back_whatever_stages_did_with_packets(tmp_path: Path) -> None:
    report = soak(3, tmp_path)
    assert report["packets_made"] > 1000
    assert {"by chance", "no such port", "soak"} <= report["drops"].keys()
    assert sum(each["taken"] for each in report["buffers"] if each["size"] >= 9000) > 0
