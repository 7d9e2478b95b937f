"""The primitives of a filter as conditions: hosts, nets, ports, protocols and encapsulations."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from ipaddress import IPv6Address

from burstline.filter import layers as layer
from burstline.filter.layers import Layers, Place, by_direction
from burstline.filter.predicate import (
    WORD,
    Arithmetic,
    Compare,
    Condition,
    Expression,
    Load,
    Not,
    Number,
    Or,
    ProtocolChain,
    Register,
    Set,
    both,
    either,
    equal,
    every,
)
from burstline.filter.problem import Refused
from burstline.packet.parser import LINK_ETHERNET, LINK_SLL, LINK_SLL2

TCP, UDP, SCTP, FRAGMENT = 6, 17, 132, 44
TRANSPORTS = {"tcp": TCP, "udp": UDP, "sctp": SCTP}
IPV4_PROTOCOLS = {"icmp": 1, "igmp": 2, "igrp": 9, "vrrp": 112, "carp": 112}
BOTH_PROTOCOLS = {**TRANSPORTS, "pim": 103, "ah": 51, "esp": 50}
OSI_PROTOCOLS = {"esis": 0x82, "isis": 0x83, "clnp": 0x81}
ISIS_TYPES = {
    "l1": (26, 24, 18, 15, 17), "l2": (27, 25, 20, 16, 17), "iih": (17, 15, 16), "lsp": (18, 20),
    "snp": (27, 26, 24, 25), "csnp": (24, 25), "psnp": (26, 27),
}  # fmt: skip
GENEVE_PORT = 6081


@dataclass(frozen=True)
class Qualifiers:
    """What stands before an address: `kind` is host, net, port, portrange, proto, protochain, gateway or nothing."""

    protocol: str = ""
    direction: str = ""
    kind: str = ""


def protocol_named(at: Layers, name: str) -> Condition:
    """`tcp`, `ip6`, `stp` ... on their own."""
    if name in layer.ETHERTYPES:
        return at.type_is(layer.ETHERTYPES[name])
    if name in layer.SAPS:
        return at.type_is(layer.SAPS[name])
    if name in BOTH_PROTOCOLS:
        return protocol_is(at, BOTH_PROTOCOLS[name], "")
    if name in IPV4_PROTOCOLS:
        return protocol_is(at, IPV4_PROTOCOLS[name], "ip")
    if name == "icmp6":
        return protocol_is(at, 58, "ip6")
    if name in OSI_PROTOCOLS:
        return protocol_is(at, OSI_PROTOCOLS[name], "iso")
    if name in ISIS_TYPES:
        return either(*(protocol_is(at, kind, "isis") for kind in ISIS_TYPES[name]))
    raise Refused(f"{name!r} is no protocol by itself", "write what follows it, e.g. `ether host 02:00:5e:10:00:01`")


def protocol_is(at: Layers, number: int, within: str) -> Condition:
    """`ip proto 6`: a protocol's number within another protocol."""
    if within == "":
        return either(protocol_is(at, number, "ip"), protocol_is(at, number, "ip6"))
    if within == "link":
        return at.type_is(number)
    if within == "ip":
        return every(at.type_is(layer.IP), equal(at.field(1, 9), number))
    if within == "ip6":
        # Of the extension headers, libpcap looks behind one fragment header.
        direct = equal(at.field(1, 6), number)
        behind = every(equal(at.field(1, 6), FRAGMENT), equal(at.field(1, 40), number))
        return every(at.type_is(layer.IP6), either(direct, behind))
    if within == "iso":
        return every(at.type_is(layer.SAP_ISO), equal(at.behind_llc(1, 0), number))
    if within == "isis":
        return every(protocol_is(at, OSI_PROTOCOLS["isis"], "iso"), equal(at.behind_llc(1, 4), number))
    raise Refused(f"{within!r} does not tell what it carries by a protocol number", "write e.g. `ip proto 6`")


