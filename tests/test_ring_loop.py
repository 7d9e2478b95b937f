"""The preloaded ring: what it holds, and which options it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from both_modes import pcap_of
from burstline.engine.ring_loop import RING, open_ring_loop, sizes_held
from burstline.errors import BurstlineError, UsageError
from dpdk_live import alone, pool

FRAMES = [bytes((k % 256, k // 256)) * 40 for k in range(1500)]


def held(device: str) -> list[bytes]:
    with pool() as made:
        port = open_ring_loop(device, made, 1)
        port.start()
        found = port.drain()
        port.close()
    return found


def test_it_holds_a_capture_each_packet_once(tmp_path: Path) -> None:
    path = tmp_path / "packets.pcap"
    path.write_bytes(pcap_of(FRAMES))
    assert sizes_held(f"ring-loop,capture={path}") == [len(frame) for frame in FRAMES]
    assert alone(held, f"ring-loop,capture={path}") == FRAMES


def test_it_holds_packets_of_its_own() -> None:
    assert sizes_held("ring-loop,packets=3") == [64] * RING
    found = alone(held, "ring-loop,packets=3,size=70")
    assert [len(frame) for frame in found] == [70] * 3 and len(set(found)) == 3


@pytest.mark.parametrize("options", ["packets=x", "colour=red", "capture=", "capture=a.pcap,size=64"])
def test_what_it_does_not_know_is_refused(options: str) -> None:
    with pytest.raises(UsageError, match="ring-loop") as caught:
        sizes_held(f"ring-loop,{options}")
    assert "capture=packets.pcap" in str(caught.value.hint)


def test_a_capture_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BurstlineError, match=r"cannot read .*none.pcap: No such file"):
        sizes_held(f"ring-loop,capture={tmp_path}/none.pcap")
