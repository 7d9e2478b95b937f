"""AF_XDP sockets behind the XDP back end: each queue's packets come out of its own, in native and generic mode."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
from collections import Counter
from contextlib import ExitStack

import pytest

from burstline.steering.rule import SteeringRule
from burstline.steering.xdp.link import Mode
from burstline.steering.xdp.sockets import XdpSockets
from namespaces import LEFT_MAC, RIGHT_MAC, Namespace, until
from xdp_machine import packet
from xdp_pair import HERE, PORTS, QUEUES, STEER, THERE, Sniffer, by_port, director, echo, pair, talk


def connect(place: Namespace, port: int) -> socket.socket:
    """A connection that nobody accepts yet."""
    client = place.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.setblocking(False)
    assert client.connect_ex((THERE, port))
    return client


def tap(place: Namespace, name: str) -> int:
    import fcntl

    def make() -> int:
        made = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(made, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1002))  # TUNSETIFF: IFF_TAP | IFF_NO_PI
        return made

    return place.inside(make)


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
