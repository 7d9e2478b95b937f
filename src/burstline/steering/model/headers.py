"""The headers of a packet as a NIC finds them: a walk of its own, which knows nothing of burstline's parser.

It goes from Ethernet over VLAN tags to IPv4 or IPv6, and to what lies right behind it; in fragments it finds no more
than IP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

VXLAN, GENEVE, GTPU = 4789, 6081, 2152
SIZES = {6: ("TCP", 20), 17: ("UDP", 8), 132: ("SCTP", 12), 47: ("GRE", 4)}


@dataclass(frozen=True)
class Header:
    """One header: the item of rte_flow that matches it, and its bytes from there on."""

    kind: str
    data: bytes
    proto: int = -1  # of IP: what follows


def headers(packet: bytes, tpids: Sequence[int]) -> list[Header]:
    """From the outermost on; none of what is no frame of Ethernet. `tpids` are the EtherTypes of tags."""
    if len(packet) < 14:
        return []
    found, at = [Header("ETH", packet[:14])], 12
    while (kind := int.from_bytes(packet[at : at + 2], "big")) in tpids and at + 6 <= len(packet):
        found.append(Header("VLAN", packet[at + 2 : at + 6]))
        at += 4
    at += 2
    if kind == 0x0800 and len(packet) >= at + 20 and packet[at] >> 4 == 4:
        return found + _over_ipv4(packet, at)
    if kind == 0x86DD and len(packet) >= at + 40 and packet[at] >> 4 == 6:
        length = int.from_bytes(packet[at + 4 : at + 6], "big")
        end = min(len(packet), at + 40 + length) if length else len(packet)
        proto = packet[at + 6]
        return [*found, Header("IPV6", packet[at : at + 40], proto), *_transport(packet[at + 40 : end], proto)]
    return found


def _over_ipv4(packet: bytes, at: int) -> list[Header]:
    size, total = (packet[at] & 15) * 4, int.from_bytes(packet[at + 2 : at + 4], "big")
    end = min(len(packet), at + total) if total else len(packet)
    ip, proto = Header("IPV4", packet[at : at + 20], packet[at + 9]), packet[at + 9]
    fragment = int.from_bytes(packet[at + 6 : at + 8], "big") & 0x3FFF
    if fragment or size < 20 or at + size > end:
        return [ip]
    return [ip, *_transport(packet[at + size : end], proto)]


def _transport(data: bytes, proto: int) -> list[Header]:
    kind, size = SIZES.get(proto, ("", 0))
    if not kind or len(data) < size:
        return []
    if kind == "GRE":
        words = int.from_bytes(data[:2], "big")
        at = 8 if words & 0xC000 else 4
        key = [Header("GRE_KEY", data[at : at + 4])] if words & 0x2000 and len(data) >= at + 4 else []
        return [Header("GRE", data[:4]), *key]
    length = int.from_bytes(data[4:6], "big")
    body = data[8:length] if kind == "UDP" and length >= 8 else data[size:]
    return [Header(kind, data[:size]), *(_tunnel(body, data) if kind == "UDP" else [])]


def _tunnel(body: bytes, udp: bytes) -> list[Header]:
    port = int.from_bytes(udp[2:4], "big")
    if len(body) < 8:
        return []
    if port == VXLAN and body[0] & 8:
        return [Header("VXLAN", body[:8])]
    if port == GENEVE and body[0] >> 6 == 0:
        return [Header("GENEVE", body[:8])]
    if port == GTPU and body[0] & 0xF0 == 0x30:
        return [Header("GTPU", body[:8])]
    return []
