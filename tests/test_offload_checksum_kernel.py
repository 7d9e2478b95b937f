"""Witnesses: frames of Linux's own stack, which leaves checksums to the device, and tshark's opinion of captures."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from both_modes import pcap_of
from burstline.offload import mbuf as m
from burstline.offload.checksums.checksums import ARRIVED_PARTIAL, fill, request, verify
from capture_files import read_until_fault
from checksum_frames import Mbufs
from namespaces import join, namespace, sh

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
MBUFS = Mbufs()
ETH_P_ALL = 3


def flags_of(raw: bytes, partial: int) -> int:
    MBUFS.put(raw, partial=partial)
    verify(MBUFS.state.address, MBUFS.address, 1)
    return MBUFS.flags


@needs_root
def test_what_linux_leaves_to_a_device_is_partial_and_is_finished_as_linux_would() -> None:
    """The same datagrams, sent with and without checksum offload, are the same frames in the end."""
    with namespace() as left, namespace() as right:
        join(left, "sender", right, "taker")
        left.ip("address add 10.9.0.1/24 dev sender")
        left.ip("address add fd09::1/64 dev sender nodad")
        right.ip("address add 10.9.0.2/24 dev taker")
        right.ip("address add fd09::2/64 dev taker nodad")
        seen = right.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        seen.bind(("taker", 0))
        senders = [
            (left.socket(socket.AF_INET, socket.SOCK_DGRAM), ("10.9.0.2", 7777)),
            (left.socket(socket.AF_INET6, socket.SOCK_DGRAM), ("fd09::2", 7777)),
        ]

        def frames(offload: str) -> list[bytes]:
            sh(*left.command("ethtool", "-K", "sender", "tx", offload))
            found = []
            for sender, to in senders:
                for size in (3, 10, 51, 777, 1400):
                    data = (b"checksum" * 200)[:size]
                    sender.sendto(data, to)
                    while not (frame := seen.recv(4096)).endswith(data):  # others speak here, too
                        pass
                    found.append(frame)
            return found

        whole, partial = frames("off"), frames("on")
        for sock in (seen, *(sender for sender, _ in senders)):
            sock.close()
    for done, left_open in zip(whole, partial, strict=True):
        assert flags_of(done, 0) & m.RX_L4_CKSUM_NONE == m.RX_L4_CKSUM_GOOD
        assert flags_of(left_open, 0) & m.RX_L4_CKSUM_NONE == m.RX_L4_CKSUM_BAD
        assert flags_of(left_open, 1) & m.RX_L4_CKSUM_NONE == m.RX_L4_CKSUM_NONE
        request(MBUFS.state.address, MBUFS.address, 1, ARRIVED_PARTIAL)
        fill(MBUFS.state.address, MBUFS.address, 1)
        at = 14 + 20 + 6 if done[12:14] == b"\x08\x00" else 14 + 40 + 6
        assert flags_of(MBUFS.raw, 0) & m.RX_L4_CKSUM_NONE == m.RX_L4_CKSUM_GOOD
        if at > 40:  # IPv4's ID differs, but is in no pseudo header
            assert MBUFS.raw == done
        assert MBUFS.raw[at : at + 2] == done[at : at + 2]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")
def test_tshark_agrees_on_packets_of_captures(captures: Path, tmp_path: Path) -> None:
    """Of packets without a tunnel: there, tshark tells of several checksums."""
    packets: list[bytes] = []
    for path in sorted((captures / "protocols").rglob("*.pcap*"))[:400]:
        if path.stat().st_size > 300_000:
            continue
        found, _ = read_until_fault(path.read_bytes())
        packets += [bytes(p.data) for p in found[:200] if p.linktype == 1 and len(p.data) == p.length]
    packets = packets[:20_000]
    file = tmp_path / "all.pcap"
    file.write_bytes(pcap_of(packets))
    checks = [f"{name}.check_checksum:TRUE" for name in ("ip", "tcp", "udp")]
    words = ["tshark", "-r", str(file), "-T", "fields", "-E", "separator=;"]
    for name in ("ip", "tcp", "udp"):
        words += ["-e", f"{name}.checksum.status"]
    for option in (*checks, "ip.defragment:FALSE", "ipv6.defragment:FALSE", "tcp.desegment_tcp_streams:FALSE"):
        words += ["-o", option]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    compared = wrong = 0
    for raw, line in zip(packets, told, strict=True):
        ip, tcp, udp = line.split(";")
        flags = flags_of(raw, 0)
        if "," in ip + tcp + udp or (tcp and udp):
            continue
        l4 = flags & m.RX_L4_CKSUM_NONE
        if ip in ("0", "1"):  # bad, good
            assert flags & m.RX_IP_CKSUM_NONE == (m.RX_IP_CKSUM_GOOD if ip == "1" else m.RX_IP_CKSUM_BAD), raw.hex()
        if l4 and (tcp or udp) in ("0", "1"):
            assert l4 == (m.RX_L4_CKSUM_GOOD if (tcp or udp) == "1" else m.RX_L4_CKSUM_BAD), raw.hex()
            compared += 1
            wrong += l4 == m.RX_L4_CKSUM_BAD
    assert compared > 500 and wrong > 0
