"""Packets of up to 64 KB that stages emit, with the size of their segments: they leave cut, as from a sender of TCP or
UDP, and into files whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q

import burstline as bl
from both_modes import pcap_of, run_both
from burstline import dpdk
from burstline.buffers.classes import DEFAULT, LARGEST
from burstline.engine.config import Config
from burstline.engine.live_ports import LivePorts
from burstline.engine.report import Report
from burstline.errors import UsageError
from burstline.ports.capture_reader import read_capture
from dpdk_live import alone, packet, raised
from gso_oracle import large_packet, segments

needs_dpdk = pytest.mark.skipif(not dpdk.available(), reason="built without DPDK")


V4: Any = IP(src="10.0.0.1", dst="10.0.0.2", id=7, flags="DF")
V6: Any = IPv6(src="fd00::1", dst="fd00::2")
BIG = large_packet(V4, TCP(sport=1, dport=80, seq=2**32 - 9, ack=1, flags="PA"), LARGEST - 54)
SIX = large_packet(Dot1Q(vlan=3) / V6, TCP(sport=2, dport=80, flags="A"), 20_000)
DATAGRAMS = large_packet(V4, UDP(sport=3, dport=53), 30_001)
UNSAID = large_packet(V6, TCP(sport=4, dport=80, flags="A"), 9001)
STREAM, TAGGED, TRAIN, OTHER = (bl.Template(made.frame) for made in (BIG, SIX, DATAGRAMS, UNSAID))


@bl.stage
def answer(pkt: Any) -> Any:
    """A large packet for each that came, by its number."""
    number = pkt.payload[3]
    if number == 0:
        made = STREAM.emit(pkt)
        made.segment_size = 1448
    elif number == 1:
        made = TAGGED.emit(pkt)
        made.segment_size = 1000
    elif number == 2:
        made = TRAIN.emit(pkt)
        made.segment_size = 1200
    else:
        OTHER.emit(pkt)  # of a size that fits the MTU
    return bl.CONSUME


PIPELINE = bl.Pipeline(answer)
CUT = [*segments(BIG, 1448), *segments(SIX, 1000), *segments(DATAGRAMS, 1200), *segments(UNSAID, 1500 - 60)]


def frames_of(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        return [bytes(found.data) for found in read_capture(file, path.name)]


def sent(folder: str, mode: str) -> tuple[Report, list[bytes]]:
    from burstline.engine.live import LiveRun
    from burstline.engine.live_interpreter import LiveInterpreter

    place, runner = Path(folder), LiveRun if mode == "compiled" else LiveInterpreter
    (place / "in.pcap").write_bytes(pcap_of([packet(number) for number in range(4)]))
    devices = [f"net_pcap0,rx_pcap={folder}/in.pcap,tx_pcap={folder}/out.pcap"]
    config = Config().with_overrides(duration=0.3, hugepages=False)
    made: Any = runner(PIPELINE, devices, f"dpdk:{devices[0]}", config)
    return made.run(), frames_of(place / "out.pcap")


@needs_dpdk
@pytest.mark.parametrize("mode", ["compiled", "interpreted"])
def test_large_packets_leave_in_segments_of_the_size_that_stages_say(tmp_path: Path, mode: str) -> None:
    report, frames = alone(sent, str(tmp_path), mode)
    assert frames == CUT
    assert report.balanced and not report.drops
    assert (report.made.packets, report.sent.packets) == (4, 4)
    did = report.ports[0]["offloads"]["did"]
    assert (did["gso_packets"], did["gso_segments"]) == (4, len(CUT))
    if mode == "compiled":
        assert [pool.size for pool in report.buffers] == [*DEFAULT.sizes, LARGEST]


def test_files_keep_them_whole_compiled_and_interpreted() -> None:
    outcome = run_both(PIPELINE, [packet(number) for number in range(4)]).equal()
    assert [bytes(found.data) for found in outcome.written] == [b.frame for b in (BIG, SIX, DATAGRAMS, UNSAID)]


def test_there_is_a_class_of_buffers_for_the_largest_template_and_none_where_those_set_suffice() -> None:
    def classes(size: int, **pools: Any) -> tuple[int, ...]:
        template = bl.Template(bytes(size))

        @bl.stage
        def emit(pkt: Any) -> Any:
            template.emit(pkt)

        config = Config().with_overrides(**pools)
        return LivePorts(["net_null0"], None, config, 1, bl.Pipeline(emit)).config.pools.size_classes.sizes

    assert classes(60) == classes(9216) == DEFAULT.sizes
    assert classes(9217) == (*DEFAULT.sizes, 9280)
    assert classes(1000, classes=[128, 640]) == (128, 640, 1024)
    assert classes(LARGEST) == (*DEFAULT.sizes, LARGEST)
    assert (
        raised(lambda: classes(LARGEST + 1)).message
        == "a template of 65,345 bytes: a buffer of a live port holds 65,344"
    )


def test_a_pipeline_whose_packets_no_buffer_of_the_run_holds_is_no_successor() -> None:
    @bl.stage
    def through(pkt: Any) -> Any:
        return None

    ports = LivePorts(["net_null0"], None, Config(), 1, bl.Pipeline(through))
    with pytest.raises(UsageError, match="packets of up to 65,344 bytes fit into no buffer of this run"):
        ports.admit(PIPELINE)