def protocol_chain(at: Layers, number: int, within: str) -> Condition:
    if within == "":
        return either(protocol_chain(at, number, "ip"), protocol_chain(at, number, "ip6"))
    if within not in ("ip", "ip6"):
        raise Refused("'protochain' is for ip and ip6", "write e.g. `ip6 protochain 6`")
    if at.payload.register is not None:
        raise Refused("'protochain' cannot be used behind 'geneve'")
    version = 4 if within == "ip" else 6
    kind = at.type_is(layer.IP if version == 4 else layer.IP6)
    return every(kind, ProtocolChain(version, at.payload.constant + at.network, number))


def ipv4(at: Layers, address: int, mask: int, q: Qualifiers) -> Condition:
    """A host or net, in the headers of IPv4, ARP and RARP."""
    if q.protocol == "":
        protocols = ["ip"] if at.labels else ["ip", "arp", "rarp"]
    elif q.protocol in ("ip", "arp", "rarp"):
        protocols = [q.protocol]
    else:
        raise Refused(f"{q.protocol!r} has no IPv4 addresses", "write e.g. `ip host 192.0.2.1`, and `tcp and host ...`")

    def found(protocol: str) -> Condition:
        source, destination = (12, 16) if protocol == "ip" else (14, 24)
        return by_direction(q.direction, lambda way: every(
            at.type_is(layer.ETHERTYPES[protocol]),
            equal(at.field(4, source if way == "src" else destination), address, mask),
        ))  # fmt: skip

    return either(*map(found, protocols))


def ipv6(at: Layers, address: int, mask: int, q: Qualifiers) -> Condition:
    if q.protocol not in ("", "ip6"):
        raise Refused(f"{q.protocol!r} has no IPv6 addresses", "write e.g. `ip6 host 2001:db8::1`")

    def found(way: str) -> Condition:
        first = 8 if way == "src" else 24
        words = [
            equal(at.field(4, first + 4 * k), address >> shift & WORD, mask >> shift & WORD)
            for k, shift in enumerate((96, 64, 32, 0))
        ]
        return every(at.type_is(layer.IP6), *words)

    return by_direction(q.direction, found)


def decnet(at: Layers, address: int, q: Qualifiers) -> Condition:
    """An address in DECnet phase IV's long and short headers, each with and without a byte of padding."""
    number = (address & 0xFF) << 8 | address >> 8 & 0xFF

    def found(way: str) -> Condition:
        short, long = (3, 15) if way == "src" else (1, 7)
        cases = [
            every(equal(at.field(1, 2), 0x02, 0x7), equal(at.field(2, 2 + short), number)),
            every(equal(at.field(2, 2), 0x8102, 0xFF07), equal(at.field(2, 3 + short), number)),
            every(equal(at.field(1, 2), 0x06, 0x7), equal(at.field(2, 2 + long), number)),
            every(equal(at.field(2, 2), 0x8106, 0xFF07), equal(at.field(2, 3 + long), number)),
        ]
        return every(at.type_is(layer.DECNET), either(*cases))

    return by_direction(q.direction, found)


def ports(at: Layers, first: int, last: int, transports: tuple[int, ...], direction: str, exact: bool) -> Condition:
    """A port, or a range of ports, over IPv6 and over IPv4: there not in the later fragments."""
    for port in (first, last):
        if not 0 <= port <= 65535:
            raise Refused(f"port {port} is more than 65535")
    low, high = sorted((first, last))

    def inside(load: Load) -> Condition:
        if exact:
            return equal(load, low)
        return every(Compare(">=", load, Number(low)), Compare("<=", load, Number(high)))

    def of_ipv4(transport: int) -> Condition:
        found = by_direction(direction, lambda way: inside(at.transport(2, 0 if way == "src" else 2)))
        return every(equal(at.field(1, 9), transport), not_fragment(at), found)

    def of_ipv6(transport: int) -> Condition:
        found = by_direction(direction, lambda way: inside(at.field(2, 40 if way == "src" else 42)))
        return every(equal(at.field(1, 6), transport), found)

    # Of the transports, libpcap asks the last one first.
    order = transports if len(transports) == 1 else (SCTP, TCP, UDP)
    over6 = every(at.type_is(layer.IP6), either(*map(of_ipv6, order)))
    return either(over6, every(at.type_is(layer.IP), either(*map(of_ipv4, order))))


