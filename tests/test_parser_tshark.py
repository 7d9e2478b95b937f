"""Layers, their places, tags, labels, addresses, ports and tunnels: as tshark finds them, or explained.

On a packet of every state and of their combinations, and on every capture of the folder of real ones. Where the two
differ, `EXPLAINED` says why; docs/parser.md repeats it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import packet_corpus
import scapy_frames
import tshark
from benchmarks.harness.packets import MIX, Layer, build, eth, gtpu, ipv4, ipv6, mpls, pppoe, raw, snap, tcp, udp, vlan
from both_modes import pcap_of
from burstline.packet.fields import HEADER, PRESENT
from burstline.packet.machine import Parsed
from burstline.packet.packet import Level, Packet, columns_of
from burstline.packet.parser import LINK_UNKNOWN, parse_levels
from burstline.packet.place import place_of
from burstline.ports.link_layer import link_of

if tshark.find() is None:
    pytest.skip("tshark is not here: apt-get install tshark", allow_module_level=True)

TUNNELS = ("gre", "vxlan", "geneve", "gtpu")
LAST = ("arp", "tcp", "sctp", "icmp", "icmpv6", "igmp", "esp")
LOW = ("eth", "vlan", "llc", "snap", "mpls", "pppoe", "arp", "ipv4", "ipv6")
Found = dict[str, list[tshark.Layer]]


def levels(layers: Sequence[tshark.Layer]) -> list[Found]:
    """tshark's layers, as far as a packet's own headers go, cut where a tunnel begins."""
    found: list[Found] = [{}]
    before = ""
    for layer in layers:
        name = layer.name
        if name == "tshark's ppp" and before == "pppoe":
            continue
        if name not in HEADER or before in LAST or (before == "udp" and name not in TUNNELS):
            break
        is_new = before in TUNNELS or (name in ("ipv4", "ipv6") and bool({"ipv4", "ipv6"} & found[-1].keys()))
        if is_new or (name == "eth" and found[-1]):
            found.append({})
        found[-1].setdefault(name, []).append(layer)
        before = name
    return found


def shown(data: bytes, level: Found, ours: Parsed) -> dict[str, list[int]]:
    """What we show of tshark's layers: those whose fixed bytes are all here, the first of each, two tags or labels."""
    seen: dict[str, list[int]] = {}
    for name, layers in level.items():
        limit = len(data) if name in LOW else min(len(data), ours.end)
        places = [layer.at for layer in layers if layer.at + HEADER[name].size <= limit]
        if places:
            seen[name] = places[: 2 if name in ("vlan", "mpls") else 1]
    return seen


def ours(data: bytes, found: Parsed) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for name, bit in PRESENT.items():
        if found.present & bit:
            places.setdefault(name.removeprefix("inner_"), []).append(place_of(name, data, found))
    return places


def number(text: str) -> int:
    return int(text, 0)


def values_differ(level: Level, found: Found) -> str:
    """The first value that is not tshark's."""
    wanted: list[tuple[str, object, object]] = []
    for name, tags in (("vlan", ("vlan", "inner_vlan")), ("mpls", ("mpls", "inner_mpls"))):
        for header, layer in zip(tags, found.get(name, ()), strict=False):
            view = getattr(level, header)
            for value in layer.values.values():
                if view:
                    wanted.append((header, view.id if name == "vlan" else view.label, number(value)))
    for name, fields in tshark.VALUES.items():
        if name in ("vlan", "mpls") or name not in found or not getattr(level, name):
            continue
        for field in fields:
            short = {"srcport": "sport", "dstport": "dport", "session_id": "session"}.get(
                field.rpartition(".")[2], field.rpartition(".")[2]
            )
            text = found[name][0].values.get(field)
            if text is not None:
                value = getattr(getattr(level, name), short)
                wanted.append((field, str(value) if short in ("src", "dst") else value,
                               text if short in ("src", "dst") else number(text)))  # fmt: skip
    for what, mine, theirs in wanted:
        if mine != theirs:
            return f"{what}: {mine} is not {theirs}"
    return ""


def difference(data: bytes, link: int, layers: Sequence[tshark.Layer]) -> str:
    """What tshark finds otherwise, or nothing."""
    parsed = parse_levels(data, len(data), link)
    packet = Packet(bytearray(data), len(data), 0, 0, parsed)
    theirs = levels(layers)
    pairs: list[tuple[Level, Found]] = [(packet, theirs[0])]
    if parsed.inner is not None:
        pairs.append((packet.inner, theirs[-1] if len(theirs) > 1 else {}))
    for level, found in pairs:
        columns = columns_of(level)
        which = "inner" if level is packet.inner else "outer"
        mine, wanted = ours(data, columns), shown(data, found, columns)
        if mine != wanted:
            return f"{which}: {mine} is not {wanted}"
        if said := values_differ(level, found):
            return f"{which} {said}"
    inside = theirs[1:] and shown(data, theirs[-1], columns_of(packet.inner) if parsed.inner else parsed.outer)
    if parsed.inner is None and inside:
        return f"no inner packet, where tshark has {inside}"
    return ""


