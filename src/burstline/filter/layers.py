"""Where headers lie, as far as a filter has been read, and the conditions that a packet has some protocol.

libpcap's rules (gencode.c, version 1.10): `vlan`, `mpls`, `pppoes` and `geneve` move what all later primitives look
at, whatever joins them to the rest of the expression.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from burstline.filter.predicate import (
    Arithmetic,
    Compare,
    Condition,
    Constant,
    Expression,
    Load,
    Not,
    Number,
    Register,
    both,
    either,
    equal,
    every,
)
from burstline.filter.problem import Refused
from burstline.packet.parser import LINK_ETHERNET, LINK_NULL, LINK_RAW, LINK_SLL, LINK_SLL2

_Make = Callable[[str], Condition]
PPP = -1  # what PPPoE carries, besides the parser's link layers
LINK_NAMES = {
    LINK_ETHERNET: "Ethernet",
    LINK_RAW: "raw IP",
    LINK_NULL: "BSD loopback",
    LINK_SLL: "Linux cooked capture",
    LINK_SLL2: "Linux cooked capture v2",
    PPP: "PPP",
}
IP, ARP, RARP, IP6, IPX = 0x0800, 0x0806, 0x8035, 0x86DD, 0x8137
ATALK, AARP, DECNET, SCA, LAT, MOPDL, MOPRC = 0x809B, 0x80F3, 0x6003, 0x6007, 0x6004, 0x6001, 0x6002
MPLS, PPPOED, PPPOES, BRIDGED = 0x8847, 0x8863, 0x8864, 0x6558
VLANS = (0x8100, 0x88A8, 0x9100)
SAP_IP, SAP_STP, SAP_IPX, SAP_NETBEUI, SAP_ISO = 0x06, 0x42, 0xE0, 0xF0, 0xFE
ETHERTYPES = {
    "ip": IP, "arp": ARP, "rarp": RARP, "ip6": IP6, "atalk": ATALK, "aarp": AARP, "decnet": DECNET, "sca": SCA,
    "lat": LAT, "mopdl": MOPDL, "moprc": MOPRC, "loopback": 0x9000,
}  # fmt: skip
SAPS = {"iso": SAP_ISO, "stp": SAP_STP, "ipx": SAP_IPX, "netbeui": SAP_NETBEUI}
MOST_LENGTH = 1500  # an Ethernet type field up to this is a length (IEEE 802.3)
SLL_802_3, SLL_802_2 = 1, 4
PPP_TYPES = {
    IP: 0x0021, IP6: 0x0057, DECNET: 0x0027, ATALK: 0x0029, 0x0600: 0x0025, SAP_ISO: 0x0023, SAP_STP: 0x0031,
    SAP_IPX: 0x002B,
}  # fmt: skip
FAMILIES = {IP: (2,), IP6: (24, 28, 30)}  # of the BSDs and of macOS


@dataclass(frozen=True)
class Place:
    """An offset: `constant`, and what a register holds."""

    constant: int
    register: Register | None = None

    def load(self, size: int, more: int = 0) -> Load:
        return Load(size, (self.constant + more) & 0xFFFF_FFFF, self.register)

    def moved(self, more: int) -> Place:
        return replace(self, constant=self.constant + more)


@dataclass
class Layers:
    """The state of the reading: `link` is the kind of the link layer that is looked at now."""

    link: int
    header: Place = field(default_factory=lambda: Place(0))
    type: Place | None = None  # None: the link layer has no type field
    payload: Place = field(default_factory=lambda: Place(0))
    network: int = 0  # of the network header, behind `payload`
    llc: int = 0  # the same behind an 802.2 header
    labels: int = 0
    in_geneve: bool = False
    geneves: int = 0

    def field(self, size: int, at: int) -> Load:
        """Of the network header."""
        return self.payload.load(size, self.network + at)

    def behind_llc(self, size: int, at: int) -> Load:
        return self.payload.load(size, self.llc + at)

    def header_length(self) -> Expression:
        """Of an IPv4 header, with what precedes the payload and is not constant."""
        length: Expression = Arithmetic("<<", Arithmetic("&", self.field(1, 0), Number(0xF)), Number(2))
        register = self.payload.register
        return length if register is None else Arithmetic("+", length, register)

    def transport(self, size: int, at: int) -> Load:
        """Of the header behind the IPv4 header."""
        return Load(size, self.payload.constant + self.network + at, self.header_length())

    def type_is(self, protocol: int) -> Condition:
        """The packet has this EtherType or, up to 1500, this LLC service access point."""
        if self.labels:
            return self._below_mpls(protocol)
        if self.link == LINK_ETHERNET:
            return self._ethernet(protocol)
        if self.link == LINK_SLL:
            return self._cooked(protocol)
        if self.link == LINK_RAW:
            version = {IP: 0x40, IP6: 0x60}.get(protocol)
            return Constant(False) if version is None else equal(self.header.load(1), version, 0xF0)
        if self.link == LINK_NULL:
            return self._loopback(protocol)
        assert self.type is not None
        return equal(self.type.load(2), PPP_TYPES.get(protocol, protocol) if self.link == PPP else protocol)

    def _below_mpls(self, protocol: int) -> Condition:
        version = {IP: 0x40, IP6: 0x60}.get(protocol)
        if version is None:
            raise Refused("behind MPLS only IPv4 and IPv6 can be told")
        return every(equal(self.field(1, -2), 1, 1), equal(self.field(1, 0), version, 0xF0))

    def _loopback(self, protocol: int) -> Condition:
        """The address family is in the byte order of the machine that captured: either is taken."""
        family = self.header.load(4)
        values = [v for f in FAMILIES.get(protocol, ()) for v in (f, int.from_bytes(f.to_bytes(4, "little"), "big"))]
        return either(*(equal(family, v) for v in values)) if values else Constant(False)

    def _ethernet(self, protocol: int) -> Condition:
        assert self.type is not None
        kind = self.type.load(2)
        is_length = Not(Compare(">", kind, Number(MOST_LENGTH)))
        if protocol in (SAP_ISO, SAP_IP, SAP_NETBEUI):
            return every(is_length, equal(self.payload.load(2), protocol << 8 | protocol))
        if protocol == SAP_IPX:
            ipx = either(self.snap(0, IPX), equal(self.payload.load(1), SAP_IPX), equal(self.payload.load(2), 0xFFFF))
            return either(equal(kind, IPX), every(is_length, ipx))
        if protocol in (ATALK, AARP):
            snap = self.snap(0x080007 if protocol == ATALK else 0, protocol)
            return either(equal(kind, protocol), every(is_length, snap))
        if protocol <= MOST_LENGTH:
            return every(is_length, equal(self.type.load(1, 2), protocol))
        return equal(kind, protocol)

    def _cooked(self, protocol: int) -> Condition:
        assert self.type is not None
        kind = self.type.load(2)
        is_llc = equal(kind, SLL_802_2)
        if protocol in (SAP_ISO, SAP_IP, SAP_NETBEUI):
            return every(is_llc, equal(self.payload.load(2), protocol << 8 | protocol))
        if protocol == SAP_IPX:
            ipx = either(equal(self.payload.load(1), SAP_IPX), self.snap(0, IPX))
            return either(equal(kind, IPX), equal(kind, SLL_802_3), every(is_llc, ipx))
        if protocol in (ATALK, AARP):
            snap = self.snap(0x080007 if protocol == ATALK else 0, protocol)
            return either(equal(kind, protocol), every(is_llc, snap))
        if protocol <= MOST_LENGTH:
            return every(is_llc, equal(self.header.load(1, self.payload.constant), protocol))
        return equal(kind, protocol)

    def snap(self, organisation: int, protocol: int) -> Condition:
        """The LLC and SNAP headers of a protocol of an organisation."""
        block = bytes((0xAA, 0xAA, 3)) + organisation.to_bytes(3, "big") + protocol.to_bytes(2, "big")
        return self.bytes_are(self.payload, block)

    @staticmethod
    def bytes_are(place: Place, block: bytes) -> Condition:
        """Compared from the end, in words, then in half a word."""
        conditions, end = [], len(block)
        for size in (4, 2, 1):
            while end >= size:
                end -= size
                conditions.append(equal(place.load(size, end), int.from_bytes(block[end : end + size], "big")))
        return every(*conditions)

    def only_ethernet(self) -> Condition | None:
        """What to ask before a link address: Geneve may carry packets without an Ethernet header."""
        assert self.header is not None
        if not self.in_geneve or self.header.register is None or self.payload.register is None:
            return None
        return Not(Compare("==", self.header.register, self.payload.register))

    def ethernet_address(self, address: bytes, direction: str) -> Condition:
        found = by_direction(
            direction, lambda way: self.bytes_are(self.header.moved(6 if way == "src" else 0), address)
        )
        return both(self.only_ethernet(), found)


def by_direction(direction: str, make: _Make) -> Condition:
    """`make` for src, dst, both, or either of them."""
    if direction in ("src", "dst"):
        return make(direction)
    if direction == "and":
        return every(make("src"), make("dst"))
    if direction in ("", "or"):
        return either(make("src"), make("dst"))
    raise Refused(f"{direction} is for 802.11 addresses, which are not supported")


def layers_of(link: int) -> Layers:
    """At the start of an expression."""
    if link == LINK_ETHERNET:
        return Layers(link, type=Place(12), payload=Place(14), llc=3)
    if link == LINK_SLL:
        return Layers(link, type=Place(14), payload=Place(16))
    if link == LINK_SLL2:
        return Layers(link, type=Place(0), payload=Place(20))
    if link == LINK_NULL:
        return Layers(link, type=Place(0), payload=Place(4))
    return Layers(link)
