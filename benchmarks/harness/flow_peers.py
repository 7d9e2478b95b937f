"""The peers that count flows of a capture: how each is run, on how much of the file, and how its result is read."""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.flows import Flows, add_up, read
from benchmarks.harness.install import BENCHMARKS, INSTALL, program, python_with, yardstick
from benchmarks.harness.process import measuring_core, output

_TSHARK_FIELDS = (
    *("ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "ip.proto", "ipv6.nxt"),
    *("tcp.srcport", "udp.srcport", "sctp.srcport", "tcp.dstport", "udp.dstport", "sctp.dstport", "frame.len"),
)


@dataclass(frozen=True)
class FlowPeer:
    """`measure(capture)` gives packets/s and the flows; `sample`: the packets it gets, when the whole takes minutes."""

    name: str
    measure: Callable[[Path], tuple[float, Flows]]
    sample: int | None = None
    runs: int = 3


@dataclass(frozen=True)
class Absent:
    """A peer that is not here."""

    name: str
    install: str


def find(cache: Path, flows: int) -> Iterator[FlowPeer | Absent]:
    """Every peer of the offline bench; `flows` is what the yardsticks' tables must hold."""
    for name, program_name in (("C reading chunks", "flows_chunks"), ("C over a mapped file", "flows_mmap")):
        binary = yardstick(program_name, cache)
        if binary is None:
            yield Absent(name, "apt-get install clang")
        else:
            # One pass in a new process each time, as ours: nothing is warmer here than there but the file.
            command = [str(binary), "{capture}", "1", str(flows), "{flows}"]
            yield FlowPeer(name, _program(command, cache), runs=7)
    for name, module, sample in (
        ("dpkt", "dpkt", 1_000_000),
        ("NFStream", "nfstream", None),  # creating flows costs it most, and the first packets create the most
        ("scapy", "scapy", 20_000),
    ):
        python = python_with(module, cache)
        if python is None:
            yield Absent(name, INSTALL)
        else:
            script = BENCHMARKS / "peers" / f"{module}_flows.py"
            yield FlowPeer(name, _program([python, str(script), "{capture}", "{flows}"], cache), sample)
    tshark = program("tshark")
    for name, options in (
        ("tshark -T fields", ()),
        # Without this, tshark searches all unacknowledged segments of a TCP flow for each new one.
        ("tshark -T fields, no TCP analysis", ("-o", "tcp.analyze_sequence_numbers:FALSE")),
    ):
        if tshark is None:
            yield Absent(name, "apt-get install tshark")
        else:
            yield FlowPeer(name, _tshark(tshark, options, cache), 100_000)


def _program(words: list[str], cache: Path) -> Callable[[Path], tuple[float, Flows]]:
    """A peer that times its own processing, prints JSON and writes its flows to a file."""

    def measure(capture: Path) -> tuple[float, Flows]:
        found = cache / "peer-flows.csv"
        command = [word.format(capture=capture, flows=found) for word in words]
        said = json.loads(output(command, core=measuring_core()).splitlines()[-1])  # NFStream prints a warning first
        return said["packets"] / said["seconds"], read(found)

    return measure


def _tshark(tshark: str, options: tuple[str, ...], cache: Path) -> Callable[[Path], tuple[float, Flows]]:
    """tshark's time for a file less its time for an empty one; the lines it wrote are added up outside of that time."""
    command = [tshark, "-n", "-T", "fields", "-E", "occurrence=a", "-E", "separator=;", "-E", "aggregator=,", *options]
    for name in _TSHARK_FIELDS:
        command += ["-e", name]

    def seconds(capture: Path, lines: Path) -> float:
        start = time.perf_counter()
        output([*command, "-r", capture], core=measuring_core(), into=lines)
        return time.perf_counter() - start

    def measure(capture: Path) -> tuple[float, Flows]:
        empty, lines = cache / "empty.pcap", cache / "tshark-fields.txt"
        with open(capture, "rb") as file:
            empty.write_bytes(file.read(24))
        start_up = seconds(empty, lines)
        spent = max(seconds(capture, lines) - start_up, 1e-9)
        with open(lines) as file:
            packets = sum(1 for _ in file)
            file.seek(0)
            return packets / spent, add_up(filter(None, map(tshark_line, file)))

    return measure


def tshark_line(line: str) -> str | None:
    """One packet of tshark's fields as a flow's line; None when it is not IP.

    A field that occurs often is a list: the outermost addresses come first, the protocol after all extension headers
    last.
    """
    src4, dst4, src6, dst6, proto4, proto6, *ports, size = line.rstrip("\n").split(";")
    src, dst, proto = (src4, dst4, proto4) if src4 else (src6, dst6, proto6)
    if not src:
        return None
    sport = next((p.split(",")[0] for p in ports[:3] if p), "0")
    dport = next((p.split(",")[0] for p in ports[3:] if p), "0")
    addresses = (ipaddress.ip_address(a.split(",")[0]).packed.hex() for a in (src, dst))
    number = proto.split(",")[0] if src4 else proto.split(",")[-1]
    return f"{','.join(addresses)},{sport},{dport},{number},1,{size}"
