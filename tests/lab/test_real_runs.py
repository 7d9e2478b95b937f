"""`burstline run` between two real drivers, with the guest's own TCP/IP at both ends."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import AF_INET, IPPROTO_IP, SOCK_DGRAM, SOCK_STREAM
from typing import Any

import pytest
from lab_cards import DRIVERS, MACHINE, PATIENCE, RESULTS, pair

from namespaces import Namespace, namespace, sh, until

BRIDGE = Path(__file__).parents[2] / "examples" / "bridge.py"
PORT = 7000
START = 1200  # seconds for a pipeline to be compiled and run
IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2  # linux/in.h


@contextmanager
def peer(wire: str, address: str) -> Iterator[Namespace]:
    """A namespace with the card of the guest's kernel on a wire."""
    number = next(k for k, nic in enumerate(MACHINE.nics) if nic.wire == wire and not nic.dpdk)
    (place,) = Path(f"/sys/bus/pci/devices/{MACHINE.address(number)}").glob("virtio*/net/*")
    with namespace() as made:
        sh("ip", "link", "set", place.name, "netns", made.name)
        made.ip(f"link set {place.name} name wire")
        sh(*made.command("sysctl", "-qw", "net.ipv6.conf.wire.disable_ipv6=1"))
        made.ip(f"addr add {address}/24 dev wire")
        made.ip("link set wire up")
        yield made


class Bridge:
    """`burstline run examples/bridge.py` between two cards, while it runs; then its report."""

    def __init__(self, left: str, right: str, folder: Path, settings: str, workers: int) -> None:
        config = folder / "burstline.toml"
        config.write_text(settings)
        words = ["-m", "burstline", "run", str(BRIDGE), f"dpdk:{left}", f"dpdk:{right}", "--json"]
        words += ["--config", str(config), "--workers", str(workers)]
        # What is compiled is kept from one boot to the next: here it takes minutes.
        cache = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "BURSTLINE_CACHE": str(RESULTS / "cache")}
        self.said = RESULTS / "bridge.txt"  # which can be read while it runs
        with open(self.said, "w") as said:
            self.process = subprocess.Popen(
                [sys.executable, *words], env={**os.environ, **cache}, stdout=subprocess.PIPE, stderr=said, text=True
            )

    def runs(self) -> bool:
        assert self.process.poll() is None, self.said.read_text()
        return True

    def stop(self) -> dict[str, Any]:
        self.process.send_signal(signal.SIGTERM)
        out = self.process.communicate(timeout=PATIENCE)[0]
        assert self.process.returncode == 0, self.said.read_text()
        report: dict[str, Any] = json.loads(out)
        return report


def bridged(
    left: str, right: str, folder: Path, *, most: int, mtu: int = 1500, receive: str = "auto", workers: int = 1
) -> dict[str, Any]:
    """Datagrams of `most` bytes and TCP both ways through a bridge between cards of two models; the report."""
    wires = [nic.wire for model in (left, right) for nic in [MACHINE.nics[MACHINE.cards(model)[0]]]]
    a, b = pair(left)[0], pair(right)[0]
    settings = f'[pools]\nreceive = "{receive}"\n'
    settings += "".join(f'[[ports]]\ndevice = "dpdk:{device}"\nmtu = {mtu}\n' for device in (a, b))
    with peer(wires[0], "10.9.0.1") as one, peer(wires[1], "10.9.0.2") as other:
        for each in (one, other):
            each.ip(f"link set wire mtu {mtu}")
        bridge = Bridge(a, b, folder, settings, workers)
        try:
            assert until(lambda: bridge.runs() and reaches(one, other, "10.9.0.2", 56), START), "no way through"
            assert until(lambda: reaches(one, other, "10.9.0.2", most), 10), f"{most} bytes do not come through"
            assert until(lambda: reaches(other, one, "10.9.0.1", most), 10), f"{most} bytes do not come back"
            carry(one, other, "10.9.0.2")
            carry(other, one, "10.9.0.1")
            return bridge.stop()
        finally:
            with bridge.process as process:  # closes its pipe and waits for it
                process.kill()


def reaches(sender: Namespace, receiver: Namespace, address: str, size: int) -> bool:
    """Whether a UDP datagram of this size, which may not be cut, arrives as it was sent."""
    data = random.Random(size).randbytes(size)
    with receiver.socket(AF_INET, SOCK_DGRAM) as listening, sender.socket(AF_INET, SOCK_DGRAM) as out:
        listening.bind((address, PORT))
        listening.settimeout(2)
        out.setsockopt(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        out.sendto(data, (address, PORT))
        try:
            return listening.recv(65536) == data
        except TimeoutError:
            return False


def carry(sender: Namespace, receiver: Namespace, address: str, size: int = 2_000_000) -> None:
    """Bytes by TCP arrive as they were sent."""
    data = random.Random(size).randbytes(size)
    with receiver.socket(AF_INET, SOCK_STREAM) as listening, sender.socket(AF_INET, SOCK_STREAM) as out:
        listening.bind((address, PORT))
        listening.listen(1)
        for each in (listening, out):
            each.settimeout(PATIENCE)
        out.connect((address, PORT))
        into, _ = listening.accept()
        with into:
            into.settimeout(PATIENCE)
            heard = hashlib.sha256()

            def listen() -> None:
                while part := into.recv(65536):
                    heard.update(part)

            thread = threading.Thread(target=listen)
            thread.start()
            out.sendall(data)
            out.shutdown(1)
            thread.join()
    assert heard.digest() == hashlib.sha256(data).digest()


def check(report: dict[str, Any], left: str, right: str, queues: int = 1) -> None:
    assert [port["driver"] for port in report["ports"]] == [DRIVERS[left], DRIVERS[right]]
    assert [port["queues"] for port in report["ports"]] == [queues, queues]
    assert {port[name] for port in report["ports"] for name in ("errors", "no_buffer")} == {0}
    lost = sum(drop["packets"] for drop in report["drops"].values())
    assert report["packets_in"] == report["packets_out"] + lost
    assert report["packets_out"] > 0
    print(json.dumps({key: report[key] for key in ("packets_in", "packets_out", "drops", "ports")}))


@pytest.mark.parametrize(
    ("left", "right"), [("e1000e", "vmxnet3"), ("vmxnet3", "virtio-net-pci"), ("virtio-net-pci", "e1000e")]
)
def test_a_bridge_between_two_drivers_carries_the_kernels_tcp(left: str, right: str, tmp_path: Path) -> None:
    check(bridged(left, right, tmp_path, most=1472), left, right)


@pytest.mark.parametrize(
    ("left", "right", "receive"),
    [
        ("virtio-net-pci", "e1000e", "scatter"),
        # DPDK's driver sets no limit (maxNumRxSG = 0), which QEMU takes for one buffer a frame: vmxnet3_activate_device
        # in its hw/net/vmxnet3.c.
        ("e1000e", "vmxnet3", "one pool"),
    ],
)
def test_a_bridge_carries_jumbo_frames(left: str, right: str, receive: str, tmp_path: Path) -> None:
    report = bridged(left, right, tmp_path, mtu=9000, receive=receive, most=8972)
    check(report, left, right)
    assert [port["receive"]["mode"] for port in report["ports"]] == [receive, receive]


def test_two_workers_poll_a_queue_each_of_both_drivers(tmp_path: Path) -> None:
    left, right = "virtio-net-pci", "vmxnet3"
    report = bridged(left, right, tmp_path, workers=2, most=1472)
    check(report, left, right, queues=2)
    assert report["ports"][0]["rss"], "flows go to queues by their hash"
