"""The examples that forward, between network namespaces: real traffic of the kernel's own stack goes through them."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from burstline import dpdk
from namespaces import LEFT_MAC, RIGHT_MAC, Line, line, until

if not dpdk.available():
    pytest.skip("built without DPDK", allow_module_level=True)
if os.geteuid() != 0:
    pytest.skip("needs root", allow_module_level=True)

IP_RECVTTL = 12  # ip(7); Python 3.11 does not have it
EXAMPLES = Path(__file__).parents[1] / "examples"
TCP, UDP = (socket.AF_INET, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_DGRAM)
UDP6 = (socket.AF_INET6, socket.SOCK_DGRAM)


@pytest.fixture
def between() -> Iterator[Line]:
    with line() as made:
        yield made


def one_net(between: Line) -> None:
    """Both ends in 10.7.0.0/24 and fd00::/64, as if a wire joined them."""
    between.left.ip("address add 10.7.0.1/24 dev outside")
    between.right.ip("address add 10.7.0.2/24 dev inside")
    between.left.ip("address add fd00::1/64 dev outside nodad")
    between.right.ip("address add fd00::2/64 dev inside nodad")


def come_through(between: Line, sender: socket.socket, receiver: socket.socket, to: tuple[Any, ...]) -> None:
    """Send datagrams until one arrives."""
    receiver.settimeout(0.05)

    def attempt() -> bool:
        between.check()
        sender.sendto(b"is anybody there?", to)
        try:
            return receiver.recv(100) == b"is anybody there?"
        except TimeoutError:
            return False

    assert until(attempt), "nothing came through"
    receiver.settimeout(30)
    sender.sendto(b"that was the last", to)
    while receiver.recv(100) != b"that was the last":  # behind those that were on their way
        pass


@pytest.mark.parametrize("driver", ["net_af_packet", "net_af_xdp"])
def test_firewall_carries_tcp_unharmed_and_drops_and_counts_what_is_blocked(between: Line, driver: str) -> None:
    one_net(between)
    between.left.ip("address add 203.0.113.5/32 dev outside")
    between.left.ip("address add 2001:db8:bad::5/128 dev outside nodad")
    between.left.ip(f"neighbour add fd00::2 lladdr {RIGHT_MAC} dev outside")  # else it asks, with the blocked address
    between.right.ip("route add 203.0.113.0/24 dev inside")
    between.start(EXAMPLES / "firewall.py", driver)
    with between.left.socket(*UDP) as sender, between.right.socket(*UDP) as receiver:
        receiver.bind(("10.7.0.2", 9))
        come_through(between, sender, receiver, ("10.7.0.2", 9))
        with between.left.socket(*UDP) as blocked, between.left.socket(*UDP6) as blocked6:
            blocked.bind(("203.0.113.5", 0))
            blocked6.bind(("2001:db8:bad::5", 0))
            for _ in range(50):
                blocked.sendto(b"blocked", ("10.7.0.2", 9))
                blocked6.sendto(b"blocked", ("fd00::2", 9))
        sender.sendto(b"after", ("10.7.0.2", 9))
        assert receiver.recv(100) == b"after"

    data = os.urandom(5_000_000)
    got = hashlib.sha256()
    with between.right.socket(*TCP) as server, between.left.socket(*TCP) as client:
        server.bind(("10.7.0.2", 80))
        server.listen()
        client.connect(("10.7.0.2", 80))
        connection, address = server.accept()
        with connection:
            assert address[0] == "10.7.0.1"
            connection.settimeout(60)
            client.settimeout(60)

            def send() -> None:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)

            thread = threading.Thread(target=send)
            thread.start()
            while block := connection.recv(1 << 16):
                got.update(block)
            thread.join()
    assert got.digest() == hashlib.sha256(data).digest()

    report = between.stop()
    assert report["drops"]["blocked source"]["packets"] >= 100
    assert set(report["drops"]) <= {"blocked source"}
    assert report["packets_in"] == report["packets_out"] + report["drops"]["blocked source"]["packets"]


def test_bridge_joins_two_networks_both_ways_arp_and_neighbour_discovery_included(between: Line) -> None:
    one_net(between)
    between.start(EXAMPLES / "bridge.py", "net_af_packet")
    ends = (UDP, "10.7.0.1", "10.7.0.2"), (UDP6, "fd00::1", "fd00::2")
    for kind, left, right in ends:
        with between.left.socket(*kind) as one, between.right.socket(*kind) as other:
            one.bind((left, 1000))
            other.bind((right, 2000))
            come_through(between, one, other, (right, 2000))
            other.sendto(b"and back", (left, 1000))
            assert one.recvfrom(100)[0] == b"and back"
    report = between.stop()
    assert report["packets_in"] == report["packets_out"] >= 8  # ARP and its answer, ND and its answer, four datagrams
    assert report["drops"] == {}


def test_reflector_sends_frames_back_out_of_the_port_they_came_from(between: Line) -> None:
    between.start(EXAMPLES / "reflector.py", "net_af_packet")
    frames = [bytes.fromhex("0200000000aa 020000000002 88b5") + bytes([k]) * (46 + k) for k in range(200)]
    with between.left.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x88B5) as wire:
        wire.bind(("outside", 0x88B5))
        wire.settimeout(0.05)

        def reflected() -> set[bytes]:
            between.check()
            for frame in frames:
                wire.send(frame)
            back = set()
            try:
                while len(back) < len(frames):
                    back.add(wire.recv(2000))
            except TimeoutError:
                pass
            return back if len(back) == len(frames) else set()

        assert until(reflected) == {f[6:12] + f[0:6] + f[12:] for f in frames}
    report = between.stop()
    assert report["packets_out"] == report["packets_in"] >= len(frames)


def test_router_forwards_ipv4_and_ipv6_between_two_networks(between: Line) -> None:
    left, right = between.left, between.right
    left.ip("address add 10.0.0.1/16 dev outside")
    right.ip("address add 10.1.0.1/16 dev inside")
    left.ip("address add 2001:db8::1/48 dev outside nodad")
    right.ip("address add 2001:db8:1::1/48 dev inside nodad")
    for place, end, gateway, gateway6, mac in (
        (left, "outside", "10.0.0.254", "2001:db8::fe", "02:00:00:00:00:01"),
        (right, "inside", "10.1.0.254", "2001:db8:1::fe", "02:00:00:00:01:01"),
    ):
        place.ip(f"neighbour add {gateway} lladdr {mac} dev {end}")
        place.ip(f"neighbour add {gateway6} lladdr {mac} dev {end}")
        place.ip(f"route add default via {gateway}")
        place.ip(f"-6 route add default via {gateway6}")
    between.start(EXAMPLES / "router.py", "net_af_packet")
    with left.socket(*UDP) as one, right.socket(*UDP) as other:
        one.bind(("10.0.0.1", 1000))
        other.bind(("10.1.0.1", 2000))
        come_through(between, one, other, ("10.1.0.1", 2000))
        other.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        one.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        one.sendto(b"expires on the way", ("10.1.0.1", 2000))
        one.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 9)
        one.sendto(b"arrives", ("10.1.0.1", 2000))
        data, ancillary, _, sender = other.recvmsg(100, 100)
        assert (data, ancillary[0][2][0], sender) == (b"arrives", 8, ("10.0.0.1", 1000))
        other.sendto(b"and back", ("10.0.0.1", 1000))
        assert one.recv(100) == b"and back"
    with left.socket(*UDP6) as one, right.socket(*UDP6) as other:
        one.bind(("2001:db8::1", 1000))
        other.bind(("2001:db8:1::1", 2000))
        come_through(between, one, other, ("2001:db8:1::1", 2000))
        other.sendto(b"and back", ("2001:db8::1", 1000))
        assert one.recv(100) == b"and back"
    report = between.stop()
    assert report["drops"]["TTL expired"]["packets"] == 1
    assert (LEFT_MAC, RIGHT_MAC) == ("02:00:00:00:00:02", "02:00:00:00:01:02")  # the example's next hops
