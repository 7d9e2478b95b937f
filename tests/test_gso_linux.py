"""Linux cuts packets into the same segments: they go in by one tap device and, by a bridge, out by another, which has
no TSO, so that the kernel's GSO cuts them between the two."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from burstline import dpdk
from burstline.offload import mbuf as m
from dpdk_live import CLONE_NEWNET, alone, needs_root
from gso_machine import Machine
from gso_oracle import Large, larges, segments

TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454CA, 2, 0x1000, 0x4000
GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM = 1, 4, 5, 1  # linux/virtio_net.h


class Linux:
    """A network namespace of this process with both devices."""

    def __init__(self) -> None:
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        for which in ("all", "default"):
            Path(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6").write_text("1")
        self.into, self.out = self._tap("into0", IFF_VNET_HDR), self._tap("out0", 0)
        commands = ["link add bridge0 type bridge", *(f"link set {n} master bridge0" for n in ("into0", "out0"))]
        for command in [*commands, *(f"link set {name} up" for name in ("into0", "out0", "bridge0"))]:
            subprocess.run(["ip", *command.split()], check=True)

    @staticmethod
    def _tap(name: str, flags: int) -> int:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | flags))
        return device

    def segments(self, large: Large, segsz: int) -> list[bytes]:
        kind, check = GSO_UDP_L4, 6
        if large.tcp:
            kind, check = GSO_TCPV4 if large.v4 else GSO_TCPV6, 16
        if len(large.payload) <= segsz:  # Linux drops large packets that are none
            kind = 0
        (frame,) = segments(large, 65535, m.TX_TCP_CKSUM)  # with its lengths, and the sum of the pseudo header
        about = struct.pack("<BBHHHH", NEEDS_CSUM, kind, len(large.headers), segsz, large.l4, check)
        os.write(self.into, about + frame)
        found = []
        while True:
            try:
                frame = os.read(self.out, 65536)
            except BlockingIOError:
                return found
            if frame[:6] == large.headers[:6]:  # the bridge has something to say, too
                found.append(frame)


def same_as_linux() -> int:
    """How many segments were compared."""
    linux, machine, compared = Linux(), Machine(), 0

    @settings(max_examples=150, deadline=None, database=None, phases=[Phase.generate])
    @given(larges(st.integers(1, 60_000), plain=True), st.integers(500, 1400))
    def same(large: Large, segsz: int) -> None:
        nonlocal compared
        with machine.nothing_lost():
            made = machine.run(machine.segmenter(), machine.packet(large, segsz, [], ["direct"])[0])
            ours = [machine.native.mbuf_bytes(segment) for segment in made]
            machine.native.free(made)
        assert ours == linux.segments(large, segsz)
        compared += len(ours)

    same()
    return compared


@needs_root
@pytest.mark.skipif(not dpdk.available(), reason="needs DPDK")
@pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="needs /dev/net/tun")
def test_linux_cuts_packets_into_the_same_segments() -> None:
    assert alone(same_as_linux) > 500
