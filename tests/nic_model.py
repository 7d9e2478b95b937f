"""A NIC in plain Python: what its offloads do to frames that come, and to mbufs that it is given, by DPDK's words for
both (rte_mbuf_core.h). Segments are those of gso_oracle; checksums those of RFC 1071."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from burstline.offload import headers as h
from burstline.offload import mbuf as m
from gso_oracle import Large, checksum, partial, pseudo, segments


@dataclass(frozen=True)
class Given:
    """What an mbuf says."""

    frame: bytes
    flags: int
    offload: int = 0
    vlan: int = 0


def received(frame: bytes, rx: frozenset[str]) -> Given:
    """A frame from the wire, as a driver with these offloads hands it over."""
    flags = vlan = 0
    if "VLAN_STRIP" in rx and frame[12:14] == b"\x81\x00":
        flags |= m.RX_VLAN | m.RX_VLAN_STRIPPED
        vlan = int.from_bytes(frame[14:16], "big")
        frame = frame[:12] + frame[16:]
    shape, outer_l3, outer_l4, l3, l4, _ = h.find_headers(frame, len(frame))
    if shape & h.TUNNEL and not {"OUTER_IPV4_CKSUM", "OUTER_UDP_CKSUM"} <= rx:
        return Given(frame, flags, 0, vlan)  # it knows of no tunnels, and says nothing of what it does not know
    if shape & h.V4 and "IPV4_CKSUM" in rx:
        flags |= m.RX_IP_CKSUM_GOOD if _header_right(frame, l3) else m.RX_IP_CKSUM_BAD
    for bit, offload in ((h.TCP, "TCP_CKSUM"), (h.UDP, "UDP_CKSUM")):
        if shape & bit and offload in rx and not (bit == h.UDP and frame[l4 + 6 : l4 + 8] == b"\0\0"):
            flags |= m.RX_L4_CKSUM_GOOD if _l4_right(frame, shape & h.V4 != 0, bit, l3, l4) else m.RX_L4_CKSUM_BAD
    if shape & h.OUTER_V4 and not _header_right(frame, outer_l3):
        flags |= m.RX_OUTER_IP_CKSUM_BAD
    if shape & h.VXLAN and frame[outer_l4 + 6 : outer_l4 + 8] != b"\0\0":
        right = _l4_right(frame, shape & h.OUTER_V4 != 0, h.UDP, outer_l3, outer_l4)
        flags |= m.RX_OUTER_L4_CKSUM_GOOD if right else m.RX_OUTER_L4_CKSUM_BAD
    return Given(frame, flags, 0, vlan)


def sent(given: Given) -> list[bytes]:
    """What is on the wire of a packet that is given to the port."""
    frame, flags = given.frame, given.flags
    large = _large(given)
    if flags & (m.TX_TCP_SEG | m.TX_UDP_SEG):
        frames = segments(large, given.offload >> m.SEGSZ_SHIFT & m.SEGSZ_MASK)
    else:
        frames = [_filled(frame, large, flags)]
    if flags & m.TX_VLAN:
        frames = [f[:12] + b"\x81\x00" + struct.pack("!H", given.vlan) + f[12:] for f in frames]
    return frames


def _large(given: Given) -> Large:
    """Its headers, as the lengths tell."""
    o, flags = given.offload, given.flags
    l2, l3, l4 = o & m.L2_MASK, o >> m.L3_SHIFT & m.L3_MASK, o >> m.L4_SHIFT & m.L4_MASK
    outer_l2, outer_l3 = o >> m.OUTER_L2_SHIFT & m.OUTER_L2_MASK, o >> m.OUTER_L3_SHIFT & m.OUTER_L3_MASK
    tunnel = {0: "", m.TX_TUNNEL_VXLAN: "vxlan", m.TX_TUNNEL_GRE: "gre"}[flags & m.TX_TUNNEL_MASK]
    start = outer_l2 + outer_l3 + l2 if tunnel else l2
    size = start + l3 + l4
    tcp = flags & m.TX_TCP_SEG != 0 or (flags & m.TX_L4_MASK == m.TX_TCP_CKSUM)
    large = Large(
        given.frame[:size], 0, 0, start, start + l3, flags & m.TX_IPV4 != 0, tcp, tunnel,
        outer_l2, outer_l2 + outer_l3, flags & m.TX_OUTER_IPV4 != 0,
    )  # fmt: skip
    object.__setattr__(large, "payload", given.frame[size:])
    return large


def _filled(frame: bytes, at: Large, flags: int) -> bytes:
    """With the checksums that are asked for, from the inside out."""
    made = bytearray(frame)
    l4 = flags & m.TX_L4_MASK
    if l4 == m.TX_TCP_CKSUM:
        _fill_l4(made, at.l4 + 16, at.l4, False)
    elif l4 == m.TX_UDP_CKSUM:
        _fill_l4(made, at.l4 + 6, at.l4, True)
    if flags & m.TX_IP_CKSUM:
        _fill_header(made, at.l3)
    if flags & m.TX_OUTER_UDP_CKSUM:
        _fill_l4(made, at.outer_l4 + 6, at.outer_l4, True)
    if flags & m.TX_OUTER_IP_CKSUM:
        _fill_header(made, at.outer_l3)
    return bytes(made)


def _fill_l4(frame: bytearray, at: int, l4: int, udp: bool) -> None:
    """The pseudo header's sum lies there already: a NIC sums what it finds (rte_ipv4_phdr_cksum)."""
    end = l4 + int.from_bytes(frame[l4 + 4 : l4 + 6], "big") if udp else len(frame)
    found = checksum(bytes(frame[l4:end]))
    struct.pack_into("!H", frame, at, 0xFFFF if udp and found == 0 else found)


def _fill_header(frame: bytearray, l3: int) -> None:
    struct.pack_into("!H", frame, l3 + 10, 0)
    struct.pack_into("!H", frame, l3 + 10, checksum(bytes(frame[l3 : l3 + (frame[l3] & 15) * 4])))


def _header_right(frame: bytes, l3: int) -> bool:
    return partial(frame[l3 : l3 + (frame[l3] & 15) * 4]) == 0xFFFF


def _l4_right(frame: bytes, v4: bool, bit: int, l3: int, l4: int) -> bool:
    length = int.from_bytes(frame[l3 + 2 : l3 + 4], "big") if v4 else int.from_bytes(frame[l3 + 4 : l3 + 6], "big") + 40
    size = l3 + length - l4
    return partial(pseudo(frame, l3, v4, 6 if bit == h.TCP else 17, size) + frame[l4 : l4 + size]) == 0xFFFF
