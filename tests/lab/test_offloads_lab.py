"""Offloads on real drivers: whoever does them by the plan, the card, its peer or software, the same frames leave."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from lab_cards import DRIVERS, dpdk_process
from reflection import DISCARD, Large, Reflected, reflect
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw

import burstline as bl
from burstline.engine.config import Pools

Run = Callable[..., Any]
# Who does what by the plan.
ASKED = ("checksum", "vlan", "tso", "lro", "multi_segment")
SOFTWARE = dict(zip(ASKED, ("software", "software", "off", "software", "software"), strict=True))
PLANS = {
    "e1000e": dict(zip(ASKED, ("hardware", "hardware", "off", "software", "hardware"), strict=True)),
    "vmxnet3": dict.fromkeys(ASKED, "peer"),
    "virtio-net-pci": dict.fromkeys(ASKED, "peer"),
}
WAYS = ("auto", "software")
HELD = 0.2  # seconds for which segments wait for the next: the machine is slow
MTU, SEGMENTS = 1500, 20

each_way = pytest.mark.parametrize("require", WAYS)
each_model = pytest.mark.parametrize("model", DRIVERS)


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Calls a function where EAL runs."""
    with dpdk_process() as call:
        yield call


def framed(inner: Packet, vlan: int = 0) -> bytes:
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    made = bytes(ether / Dot1Q(vlan=vlan) / inner if vlan else ether / inner)
    return made.ljust(60, b"\0")


def hello(vlan: int = 0) -> bytes:
    return framed(IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=DISCARD, dport=DISCARD) / Raw(bytes(64)), vlan)


def segments(flow: int, *, six: bool = False, vlan: int = 0) -> list[bytes]:
    """What a sender makes of some bytes; the last segment is shorter, and pushes."""
    size = MTU - (60 if six else 40)  # as a sender fills the MTU
    data = random.Random(flow).randbytes(SEGMENTS * size - 700)
    frames = []
    for k in range(SEGMENTS):
        ip = IPv6(src="2001:db8::1", dst="2001:db8::2") if six else IP(src="10.0.0.1", dst="10.0.0.2", id=k, flags="DF")
        part, flags = data[k * size : (k + 1) * size], "PA" if k == SEGMENTS - 1 else "A"
        tcp = TCP(sport=1000 + flow, dport=80, seq=1 + k * size, ack=1, flags=flags)
        frames.append(framed(ip / tcp / Raw(part), vlan))
    return frames


def others(vlan: int = 0) -> list[bytes]:
    """What nobody merges: each kind of checksum once more, and a frame that is padded."""
    four, six = IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="2001:db8::1", dst="2001:db8::2")
    udp = UDP(sport=5000, dport=5001)
    return [
        framed(inner, vlan)
        for inner in (
            four / udp / Raw(bytes(range(200))),
            six / udp / Raw(bytes(range(200))),
            four / udp / Raw(b"abcd"),
            four / UDP(sport=5000, dport=5001, chksum=0) / Raw(bytes(100)),
            four / ICMP() / Raw(bytes(range(100))),
            four / TCP(sport=7, dport=8, flags="S"),
        )
    ]


def damaged() -> list[bytes]:
    """Each with one bit that is another: in IP's header, in TCP, in UDP."""
    whole = [segments(40)[0], segments(41)[0], others()[0]]
    return [
        frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :] for frame, at in zip(whole, (19, 70, 60), strict=True)
    ]


def turned(frame: bytes) -> bytes:
    """With the addresses of its receiver for the sender's, and the checksums that belong to it, by scapy."""
    packet = Ether(frame)
    packet.src = packet.dst
    ip = packet[IP] if IP in packet else packet[IPv6]
    ip.src = ip.dst
    if IP in packet:
        del ip.chksum
    for layer in (TCP, UDP):
        if layer in packet and packet[layer].chksum:
            del packet[layer].chksum
    return bytes(packet)


def by_flow(frames: Sequence[bytes]) -> dict[tuple[Any, ...], list[bytes]]:
    """In their order; without those that only showed that the way was open."""
    found: dict[tuple[Any, ...], list[bytes]] = {}
    for frame in frames:
        packet = Ether(frame)
        ip = packet[IP] if IP in packet else packet[IPv6]
        ports = next(((layer, packet[layer].sport) for layer in (TCP, UDP) if layer in packet), (ICMP, 0))
        if ports != (UDP, DISCARD):
            found.setdefault((type(ip), *ports), []).append(frame)
    return found


