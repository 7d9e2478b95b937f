"""The primitives of a filter as conditions: hosts, nets, ports and protocols."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv6Address

from burstline.filter import layers as layer
from burstline.filter.layers import Layers, by_direction
from burstline.filter.predicate import (
    WORD,
    Arithmetic,
    Compare,
    Condition,
    Expression,
    Load,
    Not,
    Number,
    ProtocolChain,
    Register,
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
