"""The XDP back end on real interfaces: TCP between namespaces, steered into queues and counted while it works."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

import burstline as bl
from burstline.errors import BurstlineError
from burstline.steering.back_end import BackEnd, CannotSteer
from burstline.steering.rule import SteeringRule
from burstline.steering.xdp.director import XdpDirector
from burstline.steering.xdp.link import Mode
from burstline.steering.xdp.sockets import XdpSockets
from namespaces import LEFT_MAC, RIGHT_MAC, Namespace, namespace, sh, until
from packet_corpus import corpus
from xdp_machine import packet, why_not

ETH_P_ALL = 3
QUEUES, PORTS = 4, (5001, 5002, 5003)
HERE, THERE = "10.77.0.1", "10.77.0.2"
STEER = [SteeringRule(proto="tcp", dport=port, to=f"queue {k + 1}", count=True) for k, port in enumerate(PORTS)]


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
        yield left, right


def director(place: Namespace, **more: Any) -> XdpDirector:
    """On `in`; what no rule steers goes to queue 0."""
    made = place.inside(lambda: XdpDirector("in", QUEUES, **more))
    made.set_reta([0] * 128)
    return made


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


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_real_tcp_is_steered_into_chosen_queues_and_counted_there(mode: Mode) -> None:
    with pair() as (left, right), director(right, mode=mode) as xdp:
        assert xdp.mode == mode
        handles = xdp.apply(STEER)
        wire = Sniffer(left, "out")
        for k, port in enumerate((*PORTS, 6000)):
            echo(right, port)
            talk(left, port, 50_000 * (k + 1))
        sent = by_port(wire.sent())
        counted = xdp.queue_counts()
        assert [counted[k + 1] for k in range(3)] == [sent[port] for port in PORTS]
        assert [xdp.counts()[handle] for handle in handles] == [sent[port] for port in PORTS]
        assert all(sent[port][1] > 50_000 * (k + 1) for k, port in enumerate(PORTS))
        assert counted[0] >= sent[6000]
        xdp.add(SteeringRule(proto="tcp", dport=6001, to="drop"))
        with left.socket(socket.AF_INET, socket.SOCK_STREAM) as client, pytest.raises(TimeoutError):
            client.settimeout(0.5)
            client.connect((THERE, 6001))
        assert xdp.dropped()[0] >= 1


def connect(place: Namespace, port: int) -> socket.socket:
    """A connection that nobody accepts yet."""
    client = place.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.setblocking(False)
    assert client.connect_ex((THERE, port))
    return client


@pytest.mark.parametrize(("mode", "rx_queues"), [("native", 1), ("generic", 1), ("native", 2)])
def test_the_sockets_of_each_queue_receive_what_is_steered_to_it(mode: Mode, rx_queues: int) -> None:
    with pair(rx_queues) as (left, right), director(right, mode=mode) as xdp:
        assert xdp.interface.rx_queues == rx_queues
        marked = [SteeringRule(proto="tcp", dport=p, to=f"queue {k + 1}", mark=p) for k, p in enumerate(PORTS)]
        xdp.apply(marked)
        with right.inside(lambda: XdpSockets(xdp)) as sockets, ExitStack() as stack:
            clients = [stack.enter_context(connect(left, port)) for port in PORTS for _ in range(8)]
            wanted = {client.getsockname()[1]: PORTS[k // 8] for k, client in enumerate(clients)}
            seen = dict[int, int]()

            def received() -> bool:
                for queue in sockets.wait(0.5):
                    for each in sockets.receive(queue):
                        tcp = packet(each.data).tcp
                        if tcp and queue:
                            assert (tcp.dport, each.mark, tcp.flag_syn) == (PORTS[queue - 1], tcp.dport, True)
                            seen[tcp.sport] = tcp.dport
                        assert queue or not each.mark
                return seen == wanted

            assert until(received), (seen, wanted)
            assert [sockets.lost(queue) for queue in range(QUEUES)] == [0] * QUEUES
        echo(right, PORTS[0])  # the sockets are gone: the kernel's stack has the queue's packets again
        talk(left, PORTS[0], 1000)


def tap(place: Namespace, name: str) -> int:
    import fcntl

    def make() -> int:
        made = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(made, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1002))  # TUNSETIFF: IFF_TAP | IFF_NO_PI
        return made

    return place.inside(make)


def test_real_tcp_flows_through_the_sockets_of_chosen_queues() -> None:
    """Each segment to the server passes the socket of its queue and a TAP, whose answers go out as they are."""
    with pair() as (left, right), director(right) as xdp, right.inside(lambda: XdpSockets(xdp)) as sockets:
        xdp.apply(STEER)
        right.ip("addr flush dev in")
        try:
            inner = tap(right, "tap0")
        except OSError as error:
            pytest.skip(f"/dev/net/tun: {error}")
        right.ip(f"link set tap0 address {RIGHT_MAC}")
        right.ip(f"addr add {THERE}/24 dev tap0")
        right.ip("link set tap0 up")
        right.ip(f"neigh replace {HERE} lladdr {LEFT_MAC} dev tap0")
        out = right.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        right.inside(lambda: out.bind(("in", 0)))
        passed: Counter[int] = Counter()
        done = threading.Event()

        def pump() -> None:
            while not done.is_set():
                for queue in sockets.wait(0.01):
                    for each in sockets.receive(queue):
                        passed[queue] += 1
                        os.write(inner, each.data)
                while select.select([inner], [], [], 0)[0]:
                    out.send(os.read(inner, 65536))

        thread = threading.Thread(target=pump)
        thread.start()
        try:
            wire = Sniffer(left, "out")
            for k, port in enumerate(PORTS):
                echo(right, port)
                talk(left, port, 30_000 * (k + 1))
            sent = by_port(wire.sent())
        finally:
            done.set()
            thread.join()
            out.close()
            os.close(inner)
        counted = xdp.queue_counts()
        assert [counted[k + 1][0] for k in range(3)] == [passed[k + 1] for k in range(3)]
        assert [counted[k + 1] for k in range(3)] == [sent[port] for port in PORTS]


def test_no_packet_is_lost_while_rules_change() -> None:
    """Each packet has an old rule or a new one: none is dropped, none is steered elsewhere, all arrive."""
    flows = [{"src": HERE, "dst": THERE, "proto": "udp", "sport": 4000, "dport": port} for port in range(7000, 7008)]
    total = 40_000
    with pair() as (left, right), director(right) as xdp:
        kinds = [
            [SteeringRule(proto="udp", dport="7000-7007", to="queue 1")],
            [SteeringRule(**flow, to="queue 2") for flow in flows],
            [SteeringRule(src=f"{HERE}/32", proto="udp", dport="7000-7009", to="queue 3")],
        ]
        xdp.apply(kinds[0])
        receivers = [right.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in flows]
        for receiver, flow in zip(receivers, flows, strict=True):
            receiver.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)
            receiver.bind((THERE, int(str(flow["dport"]))))
        sent = threading.Event()

        def send() -> None:
            with left.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind((HERE, 4000))
                for k in range(total):
                    sender.sendto(k.to_bytes(4, "big"), (THERE, 7000 + k % 8))
                    if k % 64 == 0 and changes.value < k // (total // 12):
                        turned.wait(10)
                        turned.clear()
            sent.set()

        changes, turned = bl.Counter("changes"), threading.Event()
        thread = threading.Thread(target=send)
        thread.start()
        turn = 0
        while not sent.is_set():
            turn += 1
            xdp.apply(kinds[turn % 3])
            extra = xdp.add(SteeringRule(**flows[0], to="queue 1"))
            xdp.remove(extra)
            changes.add(1)
            turned.set()
        thread.join()
        assert turn >= 12
        counted = xdp.queue_counts()
        assert sum(packets for packets, _ in counted[1:]) == total
        assert all(packets for packets, _ in counted[1:])
        assert xdp.dropped() == (0, 0)
        arrived = 0
        for receiver in receivers:
            receiver.setblocking(False)
            while select.select([receiver], [], [], 0)[0]:
                receiver.recv(100)
                arrived += 1
            receiver.close()
        assert arrived == total


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_tags_in_the_packet_are_seen_and_those_beside_it_are_an_error(mode: Mode) -> None:
    with pair() as (left, right), director(right, mode=mode) as xdp:
        xdp.apply([SteeringRule(vlan=5, to="queue 2")])
        with left.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            left.inside(lambda: raw.bind(("out", 0)))
            for name in ("ipv4 tcp in a vlan", "ipv4 udp", "ipv4 tcp in 802.1ad and 802.1Q"):
                raw.send(corpus()[name])
        assert until(lambda: xdp.queue_counts()[2] == (1, len(corpus()["ipv4 tcp in a vlan"])), 30)
        sh(*right.command("ethtool", "-K", "in", "rxvlan", "on"))
        with pytest.raises(CannotSteer, match="vlan: in takes VLAN tags out of packets") as caught:
            xdp.add(SteeringRule(vlan=6, to="drop"))
        assert caught.value.field == "vlan"
        assert len(xdp.rules()) == 1


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_a_tag_beside_the_packet_is_not_seen_by_the_program(mode: Mode) -> None:
    """A bridge sends on what it received with its tag beside the packet, as drivers with VLAN offload deliver it."""
    frame = corpus()["ipv4 udp in a vlan"]
    with pair() as (left, right), director(right, mode=mode) as xdp:
        xdp.apply([SteeringRule(vlan=5, to="queue 2"), SteeringRule(proto="udp", src="192.0.2.1", to="queue 1")])
        try:
            left.ip("link add name bridge type bridge")
        except OSError as error:
            pytest.skip(str(error))
        left.ip("link add name feed type veth peer name fed")
        for end in ("bridge", "feed", "fed"):
            left.ip(f"link set {end} up")
        for end in ("out", "fed"):
            left.ip(f"link set {end} master bridge")
        with left.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            left.inside(lambda: raw.bind(("feed", 0)))
            for offload, queue, size in (("off", 2, len(frame)), ("on", 1, len(frame) - 4)):
                sh(*left.command("ethtool", "-K", "out", "txvlan", offload))

                def steered(queue: int = queue, size: int = size) -> bool:
                    packets, total = xdp.queue_counts()[queue]
                    raw.send(frame)
                    assert total == packets * size
                    return packets > 2

                assert until(steered, 60)


def test_a_queue_that_nobody_reads_loses_its_own_packets_and_no_others() -> None:
    each = 400
    with pair() as (left, right), director(right) as xdp:
        xdp.apply([SteeringRule(proto="udp", dport=7000 + k, to=f"queue {k}") for k in (1, 2)])
        with right.inside(lambda: XdpSockets(xdp, ring=8)) as sockets:
            read, sender = 0, left.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with sender:
                for k in range(each):
                    sender.sendto(b"x", (THERE, 7001))
                    sender.sendto(b"x", (THERE, 7002))
                    assert until(lambda sent=k + 1: xdp.queue_counts()[2][0] == sent)
                    read += len(sockets.receive(2))
            assert (read, sockets.lost(2)) == (each, 0)
            left_over = len(sockets.receive(1))
            assert left_over == 8
            assert sockets.lost(1) == xdp.queue_counts()[1][0] - left_over == each - left_over


def attached(place: Namespace) -> bool:
    shown = subprocess.run(place.command("ip", "link", "show", "in"), capture_output=True, text=True, check=True)
    return "xdp" in shown.stdout


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_nothing_is_left_behind_by_an_exception_or_a_process_that_is_killed() -> None:
    with pair() as (_, right):
        before = descriptors()
        with pytest.raises(ZeroDivisionError), director(right) as xdp:
            back_end: BackEnd = xdp
            assert back_end.name == "xdp" and back_end.limits.reta_size == 128
            assert attached(right)
            raise ZeroDivisionError
        assert not attached(right)
        with pytest.raises(bl.UsageError, match="queues is 0"):
            right.inside(lambda: XdpDirector("in", 0))
        with pytest.raises(bl.UsageError, match="there is no interface 'out'"):
            right.inside(lambda: XdpDirector("out", 1))
        assert descriptors() == before
        source = "from burstline.steering.xdp.director import XdpDirector; XdpDirector('in', 2); print(); input()"
        path = os.pathsep.join(p for p in sys.path if p)
        with subprocess.Popen(
            right.command(sys.executable, "-uc", source), env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as other:  # fmt: skip
            assert other.stdout and other.stdout.readline()
            assert attached(right)
            with pytest.raises(BurstlineError, match="in has an XDP program of somebody else's"):
                right.inside(lambda: XdpDirector("in", 2))
            other.send_signal(signal.SIGKILL)
        assert until(lambda: not attached(right), 30)
        director(right).close()


def test_who_may_not_is_told_so() -> None:
    with pair() as (_, right):
        source = (
            "import os; from burstline.steering.xdp.director import XdpDirector\n"
            "os.setuid(65534)\n"
            "try:\n    XdpDirector('in', 2)\nexcept Exception as error:\n    print(error)"
        )
        path = os.pathsep.join(p for p in sys.path if p)
        said = subprocess.run(
            right.command(sys.executable, "-c", source), env={**os.environ, "PYTHONPATH": path},
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert "this process may not make a BPF map" in said and "CAP_BPF" in said
