"""Ports on interfaces of the kernel: veth pairs, AF_PACKET and AF_XDP."""

from __future__ import annotations

import os
import socket
import time

import pytest

from burstline import dpdk

if not dpdk.available():
    pytest.skip("built without DPDK", allow_module_level=True)

from burstline.dpdk.port import Port, free
from burstline.dpdk.refusal import DeviceRefused
from dpdk_live import alone, needs_root, packet, pool, raised, veth


def _reflect(device: str, queues: int) -> str:
    veth()
    with pool(16383) as one:
        try:
            port = Port.open(device, one, queues=queues)
        except DeviceRefused as refusal:
            assert one.in_use == 0
            return f"{refusal.instead}: {refusal}"
        with port, socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as other:
            port.start()
            other.bind(("right", 3))
            other.settimeout(60)
            for first in range(0, 3000, 50):
                for i in range(first, first + 50):
                    other.send(packet(i, 60 + i % 1400))
                got: list[tuple[int, memoryview]] = []
                deadline = time.monotonic() + 60
                while len(got) < 50 and time.monotonic() < deadline:
                    for queue in range(queues):
                        fresh = port.receive(queue, 32)
                        for _, view in fresh:
                            view[0:6] = b"\x04" * 6
                        assert port.transmit(queue, [mbuf for mbuf, _ in fresh]) == len(fresh)
                        got += fresh
                assert len(got) == 50
                back = {other.recv(2048) for _ in range(50)}
                assert back == {b"\x04" * 6 + packet(i, 60 + i % 1400)[6:] for i in range(first, first + 50)}
            assert (port.stats().ipackets, port.stats().opackets) == (3000, 3000)
    return ""


@needs_root
@pytest.mark.parametrize("queues", [1, 2])
def test_af_packet_carries_packets_unchanged(queues: int) -> None:
    assert alone(_reflect, "net_af_packet,iface=left", queues) == ""


@needs_root
def test_af_xdp_carries_packets_unchanged_and_leaks_nothing_or_names_af_packet() -> None:
    outcome = alone(_reflect, "net_af_xdp,iface=left", 1)
    assert outcome == "" or outcome.startswith("net_af_packet,iface=left: ")
    if outcome:
        pytest.skip(outcome)


def _two_af_xdp() -> str:
    veth()
    with pool(16383) as one:
        try:
            ports = [Port.open(f"net_af_xdp,iface={name}", one) for name in ("left", "right")]
        except DeviceRefused as refusal:
            return str(refusal)
        for port in ports:
            port.start()
        mbufs = [one.new(packet(i)) for i in range(100)]
        assert ports[0].transmit(0, mbufs) == 100
        got: list[int] = []
        deadline = time.monotonic() + 60
        while not got and time.monotonic() < deadline:
            got = [mbuf for mbuf, _ in ports[1].receive(0, 256)]
        assert got
        free(got)
        ports[0].close()
        assert one.in_use >= 4096
        ports[1].close()
        assert one.in_use == 0
        with Port.open("net_af_xdp,iface=left", one) as again:
            again.start()
    return ""


@needs_root
def test_mbufs_that_af_xdp_forgets_are_back_when_the_last_port_is_closed() -> None:
    if outcome := alone(_two_af_xdp):
        pytest.skip(outcome)


def _too_many_af_xdp_queues() -> tuple[str, str | None]:
    veth()
    with pool() as one:
        error = raised(lambda: Port.open("net_af_xdp,iface=left", one, queues=2))
        assert isinstance(error, DeviceRefused)
        return error.message, error.instead


@needs_root
def test_af_xdp_without_the_queues_asked_for_says_so_and_names_af_packet() -> None:
    message, instead = alone(_too_many_af_xdp_queues)
    assert "left has 1 combined queue, and net_af_xdp can use no more" in message
    assert instead == "net_af_packet,iface=left"


def _no_permission() -> str:
    veth()
    with pool() as one:
        os.setresuid(65534, 65534, 65534)
        with Port.open("net_null", one) as port:
            port.start()
        error = raised(lambda: Port.open("net_af_packet,iface=left", one))
        return str(error)


@needs_root
def test_without_permission_software_ports_work_and_interfaces_say_what_is_missing() -> None:
    text = alone(_no_permission)
    assert text.startswith("no permission to open net_af_packet0,iface=left\n  hint: run as root (CAP_NET_ADMIN")