def check(seen: Reflected, sent: Sequence[bytes], model: str, require: str, *asked: str) -> None:
    """What came back is what was sent, but for the addresses; and those did it of whom the plan says so."""
    print(seen.port["offloads"]["summary"], seen.did, seen.drops)
    plan = SOFTWARE if require == "software" else PLANS[model]
    assert {name: seen.by[name] for name in asked} == {name: plan[name] for name in asked}
    expected, heard = by_flow([turned(frame) for frame in sent]), by_flow(seen.heard)
    assert {flow: len(frames) for flow, frames in heard.items()} == {flow: len(f) for flow, f in expected.items()}
    assert heard == expected
    assert seen.balanced and seen.unsure == 0


@each_way
@each_model
def test_merged_cut_and_checked_by_whomever_the_frames_are_the_same(run: Run, model: str, require: Any) -> None:
    good = [*segments(1), *segments(2, six=True), *others()]
    offloads = bl.Offloads(checksum=True, gro=True, gro_timeout=HELD, require=require)
    seen = run(reflect, model, offloads, [*damaged(), *good], len(good), hello())
    check(seen, good, model, require, "checksum", "tso", "multi_segment")
    assert seen.drops == {"bad checksum": 3}
    assert seen.merged > SEGMENTS
    cut_by_port, cut_by_software = seen.did.get("cut", 0), seen.did.get("gso_packets", 0)
    assert (cut_by_port > 0, cut_by_software > 0) == (seen.by["tso"] == "peer", seen.by["tso"] == "off")


@each_way
@each_model
def test_a_card_on_a_vlan(run: Run, model: str, require: Any) -> None:
    sent = [*segments(1, vlan=7), *others(vlan=7)]
    offloads = bl.Offloads(checksum=True, vlan=7, require=require)
    seen = run(reflect, model, offloads, sent, len(sent), hello(vlan=7))
    check(seen, sent, model, require, "checksum", "vlan")
    assert seen.tagged == 0


@each_way
@each_model
def test_large_packets_arrive_merged(run: Run, model: str, require: Any) -> None:
    wanted = segments(3)[:6]
    data = b"".join(bytes(Ether(frame)[TCP].payload) for frame in wanted)
    whole = IP(src="10.0.0.1", dst="10.0.0.2", id=0, flags="DF") / TCP(sport=1003, dport=80, seq=1, ack=1, flags="A")
    frame = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / whole / Raw(data))
    pseudo = sum(int.from_bytes(frame[k : k + 2], "big") for k in range(26, 34, 2)) + 6 + 20 + len(data)
    pseudo = (pseudo & 0xFFFF) + (pseudo >> 16)
    frame = frame[:50] + pseudo.to_bytes(2, "big") + frame[52:]
    offloads = bl.Offloads(checksum=True, lro=True, gro_timeout=HELD, require=require)
    # QEMU's vmxnet3 fills one buffer a packet (docs/lab.md).
    pools = Pools(classes=(9216,), receive="one pool") if model == "vmxnet3" else None
    seen = run(reflect, model, offloads, [Large(frame, MTU - 40)], len(wanted), hello(), pools)
    check(seen, wanted, model, require, "checksum", "lro", "tso")
    assert seen.merged == len(wanted)
    assert seen.did.get("gro_merged", 0) == (seen.by["lro"] == "software")


@pytest.mark.parametrize("model", ["e1000e", "virtio-net-pci"])
def test_the_tag_of_a_frame_in_several_buffers_is_taken_off(run: Run, model: str) -> None:
    sent = [framed(IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / Raw(bytes(k)), 7) for k in (100, 5000)]
    offloads = bl.Offloads(checksum=True, vlan=7)
    seen = run(reflect, model, offloads, sent, len(sent), hello(vlan=7), Pools(receive="scatter"), 9000)
    check(seen, sent, model, "auto", "checksum")
    assert (seen.tagged, seen.by["vlan"]) == (0, "software" if model == "e1000e" else "peer")
    assert seen.port["receive"]["mode"] == "scatter"
