"""The kernel as a witness: what Linux's own GRO makes of the same frames, byte for byte.

They cross a veth pair whose far end has GRO on; a packet socket there gets what was merged, with the size of a segment.
"""

from __future__ import annotations

import ctypes
import random
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from burstline.offload.gro.gro import Merging
from dpdk_live import alone, needs_root
from gro_frames import TIMESTAMPS, Ip, Segment, Tunnel
from gro_line import Line
from gro_model import Packet
from gro_senders import Sender

# Not those where Linux lets a packet pass what it holds of its flow (bad checksums, datagrams that are empty or have
# no checksum), or has other flows than we have.
DEFECTS = (
    "fin", "syn", "rst", "psh", "urg", "ece", "duplicate", "reordered", "gap", "short", "long", "empty", "ack",
    "window", "options", "no options", "ttl", "tos", "ident", "flag",
)  # fmt: skip
WAIT = 0.02  # seconds that the kernel holds packets
TRIES = 40  # it also lets go at each tick of its clock, which is bad luck
NEW_NET, NEW_MOUNTS, SOL_PACKET, PACKET_VNET_HDR = 0x40000000, 0x00020000, 263, 15
TCP4, TCP6, UDP_L4 = 1, 4, 5  # virtio 1.2 section 5.1.6

VXLAN = "ip link add tunnel type vxlan id 5 dstport 4789 dev right"

Received = list[tuple[bytes, int]]  # frames, and the payload of a segment where several were merged


def veth(tunnels: bool) -> None:
    """Into namespaces with a pair of interfaces, left and right; right has GRO, and holds packets for a while. With
    `tunnels` it is the end of VXLAN: for Linux, who has no such end looks into no tunnels."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_NET | NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    for command in (
        "mount --make-rprivate /", "mount -t sysfs sysfs /sys", "ip link add left type veth peer name right",
        "ethtool -K left tso off gso off", "ethtool -K right gro on rx-udp-gro-forwarding on",
    ):  # fmt: skip
        subprocess.run(command.split(), check=True, capture_output=True)
    Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
    Path("/sys/class/net/right/gro_flush_timeout").write_text(str(int(WAIT * 1e9)))
    if tunnels:
        subprocess.run(VXLAN.split(), check=True)
    for name in ("left", "right", *(["tunnel"] if tunnels else [])):
        subprocess.run(["ip", "link", "set", name, "up"], check=True)


def linux(frames: Sequence[bytes], sender: socket.socket, receiver: socket.socket) -> Received:
    for frame in frames:
        sender.send(frame)
    time.sleep(2 * WAIT)
    found: Received = []
    while True:
        try:
            header, data = struct.unpack("<BBHHHH", (raw := receiver.recv(1 << 17))[:10]), raw[10:]
        except BlockingIOError:
            return found
        found.append((data, header[3] if header[1] else 0))


def ours(packets: Sequence[Packet]) -> Received:
    line = Line(Merging())
    found = line.receive(list(packets))
    return [(chain.data, chain.segsz if len(numbers) > 1 else 0) for numbers, chain in found]


def by_flow(received: Received) -> dict[bytes, Received]:
    """By ports; each flow of the test has its own."""
    flows: dict[bytes, Received] = {}
    for data, size in received:
        at = 14
        if data[23] == 17 and data[36:38] == b"\x12\xb5":  # VXLAN over IPv4
            at = 50 + 14
        at += 40 if data[at - 2] == 0x86 else 20
        flows.setdefault(data[at : at + 4], []).append((data, size))
    return flows


def streams(seed: int, tunnels: bool) -> list[Packet]:
    chance = random.Random(seed)
    senders = []
    for number in range(1, 4):
        sender = Sender(chance, number)
        udp = number == 3
        ip = Ip(seed % 2 == 1, b"\x0a\0\0\x01", ident=chance.randrange(65536), flags=chance.choice([0, 0x4000]))
        tunnel = Tunnel(summed=chance.random() < 0.5) if tunnels else None
        options = b"" if udp else chance.choice([b"", TIMESTAMPS])
        sender.next = Segment(ip, udp, 1000 + number, options=options, tunnel=tunnel)
        sender.size, sender.stripped = chance.choice([30, 100, 1000]), 0
        sender.step = chance.choice([0, 1]) if ip.flags else 1
        senders.append(sender)
    packets: list[Packet] = []
    while len(packets) < 24:
        sender = chance.choice(senders)
        defect = chance.choice(DEFECTS) if chance.random() < 0.2 else ""
        packets += sender.send("" if defect == "empty" and sender.next.udp else defect)
    return packets


def compare(seeds: range, tunnels: bool) -> list[str]:
    """What differed; and at the end how many packets the kernel merged."""
    veth(tunnels)
    wrong, merged = [], 0
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender,
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as receiver,
    ):
        sender.bind(("left", 0))
        receiver.bind(("right", 3))
        receiver.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        receiver.setblocking(False)
        for seed in seeds:
            packets = streams(seed, tunnels)
            expected = by_flow(ours(packets))
            for _ in range(TRIES):
                found = by_flow(linux([p.segment.frame() for p in packets], sender, receiver))
                if found == expected:
                    break
            else:
                sizes = {k.hex(): [(len(d), s) for d, s in v] for k, v in found.items()}
                wanted = {k.hex(): [(len(d), s) for d, s in v] for k, v in expected.items()}
                wrong.append(f"seed {seed}: Linux {sizes}, ours {wanted}")
            merged += sum(size > 0 for flow in found.values() for _, size in flow)
    return [*wrong, str(merged)]


@needs_root
@pytest.mark.skipif(shutil.which("ethtool") is None, reason="needs ethtool")
def test_linux_makes_the_same_of_the_same_frames() -> None:
    *wrong, merged = alone(compare, range(24), False)
    assert wrong == []
    assert int(merged) > 40


@needs_root
@pytest.mark.skipif(shutil.which("ethtool") is None, reason="needs ethtool")
def test_linux_makes_the_same_of_frames_in_tunnels() -> None:
    tried = ["unshare", "-n", "sh", "-c", f"ip link add right type veth && {VXLAN}"]
    said = subprocess.run(tried, capture_output=True, text=True, check=False).stderr
    if "Unknown device type" in said:
        pytest.skip("needs a kernel with vxlan")
    assert said == ""
    *wrong, merged = alone(compare, range(24), True)
    assert wrong == []
    assert int(merged) > 40
