"""What TCP and UDP say of whether a packet may begin or join a merged one."""

from __future__ import annotations

from typing import Any

from burstline.native.memory import be16, load16, load32, select
from burstline.offload.gro import forms
from burstline.offload.gro.gro import Gro
from burstline.offload.gro.word import ENDS, FLOW, HEADER_SHIFT, HEADS, JOINS, PAYLOAD_SHIFT
from burstline.offload.headers import VXLAN_PORT
from burstline.offload.mbuf import BUF_LEN, DATA_LEN, DATA_OFF, PKT_LEN

TCP, UDP = 6, 17
FIN, SYN, RST, PSH, URG, CWR = 1, 2, 4, 8, 32, 128
NOT_FIRST, NOT_NEXT, LAST = FIN | SYN | RST | PSH | URG, SYN | RST | URG | CWR, FIN | PSH
GENEVE, GTPU = 6081, 2152  # IANA, Service Name and Port Number Registry
LONGEST = forms.LONGEST


def transport(mbuf: int, data: Any, form: int, l4: int, proto: int) -> int:
    """The word of a packet whose other headers are those of a form, and whose checksums are good."""
    whole = load32(mbuf + PKT_LEN)
    if proto == TCP:
        control = be16(data, l4 + 12)
        header = l4 + (control >> 12) * 4
        # net/ipv4/tcp_offload.c, tcp_gro_receive.
        may = select(control & NOT_FIRST == 0, HEADS, 0)
        may |= select(control & NOT_NEXT == 0, JOINS, 0)
        may |= select(control & LAST != 0, ENDS, 0)
        wrong = header - l4 < 20
    else:
        header = l4 + 8
        may = HEADS | JOINS
        form += forms.UDP
        # net/ipv4/udp_offload.c, udp_gro_receive_segment: no padding, and a checksum.
        wrong = be16(data, l4 + 4) != whole - l4 or be16(data, l4 + 6) == 0
    payload = whole - header
    readable = load16(mbuf + BUF_LEN) - load16(mbuf + DATA_OFF)  # headers are compared as whole vectors
    if load16(mbuf + DATA_LEN) < header:
        return 0  # a header that is not whole is not there
    if wrong or payload <= 0 or header > LONGEST or header + 63 & -64 > readable:
        return FLOW
    return payload << PAYLOAD_SHIFT | may | FLOW | header << HEADER_SHIFT | form


def is_tunnel(state: Gro, port: int) -> bool:
    """What is in there are packets, which stages look at one by one."""
    return port == state.vxlan_port or port in (VXLAN_PORT, GENEVE, GTPU)
