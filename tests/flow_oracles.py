"""What tshark and NFStream say of the flows of captures, in the terms of `burstline flows`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from ipaddress import ip_address
from pathlib import Path
from typing import Any

Ends = frozenset[tuple[str, int]]
FIELDS = ("ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport",
          "tcp.stream", "udp.stream", "tls.handshake.extensions_server_name", "tls.handshake.type", "dns.qry.name",
          "dns.flags.response", "frame.protocols")  # fmt: skip


def packets(path: Path) -> list[dict[str, str]]:
    """The first occurrence of each field in each packet."""
    words = ["tshark", "-n", "-r", str(path), "-T", "fields", "-E", "occurrence=f"]
    words += ["-o", "tcp.desegment_tcp_streams:TRUE", "-o", "tcp.reassemble_out_of_order:TRUE"]
    words += [word for field in FIELDS for word in ("-e", field)]
    out = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    return [dict(zip(FIELDS, line.split("\t"), strict=True)) for line in out.splitlines()]


def ends(packet: dict[str, str]) -> Ends | None:
    """Both ends of the outermost IP packet."""
    addresses = packet["ip.src"] or packet["ipv6.src"], packet["ip.dst"] or packet["ipv6.dst"]
    layers = packet["frame.protocols"].split(":")
    if packet["ip.src"] and packet["ipv6.src"] and layers.index("ipv6") < layers.index("ip"):
        addresses = packet["ipv6.src"], packet["ipv6.dst"]
    kind = "tcp" if packet["tcp.srcport"] else "udp"
    if not all(addresses) or not packet[f"{kind}.srcport"]:
        return None
    source, target = (str(ip_address(address)) for address in addresses)
    return frozenset({(source, int(packet[f"{kind}.srcport"])), (target, int(packet[f"{kind}.dstport"]))})


def tshark_names(found: list[dict[str, str]]) -> Counter[tuple[Ends, str]]:
    """The first server name of each TCP or UDP stream."""
    names: dict[tuple[str, str], tuple[Ends, str]] = {}
    for packet in found:
        name, both = packet["tls.handshake.extensions_server_name"], ends(packet)
        if name and both:
            names.setdefault((packet["tcp.stream"], packet["udp.stream"]), (both, name))
    return Counter(names.values())


def tshark_questions(found: list[dict[str, str]]) -> Counter[tuple[Ends, str]]:
    """The first name that was asked for in each stream."""
    names: dict[tuple[str, str], tuple[Ends, str]] = {}
    for packet in found:
        both = ends(packet)
        if packet["dns.qry.name"] and both:
            names.setdefault((packet["tcp.stream"], packet["udp.stream"]), (both, packet["dns.qry.name"]))
    return Counter(names.values())


def tshark_streams(found: list[dict[str, str]]) -> dict[str, int]:
    return {kind: len({p[f"{kind}.stream"] for p in found if p[f"{kind}.stream"]}) for kind in ("tcp", "udp")}


def nfstream(paths: list[Path]) -> list[list[dict[str, Any]]]:
    """Flows with their names; an empty list for what it cannot read."""
    words = [sys.executable, str(Path(__file__).with_name("nfstream_names.py")), *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]