def not_fragment(at: Layers) -> Condition:
    """Not an IPv4 fragment other than the first one."""
    return equal(at.field(2, 6), 0, 0x1FFF)


def port_transports(q: Qualifiers, named: int | None = None) -> tuple[int, ...]:
    """The transport protocols in which a port is looked for; `named` is the one that the port's name has."""
    if q.protocol and q.protocol not in TRANSPORTS:
        raise Refused(f"{q.protocol!r} has no ports", "write `port`, `tcp port`, `udp port` or `sctp port`")
    if not q.protocol:
        return (SCTP, TCP, UDP) if named is None else (named,)
    if named not in (None, TRANSPORTS[q.protocol]):
        raise Refused(f"the port of this name is not one of {q.protocol}")
    return (TRANSPORTS[q.protocol],)


def named_port(name: str) -> tuple[int, int | None]:
    """A service's port, and its transport where it has but one."""
    found: dict[int, int] = {}
    for kind, transport in ((socket.SOCK_STREAM, TCP), (socket.SOCK_DGRAM, UDP)):
        try:
            found[transport] = socket.getaddrinfo(None, name, type=kind, proto=transport)[0][4][1]  # type: ignore[assignment]
        except (OSError, UnicodeError):
            continue
    if not found:
        raise Refused(f"unknown port {name!r}", "services have the names of /etc/services")
    if TCP in found:
        return found[TCP], None if found.get(UDP) == found[TCP] else TCP
    return found[UDP], UDP


def port_range(text: str) -> tuple[int, int, int | None]:
    if numbers := re.match(r"(\d+)-(\d+)", text):
        return int(numbers[1]), int(numbers[2]), None
    first, dash, last = text.partition("-")
    if not dash:
        raise Refused(f"{text!r} is no range of ports", "write it like `portrange 8000-8080`")
    (low, one), (high, other) = named_port(first), named_port(last)
    return low, high, one if one == other else None


def named_hosts(at: Layers, name: str, q: Qualifiers) -> Condition:
    """All addresses that the system's resolver has for a name."""
    protocol = {"": ("ip", "ip6") if at.type is None else ("", "")}.get(q.protocol, (q.protocol, q.protocol))
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, proto=TCP)
    except (OSError, UnicodeError):
        raise Refused(f"unknown host {name!r}", "write its address") from None
    conditions = []
    for family, _, _, _, where in found:
        if family == socket.AF_INET and protocol[0] != "ip6":
            number = int.from_bytes(socket.inet_aton(str(where[0])), "big")
            conditions.append(ipv4(at, number, WORD, Qualifiers(protocol[0], q.direction)))
        elif family == socket.AF_INET6 and protocol[1] != "ip":
            number = int(IPv6Address(str(where[0]).partition("%")[0]))
            conditions.append(ipv6(at, number, (1 << 128) - 1, Qualifiers(protocol[1], q.direction)))
    if not conditions:
        raise Refused(f"host {name!r} has no address of this kind", "write its address")
    return either(*conditions)


def link_host(at: Layers, address: bytes, direction: str) -> Condition:
    if at.link != LINK_ETHERNET:
        raise Refused(f"there are no Ethernet addresses in {layer.LINK_NAMES[at.link]}")
    return at.ethernet_address(address, direction)


def broadcast(at: Layers, protocol: str) -> Condition:
    if protocol in ("", "link"):
        if at.link != LINK_ETHERNET:
            raise Refused(f"there are no broadcasts in {layer.LINK_NAMES[at.link]}")
        return at.ethernet_address(b"\xff" * 6, "dst")
    if protocol == "ip":
        raise Refused("'ip broadcast' needs the netmask of the network, which a capture does not tell")
    raise Refused(f"there are no broadcasts of {protocol!r}", "write `broadcast` or `ether broadcast`")


