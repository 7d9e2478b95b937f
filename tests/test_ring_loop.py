"""The preloaded ring: what it holds, and which options it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from both_modes import pcap_of
from burstline.engine.ring_loop import FLAGS, RING, open_ring_loop, sizes_held, verifies
from burstline.errors import BurstlineError, UsageError
from burstline.offload.mbuf import RX_L4_CKSUM_BAD, RX_LRO, TX_TCP_CKSUM
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


@pytest.mark.parametrize("options", ["packets=x", "colour=red", "capture=", "capture=a.pcap,size=64", "checksums=bad"])
def test_what_it_does_not_know_is_refused(options: str) -> None:
    with pytest.raises(UsageError, match="ring-loop") as caught:
        sizes_held(f"ring-loop,{options}")
    assert "capture=packets.pcap" in str(caught.value.hint)


def test_a_capture_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BurstlineError, match=r"cannot read .*none.pcap: No such file"):
        sizes_held(f"ring-loop,capture={tmp_path}/none.pcap")


def marked(device: str) -> list[list[int]]:
    """The flags of two packets as they are received at first, and when they have gone round with others."""
    from burstline.dpdk.binding import native
    from burstline.dpdk.port import free

    found = []
    with pool() as made:
        port = open_ring_loop(device, made, 1)
        port.start()
        for _ in range(2):
            mbufs = native.receive(port.id, 0, 2)
            found.append([native.mbuf_marks(mbuf)["ol_flags"] for mbuf in mbufs])
            for mbuf in mbufs:
                native.mbuf_mark(mbuf, TX_TCP_CKSUM | RX_LRO | RX_L4_CKSUM_BAD, 1 << 24)
            assert native.transmit(port.id, 0, mbufs) == 2
        (mbuf, other) = native.receive(port.id, 0, 2)
        found.append([native.mbuf_marks(mbuf)[name] for name in ("ol_flags", "tx_offload")])
        free([mbuf, other])
        port.close()
    return found


@pytest.mark.parametrize("checksums", ["good", "unknown"])
def test_a_wire_keeps_nothing_of_what_mbufs_say(checksums: str) -> None:
    flags = FLAGS[checksums]
    assert verifies(f"ring-loop,checksums={checksums}") == (checksums == "good")
    assert alone(marked, f"ring-loop,packets=2,checksums={checksums}") == [[flags] * 2, [flags] * 2, [flags, 0]]


def test_without_a_wire_mbufs_stay_as_they_were() -> None:
    assert alone(marked, "ring-loop,packets=2")[1] == [TX_TCP_CKSUM | RX_LRO | RX_L4_CKSUM_BAD] * 2
