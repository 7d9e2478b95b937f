"""Every real capture through flow counting, compiled and interpreted; and the 5-tuples of Ethernet captures by tshark.

tshark names the outermost IP header first, as we do. Where the two see different things, `EXPLAINED` says why.
"""

from __future__ import annotations

import subprocess
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
import tshark
from both_modes import run_both
from burstline.packet.flow_key import flow_key
from burstline.packet.parser import LINK_ETHERNET, Parsed, parse
from burstline.ports.capture_format import LINKTYPE_ETHERNET, Fault
from burstline.ports.capture_reader import CapturedPacket
from capture_files import read_until_fault


class Flow(bl.Record):
    packets: bl.u64
    bytes: bl.u64
    last_seen: bl.i64


flows = bl.FlowTable(Flow, capacity=100_000)
fragments = bl.Counter("fragments")


@bl.stage
def count(pkt: Any) -> Any:
    flow = flows[pkt]
    flow.packets += 1
    flow.bytes += pkt.length
    flow.last_seen = pkt.time
    if pkt.is_fragment:
        fragments.add(1)
    if pkt.arp:
        return bl.drop("arp")


pipeline = bl.Pipeline(count)


def test_every_capture_gives_the_same_flows_compiled_and_interpreted(captures: Path) -> None:
    total = 0
    for path in sorted(captures.glob("*/*.pcap*")):
        packets, error = read_until_fault(path.read_bytes())
        if error and not packets:  # four of them are no captures but links to others, as text
            assert error.fault is Fault.NOT_A_CAPTURE
            continue
        total += run_both(pipeline, path).equal().report.received.packets
    assert total > 10_000


def our_tuple(packet: CapturedPacket) -> tuple[str, str, int, int, int] | None:
    """Source, destination, protocol and ports, or None without IP; by the key that flow tables use."""
    key = flow_key(packet.data, Parsed(*parse(packet.data, len(packet.data), LINK_ETHERNET)))
    size = {4: 4, 6: 16}.get(key[1])
    if size is None:
        return None
    src, dst = (str(ip_address(key[at : at + size])) for at in (8, 8 + size))
    return src, dst, key[0], int.from_bytes(key[2:4], "little"), int.from_bytes(key[4:6], "little")


EXPLAINED = {
    "kday1.pcap 1": "EtherType 0x0800 before version 6: tshark goes by the version, RFC 894 by the EtherType",
    "macsec-short-shorter.pcap 1": "integrity-only MACsec: tshark looks behind its tag, which is no state of ours",
}
FIELDS = (
    "frame.protocols", "ip.src", "ip.dst", "ip.proto", "ipv6.src", "ipv6.dst", "ipv6.nxt", "tcp.srcport",
    "tcp.dstport", "udp.srcport", "udp.dstport", "sctp.srcport", "sctp.dstport", "ip.version", "_ws.malformed",
)  # fmt: skip
OPTIONS = ("-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", "-o", "tcp.desegment_tcp_streams:FALSE")


def tshark_tuples(path: Path) -> list[dict[str, str]]:
    """The first occurrence of each field, for each packet."""
    command = ["tshark", "-n", "-r", str(path), *OPTIONS, "-T", "fields", "-E", "occurrence=f"]
    command += [part for field in FIELDS for part in ("-e", field)]
    out = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return [dict(zip(FIELDS, line.split("\t"), strict=True)) for line in out.splitlines()]


def difference(ours: tuple[str, str, int, int, int] | None, theirs: dict[str, str]) -> str | None:
    """What differs, or None."""
    v4, v6 = theirs["ip.src"], theirs["ipv6.src"]
    outer = "ipv6" if v6 and (not v4 or protocols_index(theirs, "ipv6") < protocols_index(theirs, "ip")) else "ip"
    src, dst = theirs[f"{outer}.src"], theirs[f"{outer}.dst"]
    if not src:
        return None if ours is None else f"we see {ours}, tshark no IP"
    if ours is None:
        return f"tshark sees {src} -> {dst}, we no IP"
    if ours[:2] != (str(ip_address(src)), str(ip_address(dst))):
        return f"addresses {ours[:2]}, tshark {src} {dst}"
    layers = theirs["frame.protocols"].split(":")
    after = layers[layers.index(outer) + 1 :] if outer in layers else []
    for name, proto in (("tcp", 6), ("udp", 17), ("sctp", 132)):
        if after[:1] == [name]:
            ports = theirs[f"{name}.srcport"], theirs[f"{name}.dstport"]
            if all(ports) and (ours[2] != proto or ours[3:] != tuple(map(int, ports))):
                return f"{name} {ours[2:]}, tshark {ports}"
    return None


def protocols_index(theirs: dict[str, str], name: str) -> int:
    layers = theirs["frame.protocols"].split(":")
    return layers.index(name) if name in layers else len(layers)


@pytest.mark.skipif(tshark.find() is None, reason="tshark is not installed")
def test_five_tuples_of_ethernet_captures_equal_those_of_tshark(captures: Path, tmp_path: Path) -> None:
    ethernet = tshark.gather(captures, tmp_path)[LINKTYPE_ETHERNET]
    wrong = []
    for (name, packet), told in zip(ethernet.packets.items(), tshark_tuples(ethernet.file), strict=True):
        found = difference(our_tuple(packet), told)
        if found and name not in EXPLAINED:
            wrong.append(f"{name}: {found} ({told['frame.protocols']})")
    assert not wrong, "\n".join(wrong)
    assert len(ethernet.packets) > 8_000
