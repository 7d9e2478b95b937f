"""Two namespaces with a veth pair between, the XDP back end on one of its ends, and TCP between the two."""

from __future__ import annotations

import select
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from burstline.steering.rule import SteeringRule
from burstline.steering.xdp.director import XdpDirector
from namespaces import LEFT_MAC, RIGHT_MAC, Namespace, namespace, sh, until
from xdp_machine import packet, why_not

ETH_P_ALL, EXPERIMENTAL = 3, 0x88B5  # IEEE 802 local experimental EtherType
QUEUES, PORTS = 4, (5001, 5002, 5003)
HERE, THERE = "10.77.0.1", "10.77.0.2"
STEER = [SteeringRule(proto="tcp", dport=port, to=f"queue {k + 1}", count=True) for k, port in enumerate(PORTS)]


def _wait_for(sender: Namespace, end: str, receiver: Namespace, other: str) -> None:
    """Until packets pass: until the kernel is done with a carrier that came, it drops what is sent without a word."""
    with (
        sender.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out,
        receiver.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as got,
    ):
        sender.inside(lambda: out.bind((end, 0)))
        receiver.inside(lambda: got.bind((other, EXPERIMENTAL)))

        def passes() -> bool:
            out.send(bytes(12) + EXPERIMENTAL.to_bytes(2, "big") + bytes(46))
            return bool(select.select([got], [], [], 0.1)[0])

        assert until(passes)


@contextmanager
def pair(queues: int = 1) -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces with a veth pair between, `out` in the left one, `in` in the right one."""
    if why := why_not():
        pytest.skip(why)
    with ExitStack() as stack:
        left, right = stack.enter_context(namespace()), stack.enter_context(namespace())
        many = ["numtxqueues", str(queues), "numrxqueues", str(queues)]
        first = ["ip", "link", "add", "out", "netns", left.name, *many, "type", "veth"]
        sh(*first, "peer", "name", "in", "netns", right.name, *many)
        for place, end, address, mac in ((left, "out", HERE, LEFT_MAC), (right, "in", THERE, RIGHT_MAC)):
            off = ("tx", "off", "tso", "off", "gso", "off", "gro", "off", "rxvlan", "off", "txvlan", "off")
            sh(*place.command("ethtool", "-K", end, *off))
            if queues > 1:
                sh(*place.command("ethtool", "-L", end, "rx", str(queues), "tx", str(queues)))
            place.ip(f"link set {end} address {mac}")
            place.ip(f"addr add {address}/24 dev {end}")
            place.ip(f"link set {end} up")
        left.ip(f"neigh add {THERE} lladdr {RIGHT_MAC} dev out")
        right.ip(f"neigh add {HERE} lladdr {LEFT_MAC} dev in")
        for sender, end, receiver, other in ((left, "out", right, "in"), (right, "in", left, "out")):
            _wait_for(sender, end, receiver, other)
        yield left, right


def director(place: Namespace, **more: Any) -> XdpDirector:
    """On `in`; what no rule steers goes to queue 0: there is one bucket."""
    return place.inside(lambda: XdpDirector("in", QUEUES, buckets=1, **more))


class Sniffer:
    """What really leaves an interface, as the kernel's packet sockets see it."""

    def __init__(self, place: Namespace, interface: str) -> None:
        self.socket = place.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
        place.inside(lambda: self.socket.bind((interface, ETH_P_ALL)))

    def sent(self) -> list[bytes]:
        """All until now; it ends with this."""
        found = []
        while select.select([self.socket], [], [], 0.2)[0]:
            data, address = self.socket.recvfrom(65536)
            if address[2] == socket.PACKET_OUTGOING:
                found.append(data)
        self.socket.close()
        return found


def echo(place: Namespace, port: int) -> socket.socket:
    """A server that sends back what one client sends."""
    server = place.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.bind((THERE, port))
    server.listen()

    def serve() -> None:
        connection, _ = server.accept()
        with connection, server:
            connection.settimeout(120)
            while data := connection.recv(65536):
                connection.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    return server


def talk(place: Namespace, port: int, size: int) -> None:
    """Send so much to an echo server, and get it back."""
    data = bytes(k * port & 0xFF for k in range(size))
    with place.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.connect((THERE, port))
        sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
        sender.start()
        got = bytearray()
        while part := client.recv(65536):
            got += part
        sender.join()
    assert got == data


def by_port(frames: list[bytes]) -> dict[int, tuple[int, int]]:
    """Packets and bytes by TCP destination port."""
    packets, size = Counter[int](), Counter[int]()
    for data in frames:
        if (pkt := packet(data)).tcp:
            packets[pkt.tcp.dport] += 1
            size[pkt.tcp.dport] += len(data)
    return {port: (packets[port], size[port]) for port in packets}
