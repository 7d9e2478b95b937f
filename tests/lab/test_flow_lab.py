"""rte_flow for real: rules on net_tap become filters of the kernel's flower classifier, which steers what it sends."""

from __future__ import annotations

import errno
import random
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lab_cards import PATIENCE, dpdk_process

from burstline.dpdk.flow_refused import FlowRefused
from burstline.dpdk.pool import Pool
from burstline.dpdk.port import Port, free
from burstline.packet.packet import Packet
from burstline.packet.parser import LINK_ETHERNET, parse_levels
from burstline.steering.back_end import CannotSteer, DeviceFault
from burstline.steering.hardware.back_end import RteFlow
from burstline.steering.hardware.driver import find
from burstline.steering.hardware.port_device import PortDevice
from burstline.steering.hardware.reach import reached
from burstline.steering.rule import SteeringRule
from burstline.steering.rule_match import first_match
from burstline.steering.target import Drop, Queue

QUEUES, INTERFACE, VLANS = 4, "steered", (5, 6)
MODULES = ("tun", "sch_multiq", "sch_ingress", "cls_flower", "act_gact", "act_skbedit")
MARKER = b"\x02\0\0\0\0\x99" * 2 + b"\x88\xb5" + b"all that was sent before is there".ljust(46, b"\0")
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Calls a function where EAL runs, with the modules of the kernel that net_tap needs."""
    subprocess.run(["modprobe", "-a", *MODULES], check=True)
    with dpdk_process() as call:
        yield call


def frame(src: str, dst: str, proto: int, sport: int, dport: int, *, mac: int = 2, vlan: int | None = None) -> bytes:
    family = socket.AF_INET6 if ":" in src else socket.AF_INET
    sides = socket.inet_pton(family, src) + socket.inet_pton(family, dst)
    l4 = struct.pack("!HH", sport, dport)
    l4 += struct.pack("!HH", 8, 0) if proto == 17 else bytes(8) + b"\x50\x02" + bytes(6)
    if family == socket.AF_INET:
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(l4), 7, 0, 64, proto, 0) + sides
    else:
        ip = struct.pack("!IHBB", 6 << 28, len(l4), proto, 64) + sides
    kind = b"\x08\0" if family == socket.AF_INET else b"\x86\xdd"
    tag = b"" if vlan is None else struct.pack("!HH", 0x8100, vlan)
    head = b"\x02\0\0\0\0\x01" + b"\x02\0\0\0\0" + bytes((mac,))
    return (head + tag + kind + ip + l4).ljust(64, b"\0")


class Wire:
    """The kernel's end of the tap. Tagged frames leave by an interface for their VLAN: of what a packet socket sends
    with a tag in it flower matches no VLAN (Linux 6.1)."""

    def __init__(self, port: Port) -> None:
        self.port = port
        for vlan in VLANS:
            words = f"link add link {INTERFACE} name {INTERFACE}.{vlan} type vlan id {vlan}"
            subprocess.run(["ip", *words.split()], check=True)
            Path(f"/proc/sys/net/ipv6/conf/{INTERFACE}.{vlan}/disable_ipv6").write_text("1")
            subprocess.run(["ip", "link", "set", f"{INTERFACE}.{vlan}", "up"], check=True)
        self.sockets = {vlan: self._socket(f"{INTERFACE}.{vlan}" if vlan else INTERFACE) for vlan in (0, *VLANS)}

    def _socket(self, interface: str) -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        made.bind((interface, 0))
        return made

    def _send(self, data: bytes) -> None:
        tagged = data[12:14] == b"\x81\0"
        self.sockets[data[15] if tagged else 0].send(data[:12] + data[16:] if tagged else data)

    def where(self, frames: Sequence[bytes]) -> list[int | None]:
        """The queue that each frame comes to; None: it does not come. The kernel puts a frame into its queue before the
        call that sends it returns, so that behind a marker nothing is still to come."""
        found: dict[bytes, int] = {}
        for start in range(0, len(frames), 64):
            for data in frames[start : start + 64]:
                self._send(data)
            self._send(MARKER)
            found |= self._received()
        return [found.get(data) for data in frames]

    def _received(self) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        end, marked = time.monotonic() + PATIENCE, False
        while True:
            got = 0
            for queue in range(self.port.queues):
                views = self.port.receive(queue, 32)
                for _, view in views:
                    marked = marked or bytes(view) == MARKER
                    found[bytes(view)] = queue
                free([mbuf for mbuf, _ in views])
                got += len(views)
            if marked and not got:
                return found
            assert time.monotonic() < end, "the marker did not come"


@contextmanager
def tap() -> Iterator[tuple[Wire, RteFlow]]:
    with Pool(8191) as pool, Port.open(f"net_tap,iface={INTERFACE}", pool, queues=QUEUES) as port:
        Path(f"/proc/sys/net/ipv6/conf/{INTERFACE}/disable_ipv6").write_text("1")
        port.start()
        wire = Wire(port)
        yield wire, RteFlow(PortDevice(port))
        for each in wire.sockets.values():
            each.close()


FLOWS = [
    *(frame(f"2001:db8::{n % 3}", "2001:db8::ff", 17 if n % 2 else 6, 1000 + n, 7 + n % 2) for n in range(12)),
    *(
        frame(f"10.0.{n % 3}.{n % 5}", f"10.1.0.{n % 4}", 17 if n % 2 else 6, 1000 + n % 7, (7, 53, 1000)[n % 3], mac=n)
        for n in range(60)
    ),
]


def _one_by_one() -> dict[str, list[int | None]]:
    a = frame("10.0.0.1", "10.1.0.1", 17, 1, 1000)
    b = frame("2001:db8::1", "2001:db8::2", 6, 1, 2)
    c, exempt = frame("10.0.0.1", "10.1.0.1", 17, 1, 7), frame("10.0.0.9", "10.1.0.1", 17, 1, 7)
    d = frame("10.0.0.1", "10.1.0.1", 6, 1, 2, mac=77)
    e, other = (frame("10.0.0.1", "10.1.0.1", 6, 1, 2, vlan=vlan) for vlan in (5, 6))
    frames = [a, b, c, exempt, d, e, other]
    with tap() as (wire, back_end):
        before = wire.where(frames)
        assert None not in before
        rules = {
            "a": SteeringRule(dst="10.0.0.0/8", proto="udp", dport=1000, to="queue 3"),
            "b": SteeringRule(src="2001:db8::1", proto="tcp", to="queue 2"),
            "c": SteeringRule(proto="udp", dport=7, to="drop", priority=1),
            "exempt": SteeringRule(src="10.0.0.9", proto="udp", to="queue 1"),
            "d": SteeringRule(src_mac="02:00:00:00:00:4d", to="queue 3", priority=2),
            "e": SteeringRule(src="10.0.0.1", vlan=5, to="queue 2", priority=3),
        }
        handles = {name: back_end.add(rule) for name, rule in rules.items()}
        seen = {"before": before, "all": wire.where(frames)}
        back_end.remove(handles["exempt"])
        seen["less exempt"] = wire.where(frames)
        back_end.remove(handles["c"])
        seen["less c"] = wire.where(frames)
        back_end.close()
        return seen | {"none": wire.where(frames)}


def test_queue_and_drop_rules_steer_what_the_kernel_sends_and_go_again(run: Run) -> None:
    seen = run(_one_by_one)
    before = seen["before"]
    assert seen["all"] == [3, 2, None, 1, 3, 2, before[6]]
    assert seen["less exempt"] == [3, 2, None, None, 3, 2, before[6]], "what was exempt is dropped as others are"
    assert seen["less c"] == [3, 2, before[2], before[3], 3, 2, before[6]]
    assert seen["none"] == before


def _at_random(seed: int) -> int:
    """How many frames were steered otherwise than without rules."""
    chance, moved = random.Random(seed), 0
    views = [Packet(bytearray(f), len(f), 0, 0, parse_levels(f, len(f), LINK_ETHERNET)) for f in FLOWS]
    with tap() as (wire, back_end):
        before = wire.where(FLOWS)
        for _ in range(4):
            rules = []
            for _ in range(chance.randrange(1, 7)):
                given: dict[str, Any] = {"proto": chance.choice(("tcp", "udp"))}
                if chance.random() < 0.7:
                    given["src"] = chance.choice(("10.0.0.0/23", "10.0.1.1", "10.0.2.0/24", "2001:db8::/127"))
                if chance.random() < 0.6:
                    given["dport"] = chance.choice(("7", "53", "1000", "7-8"))
                given["to"] = chance.choice(("queue 0", "queue 1", "queue 2", "queue 3", "drop"))
                given["priority"] = chance.randrange(3)
                rules.append(SteeringRule(**given))
            back_end.apply(rules)
            after = wire.where(FLOWS)
            for data, pkt, was, now in zip(FLOWS, views, before, after, strict=True):
                assert reached(find("net_tap"), pkt), data.hex()
                rule = first_match(rules, pkt)
                to = rule.to if rule else None
                wanted = (
                    was if to is None else None if isinstance(to, Drop) else to.number if isinstance(to, Queue) else -1
                )
                assert now == wanted, (str(rule), data.hex())
                moved += now != was
    return moved


def test_any_rules_with_any_priorities_decide_as_they_say(run: Run) -> None:
    assert run(_at_random, 1) + run(_at_random, 2) > 50


def _refused() -> list[str]:
    with tap() as (_, back_end):
        device = back_end.device
        back_end.add(SteeringRule(src="10.0.0.1", proto="udp", dport=9, to="queue 1"))
        (rule, *_) = next(iter(back_end._held.values())).slots
        device.validate(rule.rule)  # type: ignore[attr-defined]
        with pytest.raises(FlowRefused) as twice:
            device.create(rule.rule)
        assert twice.value.errno == errno.EEXIST
        said = [twice.value.message]
        for given in ({"dport": 80}, {"proto": "udp", "mark": 3}, {"proto": "tcp", "flags": "S/SA"}):
            with pytest.raises((CannotSteer, DeviceFault)) as error:
                back_end.add(SteeringRule(**{"to": "queue 1", **given}))
            said.append(error.value.message)
        assert back_end.used == 2
        return said


def test_what_it_cannot_do_is_said_though_it_validates(run: Run) -> None:
    said = run(_refused)
    assert "rte_flow_create" in said[0]
    assert [text.split(":")[0] for text in said[1:]] == ["proto", "mark", "flags"]
