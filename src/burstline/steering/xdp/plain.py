"""The short way for plain packets: TCP and UDP over IPv4 and IPv6 over Ethernet, without tags, options or fragments.

It says of them what the states of the parser would; packets that it is not sure of go through those.
"""

from __future__ import annotations

from llvmlite import ir

from burstline.packet.machine import TunnelPorts
from burstline.state.steering_words import BITS
from burstline.steering.xdp.code import Code, number
from burstline.steering.xdp.layout import KIND, L3, L4, PROTO

BITS_OF = dict(BITS)
ETHERNET = 14
LEAST = {"tcp": (6, 20), "udp": (17, 8)}  # protocol, bytes of the header that must be there


def write_plain(code: Code, scratch: ir.Value, length: ir.Value, tunnels: TunnelPorts, parsed: ir.Block) -> None:
    """Go to `parsed` with a plain packet; after this comes what is done with others."""
    b, slow = code.b, code.block("slow")
    ethertype = _be(code, scratch, 12, 2)
    for version, kind, first, size in (("ipv4", 0x0800, 0x45, 20), ("ipv6", 0x86DD, 0x60, 40)):
        here, other = code.block(version), code.block(f"no_{version}")
        b.cbranch(b.icmp_unsigned("==", ethertype, number(kind)), here, other)
        b.position_at_end(here)
        head = _be(code, scratch, ETHERNET, 1)
        if version == "ipv4":
            # RFC 791 section 3.1: no options; no offset, and no more fragments.
            fits = b.icmp_unsigned("==", head, number(first))
            whole = b.icmp_unsigned("==", b.and_(_be(code, scratch, ETHERNET + 6, 2), number(0x3FFF)), number(0))
            sound, proto = b.and_(fits, whole), _be(code, scratch, ETHERNET + 9, 1)
            carried = _be(code, scratch, ETHERNET + 2, 2)
        else:
            sound = b.icmp_unsigned("==", b.and_(head, number(0xF0)), number(first))
            proto = _be(code, scratch, ETHERNET + 6, 1)
            carried = b.add(_be(code, scratch, ETHERNET + 4, 2), number(size))
        for name, (protocol, least) in LEAST.items():
            l4 = ETHERNET + size
            enough = b.and_(
                b.icmp_unsigned(">=", length, number(l4 + least)), b.icmp_unsigned(">=", carried, number(size + least))
            )
            taken = b.and_(b.and_(sound, enough), b.icmp_unsigned("==", proto, number(protocol)))
            if name == "udp":
                taken = b.and_(taken, _no_tunnel(code, scratch, l4, tunnels))
            found, following = code.block("plain"), code.block("not_this")
            b.cbranch(taken, found, following)
            b.position_at_end(found)
            bits = BITS_OF["eth"] | BITS_OF[version] | BITS_OF[name]
            for place, value in ((KIND, bits), (PROTO, protocol), (L3, ETHERNET), (L4, l4)):
                code.store(value, code.beside(scratch, place), 8, fresh=True)
            b.branch(parsed)
            b.position_at_end(following)
        b.branch(slow)
        b.position_at_end(other)
    b.branch(slow)
    b.position_at_end(slow)


def _no_tunnel(code: Code, scratch: ir.Value, l4: int, tunnels: TunnelPorts) -> ir.Value:
    b, none = code.b, ir.IntType(1)(1)
    for at in (l4, l4 + 2):
        port = _be(code, scratch, at, 2)
        for known in (*tunnels.vxlan, *tunnels.geneve, *tunnels.gtpu):
            none = b.and_(none, b.icmp_unsigned("!=", port, number(known)))
    return none


def _be(code: Code, scratch: ir.Value, at: int, size: int) -> ir.Value:
    return code.big_endian(code.beside(scratch, at), size)
