"""VLAN, MPLS, PPPoE and Geneve in filters: each moves what all that follows in the expression looks at."""

from __future__ import annotations

from burstline.filter import layers as layer
from burstline.filter.layers import Layers, Place
from burstline.filter.predicate import (
    WORD,
    Arithmetic,
    Condition,
    Expression,
    Load,
    Number,
    Or,
    Register,
    Set,
    either,
    equal,
    every,
)
from burstline.filter.primitives import UDP, not_fragment
from burstline.filter.problem import Refused
from burstline.packet.parser import LINK_ETHERNET

GENEVE_PORT = 6081


def vlan(at: Layers, number: int | None) -> Condition:
    """A VLAN tag; what follows looks behind it."""
    if at.labels:
        raise Refused("'vlan' cannot follow 'mpls'")
    if at.link != LINK_ETHERNET or at.type is None:
        raise Refused(f"there are no VLAN tags in {layer.LINK_NAMES[at.link]}")
    found = either(*(at.type_is(kind) for kind in layer.VLANS))
    if number is not None:
        _most(number, 0xFFF, "VLAN tag")
        found = every(found, equal(at.field(2, 0), number, 0xFFF))
    at.payload, at.type = at.payload.moved(4), at.type.moved(4)
    return found


def mpls(at: Layers, label: int | None) -> Condition:
    """An MPLS label; what follows looks behind it."""
    if at.labels:
        found = equal(at.field(1, -2), 0, 1)
    elif at.link == LINK_ETHERNET:
        found = at.type_is(layer.MPLS)
    elif at.link == layer.PPP:
        found = at.type_is(0x0281)
    else:
        raise Refused(f"there are no MPLS labels in {layer.LINK_NAMES[at.link]}")
    if label is not None:
        _most(label, 0xFFFFF, "MPLS label")
        found = every(found, equal(at.field(4, 0), label << 12, 0xFFFFF000))
    at.network, at.llc, at.labels = at.network + 4, at.llc + 4, at.labels + 1
    return found


def pppoes(at: Layers, session: int | None) -> Condition:
    """A PPPoE session; what follows looks into its PPP frame."""
    found = at.type_is(layer.PPPOES)
    if session is not None:
        _most(session, 0xFFFF, "PPPoE session")
        found = every(found, equal(at.field(4, 0), session, 0xFFFF))
    at.header = at.payload.moved(at.network + 6)
    at.link, at.type, at.in_geneve = layer.PPP, at.header, False
    at.payload = at.header.moved(2)
    at.network = at.llc = 0
    return found


def geneve(at: Layers, vni: int | None) -> Condition:
    """A Geneve tunnel (RFC 8926); what follows looks at what it carries, with an Ethernet header or without."""
    if vni is not None:
        _most(vni, 0xFFFFFF, "Geneve VNI")
    at.geneves += 1
    start, kind, frame, payload = (f"geneve{at.geneves}_{part}" for part in ("start", "type", "frame", "payload"))
    register = at.payload.register
    fixed: Expression = Number(40) if register is None else Arithmetic("+", Number(40), register)

    def tunnel(ethertype: int, is_udp: Condition, before: Expression) -> Condition:
        first = at.transport if ethertype == layer.IP else lambda size, offset: at.field(size, 40 + offset)
        found = every(at.type_is(ethertype), is_udp, equal(first(2, 2), GENEVE_PORT), equal(first(1, 8), 0, 0xC0))
        if vni is not None:
            found = every(found, equal(first(4, 12), vni << 8, 0xFFFFFF00))
        more = Number((at.payload.constant + at.network + 8) & WORD)
        return every(found, Set(start, Arithmetic("+", before, more)))

    over4 = tunnel(layer.IP, every(equal(at.field(1, 9), UDP), not_fragment(at)), at.header_length())
    over6 = tunnel(layer.IP6, equal(at.field(1, 6), UDP), fixed)
    options = Arithmetic("*", Arithmetic("&", Load(1, 0, Register(start)), Number(0x3F)), Number(4))
    end = Arithmetic("+", Arithmetic("+", options, Number(8)), Register(start))
    bridged = every(
        equal(Load(2, 2, Register(start)), layer.BRIDGED),
        Set(kind, Arithmetic("+", Register(frame), Number(12))),
        Set(payload, Arithmetic("+", Register(frame), Number(14))),
    )
    bare = every(Set(kind, Arithmetic("+", Register(start), Number(2))), Set(payload, Register(frame)))
    found = every(either(over4, over6), Set(frame, end), Or(bridged, bare))
    at.link, at.in_geneve, at.network = LINK_ETHERNET, True, 0
    at.header, at.type, at.payload = Place(0, Register(frame)), Place(0, Register(kind)), Place(0, Register(payload))
    return found


def _most(number: int, most: int, what: str) -> None:
    if number > most:
        raise Refused(f"{what} {number} is more than {most}")