_VXLAN = raw(b"\x08" + bytes(7))
STACKS: list[Sequence[Layer]] = [
    *(layers for _, layers in MIX),
    (eth(0x9100), vlan(0x88A8), vlan(0x8100), vlan(0x0800), ipv4(6), tcp()),
    (eth(0x8848), mpls(False), mpls(False), mpls(False), mpls(False), mpls(True), ipv6(6), tcp()),
    (eth(0x8100), vlan(0x8864), pppoe(0x0021), ipv4(17), udp()),
    (snap(0x86DD), ipv6(17), udp()),
    (eth(0x0800), ipv4(41), ipv6(41), ipv6(17), udp()),
    (eth(0x86DD), ipv6(4), ipv4(6), tcp()),
    (eth(0x0800), ipv4(17), udp(4789), _VXLAN, eth(0x0800), ipv4(47), raw(b"\0\0\x08\0"), ipv4(6), tcp()),
    (eth(0x0800), ipv4(17), udp(2152), gtpu, ipv6(17), udp()),
    (eth(0x0800), ipv4(17), udp(6081), raw(b"\0\0\x08\0" + bytes(4)), ipv4(1), raw(bytes(8))),
    (eth(0x0800), ipv4(47), raw(b"\0\0\x88\x47"), mpls(True), ipv4(6), tcp()),
    *(
        (eth(0x0800), ipv4(47), raw(bytes((flags, 0)) + b"\x65\x58" + bytes(size)), eth(0x0800), ipv4(17), udp())
        for flags, size in ((0x80, 4), (0x20, 4), (0x10, 4), (0xA0, 8), (0xB0, 12), (0x30, 8), (0x90, 8))
    ),
    (eth(0x0800), ipv4(47), raw(b"\x40\0\x08\0" + bytes(4) + b"\x08\0\0\4\1\2\3\4" + bytes(4)), ipv4(6), tcp()),
    (eth(0x0800), ipv4(47), raw(b"\x30\x81\x88\x0b\0\4\0\1" + bytes(8)), raw(b"\xff\x03\0\x21")),
]


def test_a_packet_of_every_state_is_what_tshark_says(tmp_path: Path) -> None:
    frames = [bytes(f) for f in vars(scapy_frames).values() if isinstance(f, scapy_frames.Scapy)]
    frames += [build(layers, size, fill) for layers in STACKS for size, fill in ((0, 0x11), (40, 0x2A))]
    capture = tmp_path / "states.pcap"
    capture.write_bytes(pcap_of(frames))
    wrong = [
        f"{frame.hex()}: {said}"
        for frame, layers in zip(frames, tshark.layers_of(capture), strict=True)
        if (said := difference(frame, 0, layers))
    ]
    assert not wrong, "\n".join(wrong)


# Of the corpus, by the name of a packet, cut or not.
EXPLAINED_STATES = {
    "arp of another hardware": "ARP of other addresses than Ethernet's and IPv4's: absent for us",
    "pppoe of another code": "PPPoE whose code is none of a session: its rest is payload for us",
    "ipv4 of version 5": "a header that contradicts itself: tshark names it, and marks it bogus",
    "ipv6 of length 0": "a payload length of 0, which a NIC was still to fill in: tshark ends there, we go on",
    "gre of a vlan": "GRE that carries a VLAN tag: tshark knows none there",
    "gre version 2": "a GRE version that no RFC describes: tshark reads it as version 0",
    "vxlan without flag I": "VXLAN without its flag I: tshark shows it all the same",
    "geneve version 1": "a Geneve version that no RFC describes: tshark reads it as version 0",
    "6in4 in vxlan in geneve": "cut right behind a tunnel's header: our inner packet begins there, and is empty",
}


def explained(name: str) -> bool:
    return name.partition(", ")[0] in EXPLAINED_STATES


def test_the_corpus_is_what_tshark_says(tmp_path: Path) -> None:
    """Whole, and cut: a third of all lengths, as tshark is slow."""
    packets = [*packet_corpus.corpus().items(), *list(packet_corpus.truncations())[::3]]
    capture = tmp_path / "corpus.pcap"
    capture.write_bytes(pcap_of([data for _, data in packets]))
    used, wrong = set[str](), []
    for (name, data), layers in zip(packets, tshark.layers_of(capture), strict=True):
        said = difference(data, 0, layers)
        if said and explained(name):
            used.add(name.partition(", ")[0])
        elif said:
            wrong.append(f"{name}: {said}")
    assert not wrong, "\n".join(wrong)
    assert used == EXPLAINED_STATES.keys()


EXPLAINED = {
    "bigtcp-ipv4-vxlan-ipv4.pcap 1": "a UDP length of 0, which a NIC was still to fill in: tshark ends there, we go on",
    "hoobr_rt6_print.pcap 1": "link type IPv6, but IP version 3: tshark goes by the link type, we by the version",
    "hoobr_rt6_print.pcap 2": "the same",
    "kday1.pcap 1": "EtherType 0x0800 before version 6: tshark goes by the version, RFC 894 by the EtherType",
}


def test_every_capture_is_what_tshark_says(captures: Path, tmp_path: Path) -> None:
    wrong, packets = [], 0
    for linktype, gathered in tshark.gather(captures, tmp_path).items():
        link = link_of(linktype)
        if link == LINK_UNKNOWN:
            continue
        layers_of_each = tshark.layers_of(gathered.file)
        for (name, packet), layers in zip(gathered.packets.items(), layers_of_each, strict=True):
            packets += 1
            said = difference(bytes(packet.data), link, layers)
            if said and name not in EXPLAINED:
                wrong.append(f"{name}: {said}")
    assert packets > 8_000
    assert not wrong, "\n".join(wrong)
