"""TCP of the kernel's own stack through a pipeline that merges its segments and cuts them again: all bytes arrive, and
the receiving kernel finds no checksum wrong."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from burstline import dpdk
from namespaces import Line, line, sh, until

if not dpdk.available():
    pytest.skip("built without DPDK", allow_module_level=True)
if os.geteuid() != 0:
    pytest.skip("needs root", allow_module_level=True)

SIZE = int(os.environ.get("BURSTLINE_TCP_BYTES", 2**30))
APP = """
import burstline as bl

merged = bl.Counter("merged")

@bl.stage
def count(pkt):
    if pkt.segments > 1:
        merged.add(1)

@bl.stage
def cross(pkt):
    return bl.send(1 - pkt.port)

pipeline = bl.Pipeline(count, cross, offloads=bl.Offloads(checksum=True, gro=True, gso=True))
"""


@pytest.fixture
def between() -> Iterator[Line]:
    with line() as made:
        made.left.ip("address add 10.7.0.1/24 dev outside")
        made.right.ip("address add 10.7.0.2/24 dev inside")
        yield made


def errors(between: Line) -> int:
    """Checksum errors that the kernel on the right has counted, of IP and TCP."""
    command = between.right.command("cat", "/proc/net/snmp", "/proc/net/netstat")
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = dict[str, int]()
    for names, values in zip(text[::2], text[1::2], strict=True):
        found |= {f"{names.split()[0]}{n}": int(v) for n, v in zip(names.split()[1:], values.split()[1:], strict=True)}
    return found["Tcp:InCsumErrors"] + found["IpExt:InCsumErrors"]


def transfer(between: Line, size: int) -> tuple[str, str]:
    """Random bytes from left to right; their SHA-256 there and here."""
    server = between.right.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("10.7.0.2", 5001))
    server.listen()
    server.settimeout(300)  # until all is compiled
    got, said = hashlib.sha256(), hashlib.sha256()

    def receive() -> None:
        came = 0
        while came == 0:  # a try that was given up may have come through after all
            with server.accept()[0] as connection:
                connection.settimeout(60)
                while block := connection.recv(1 << 20):
                    got.update(block)
                    came += len(block)

    def joined() -> socket.socket | None:
        """Each time anew: the kernel by itself waits twice as long before each try."""
        between.check()
        client = between.left.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.settimeout(0.5)
        if client.connect_ex(("10.7.0.2", 5001)) == 0:
            return client
        client.close()
        return None

    with server, contextlib.ExitStack() as stack:
        thread = threading.Thread(target=receive)
        thread.start()
        client = until(joined)
        assert client, "nothing came through"
        stack.enter_context(client)
        client.settimeout(60)
        block = os.urandom(1 << 22)
        for start in range(0, size, len(block)):
            part = block[: size - start]
            client.sendall(part)
            said.update(part)
        client.shutdown(socket.SHUT_WR)
        thread.join(120)
    return said.hexdigest(), got.hexdigest()


@pytest.mark.parametrize("sums", ["whole", "partial"])
def test_a_gigabyte_merged_and_cut_arrives_whole(between: Line, tmp_path: Path, sums: str) -> None:
    """With partial checksums, frames come with the pseudo header's sum alone, as the kernel leaves it to devices."""
    app = tmp_path / "app.py"
    app.write_text(APP)
    if sums == "partial":
        for place, end in ((between.left, "outside"), (between.right, "inside")):
            sh(*place.command("ethtool", "-K", end, "tx", "on", "tso", "off", "gso", "off", "gro", "off"))
    between.start(app, "net_af_packet")
    size = SIZE if sums == "whole" else SIZE // 8
    said, got = transfer(between, size)
    report = between.stop()
    assert said == got
    assert errors(between) == 0
    did = [port["offloads"]["did"] for port in report["ports"]]
    assert did[0]["gro_merged"] > 0 and did[1]["gso_segments"] > did[1]["gso_packets"] > 0
    assert "bad checksum" not in report["drops"]
    if sums == "partial":
        assert did[0]["checksums_partials"] > size // 1500
    assert did[0]["gro_segments"] / did[0]["gro_merged"] > 2


def test_segments_follow_the_mtu_of_the_interface_while_it_runs(between: Line, tmp_path: Path) -> None:
    """Raised, it is not kept to any longer: no segment is made smaller than those that came."""
    ends = (
        (between.left, "outside"),
        (between.middle, "fw-left"),
        (between.middle, "fw-right"),
        (between.right, "inside"),
    )
    for place, end in ends:
        place.ip(f"link set {end} mtu 1200")
    app = tmp_path / "app.py"
    app.write_text(APP.replace("{cuts}", "gso"))
    between.start(app, "net_af_packet")
    said, got = transfer(between, 1 << 20)
    assert said == got
    for place, end in ends:
        place.ip(f"link set {end} mtu 1500")
    time.sleep(2.5)
    said, got = transfer(between, 1 << 24)
    report = between.stop()
    assert said == got
    assert any("fw-right has an MTU of 1,500 now, no longer 1,200" in warning for warning in report["warnings"])
    right = report["ports"][1]["offloads"]
    assert right["mtu"] == 1500 and right["did"]["gso_segments"] > 0 and "gso_lowered" not in right["did"]


@pytest.mark.parametrize("size", ["even", "odd"])
def test_a_gigabyte_merged_and_cut_by_the_driver_of_net_tap_arrives_whole(tmp_path: Path, size: str) -> None:
    """Its driver cuts by rte_gso, into segments that are smaller than those that came by Ethernet's header, which it
    counts in. Where it would have to sum an odd number of bytes and then others, software cuts: it does that wrong."""
    app, total = tmp_path / "app.py", SIZE if size == "even" else SIZE // 32
    app.write_text(APP.replace("gso=True", "tso=True"))
    with line(joined=False) as between:
        between.start(app, "net_tap")
        between.hand_over()
        between.left.ip("address add 10.7.0.1/24 dev outside")
        between.right.ip("address add 10.7.0.2/24 dev inside")
        if size == "odd":
            between.right.ip("route change 10.7.0.0/24 dev inside advmss 1457")
        said, got = transfer(between, total)
        wrong = errors(between)
        report = between.stop()
    assert said == got
    assert wrong == 0
    offloads = [port["offloads"] for port in report["ports"]]
    assert [choice["by"] for choice in offloads[1]["choices"] if choice["name"] == "tso"] == ["hardware"]
    assert offloads[0]["did"]["gro_segments"] / offloads[0]["did"]["gro_merged"] > 2
    assert offloads[1]["did"]["cut" if size == "even" else "gso_packets"] > total // 2**16
    assert report["drops"].keys() <= {"send failed"}