def multicast(at: Layers, protocol: str) -> Condition:
    if protocol in ("", "link") and at.link == LINK_ETHERNET:
        group = Compare("!=", Arithmetic("&", at.header.load(1), Number(1)), Number(0))
        return both(at.only_ethernet(), group)
    if protocol == "ip":
        return every(at.type_is(layer.IP), Compare(">=", at.field(1, 16), Number(224)))
    if protocol == "ip6":
        return every(at.type_is(layer.IP6), equal(at.field(1, 24), 255))
    raise Refused(
        "multicasts are those of Ethernet, ip and ip6", "write `multicast`, `ip multicast` or `ip6 multicast`"
    )


def inbound(at: Layers, outgoing: bool) -> Condition:
    """By the packet type of Linux's cooked captures (4: sent by this host)."""
    if at.link not in (LINK_SLL, LINK_SLL2):
        raise Refused(f"{layer.LINK_NAMES[at.link]} does not tell the direction of its packets")
    sent = equal(at.header.load(2), 4) if at.link == LINK_SLL else equal(at.header.load(1, 10), 4)
    return sent if outgoing else Not(sent)


def llc(at: Layers, kind: str) -> Condition:
    """`llc`, with a kind of frame or a command behind it (IEEE 802.2, 5.4)."""
    if at.link != LINK_ETHERNET or at.type is None:
        raise Refused(f"'llc' is not supported for {layer.LINK_NAMES[at.link]}")
    is_length = Not(Compare(">", at.type.load(2), Number(layer.MOST_LENGTH)))
    frame = every(is_length, Not(equal(at.payload.load(2), 0xFFFF)))
    if not kind:
        return frame
    if kind.lower() == "i":
        return every(frame, equal(at.payload.load(1, 2), 0, 1))
    if kind.lower() not in LLC_KINDS:
        raise Refused(f"unknown kind of LLC frame: {kind!r}", f"the kinds are i, {', '.join(LLC_KINDS)}")
    value, mask = LLC_KINDS[kind.lower()]
    return every(frame, equal(at.payload.load(1, 2), value, mask))


LLC_KINDS = {
    "s": (1, 3), "u": (3, 3), "rr": (1, 0x0F), "rnr": (5, 0x0F), "rej": (9, 0x0F), "ui": (0x03, 0xEF),
    "ua": (0x63, 0xEF), "disc": (0x43, 0xEF), "dm": (0x0F, 0xEF), "sabme": (0x6F, 0xEF), "test": (0xE3, 0xEF),
    "xid": (0xAF, 0xEF), "frmr": (0x87, 0xEF),
}  # fmt: skip


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


def loaded(
    at: Layers, protocol: str, index: Expression, guard: Condition | None, size: int
) -> tuple[Load, Condition | None]:
    """`tcp[index:size]`: the load, and what must hold first; `guard` must before the index is worked out."""
    if size not in (1, 2, 4):
        raise Refused(f"{size} bytes cannot be taken at once", "take 1, 2 or 4")
    if protocol == "link":
        return Load(size, at.header.constant, _sum(index, at.header.register)), guard
    start, register = at.payload.constant + at.network, at.payload.register
    if protocol in layer.ETHERTYPES:
        return Load(size, start, _sum(index, register)), both(guard, protocol_named(at, protocol))
    if protocol in (*TRANSPORTS, *IPV4_PROTOCOLS, "pim"):
        inside = both(guard, every(protocol_named(at, protocol), not_fragment(at)))
        return Load(size, start, Arithmetic("+", index, at.header_length())), every(at.type_is(layer.IP), inside)
    if protocol == "icmp6":
        inside = every(at.type_is(layer.IP6), equal(at.field(1, 6), 58))
        return Load(size, start + 40, _sum(index, register)), both(guard, inside)
    raise Refused(f"bytes of {protocol!r} cannot be indexed", "use ether[...], ip[...], tcp[...] ...")


def _sum(index: Expression, register: Register | None) -> Expression:
    return index if register is None else Arithmetic("+", register, index)
