"""tshark as an oracle: the layers of each packet, with their places, and the values in them that tell them apart."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from both_modes import pcap_of
from burstline.ports.capture_reader import CapturedPacket
from capture_files import read_until_fault

# tshark's names of the layers that we know, and ours.
NAMES = {
    "eth": "eth", "vlan": "vlan", "ieee8021ad": "vlan", "llc": "llc", "mpls": "mpls", "pppoes": "pppoe", "arp": "arp",
    "ip": "ipv4", "ipv6": "ipv6", "ipv6.hopopts": "ipv6_hopopts", "ipv6.routing": "ipv6_routing",
    "ipv6.fraghdr": "ipv6_fragment", "ipv6.dstopts": "ipv6_dstopts", "ah": "ah", "tcp": "tcp", "udp": "udp",
    "sctp": "sctp", "icmp": "icmp", "icmpv6": "icmpv6", "igmp": "igmp", "esp": "esp", "gre": "gre", "vxlan": "vxlan",
    "geneve": "geneve", "gtp": "gtpu",
}  # fmt: skip
VALUES = {
    "vlan": ("vlan.id", "ieee8021ad.id"), "mpls": ("mpls.label",), "ipv4": ("ip.src", "ip.dst", "ip.proto"),
    "ipv6": ("ipv6.src", "ipv6.dst"), "tcp": ("tcp.srcport", "tcp.dstport"), "udp": ("udp.srcport", "udp.dstport"),
    "sctp": ("sctp.srcport", "sctp.dstport"), "vxlan": ("vxlan.vni",), "geneve": ("geneve.vni",),
    "gtpu": ("gtp.teid",), "pppoe": ("pppoe.session_id",), "ah": ("ah.spi",), "esp": ("esp.spi",),
}  # fmt: skip
BETWEEN = {"geninfo", "frame", "sll", "sll2", "null", "raw", "loop"}  # no layers of ours, but on the way to some
OPTIONS = (
    "ip.defragment:FALSE", "ipv6.defragment:FALSE", "tcp.desegment_tcp_streams:FALSE", "udp.try_heuristic_first:FALSE",
    "tcp.try_heuristic_first:FALSE", "ip.check_checksum:FALSE", "tcp.analyze_sequence_numbers:FALSE",
)  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """One header: its name as ours, the offset of its first byte, and some of its values."""

    name: str
    at: int
    values: dict[str, str] = field(default_factory=dict)


def find() -> str | None:
    return shutil.which("tshark")


@dataclass
class Gathered:
    """The packets of one link type of many captures: in one file, and by the name of their file and their number."""

    file: Path
    packets: dict[str, CapturedPacket] = field(default_factory=dict)


def gather(captures: Path, folder: Path) -> dict[int, Gathered]:
    """By link type, the packets of all captures that are sound: tshark takes longer to start than to read most."""
    found: dict[int, Gathered] = {}
    for path in sorted(captures.glob("*/*.pcap*")):
        packets, error = read_until_fault(path.read_bytes())
        for number, packet in enumerate([] if error else packets, 1):
            linktype = packet.linktype
            one = found.setdefault(linktype, Gathered(folder / f"{linktype}.pcap"))
            one.packets[f"{path.name} {number}"] = packet
    for linktype, one in found.items():
        one.file.write_bytes(pcap_of([(bytes(p.data), p.length) for p in one.packets.values()], linktype))
    return found


def layers_of(capture: Path) -> Iterator[list[Layer]]:
    """For each packet of a capture, the layers that tshark names, in its order."""
    command = [find() or "tshark", "-n", "-r", str(capture), "-T", "pdml", "-j", " ".join(NAMES)]
    for option in OPTIONS:
        command += ["-o", option]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        for _, element in ElementTree.iterparse(process.stdout):
            if element.tag == "packet":
                yield [layer for proto in element.findall("proto") for layer in _layers(proto)]
                element.clear()


def _layers(proto: ElementTree.Element) -> Iterator[Layer]:
    """A layer, and IPv6's extension headers, which lie in it or beside it."""
    name, at = proto.get("name", ""), int(proto.get("pos") or 0)
    if name not in NAMES and name not in BETWEEN:
        yield Layer(f"tshark's {name}", at)
    if name in NAMES:
        wanted = VALUES.get(NAMES[name], ())
        values: dict[str, str] = {}
        for each in proto.iter("field"):
            if each.get("name") in wanted:
                values.setdefault(str(each.get("name")), str(each.get("show")))
        yield Layer(NAMES[name], at, values)
    if name == "llc" and any(each.get("name") == "llc.oui" for each in proto.iter("field")):
        yield Layer("snap", at + 3)
    if name == "ipv6":
        for each in proto.iter("proto"):
            if each is not proto and each.get("name") in NAMES:
                yield Layer(NAMES[str(each.get("name"))], int(each.get("pos") or 0))
