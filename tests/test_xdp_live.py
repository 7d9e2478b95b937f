"""The XDP back end on real interfaces: TCP steered into queues and counted there; rules that change meanwhile."""

from __future__ import annotations

import select
import socket
import threading

import pytest

import burstline as bl
from burstline.steering.rule import SteeringRule
from burstline.steering.xdp.link import Mode
from xdp_pair import HERE, PORTS, STEER, THERE, Sniffer, by_port, director, echo, pair, talk


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
