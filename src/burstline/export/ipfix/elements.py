"""Information elements: what columns of flow records are called in IPFIX (IANA's registry; RFC 7011 to 7013).

A column by the name of one of these, of a type that fits, is that element; the way back of both (`packets_back`) is its
reverse by RFC 5103. Others are elements of our own: IANA has given this project no enterprise number, so they are under
the one that is reserved for documentation (RFC 5612) unless the sink says `enterprise=`, and each is described by an
options record of its type and name (RFC 5610), so that collectors need not be told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DOCUMENTATION, REVERSE = 32473, 29305  # private enterprise numbers of RFC 5612 and RFC 5103
FIRST_OWN = 1024  # numbers of columns that no list here names
# Abstract data types, by their numbers in the registry of RFC 5610.
OCTETS, U8, U16, U32, U64, I8, I16, I32, I64, F32, F64, BOOL, MAC, STRING, SECONDS, MILLI, MICRO, NANO, IPV4, IPV6 = (
    range(20)
)
QUANTITY, TOTAL, DELTA, IDENTIFIER, FLAGS, NO_SEMANTICS = 1, 2, 3, 4, 5, 0
_UNSIGNED = {U8: 1, U16: 2, U32: 4, U64: 8}
_SIGNED = {I8: 1, I16: 2, I32: 4, I64: 8}


@dataclass(frozen=True)
class Element:
    """`number` of `enterprise` (0: IANA's)."""

    name: str
    number: int
    type: int
    enterprise: int = 0
    semantics: int = NO_SEMANTICS


IANA = {
    element.name: element
    for element in (
        Element("octetDeltaCount", 1, U64, semantics=DELTA),
        Element("packetDeltaCount", 2, U64, semantics=DELTA),
        Element("protocolIdentifier", 4, U8, semantics=IDENTIFIER),
        Element("ipClassOfService", 5, U8, semantics=IDENTIFIER),
        Element("tcpControlBits", 6, U16, semantics=FLAGS),
        Element("sourceTransportPort", 7, U16, semantics=IDENTIFIER),
        Element("sourceIPv4Address", 8, IPV4),
        Element("ingressInterface", 10, U32, semantics=IDENTIFIER),
        Element("destinationTransportPort", 11, U16, semantics=IDENTIFIER),
        Element("destinationIPv4Address", 12, IPV4),
        Element("sourceIPv6Address", 27, IPV6),
        Element("destinationIPv6Address", 28, IPV6),
        Element("minimumTTL", 52, U8),
        Element("maximumTTL", 53, U8),
        Element("vlanId", 58, U16, semantics=IDENTIFIER),
        Element("ipVersion", 60, U8, semantics=IDENTIFIER),
        Element("flowEndReason", 136, U8, semantics=IDENTIFIER),
        Element("flowStartMilliseconds", 152, MILLI),
        Element("flowEndMilliseconds", 153, MILLI),
        Element("flowStartMicroseconds", 154, MICRO),
        Element("flowEndMicroseconds", 155, MICRO),
        Element("flowStartNanoseconds", 156, NANO),
        Element("flowEndNanoseconds", 157, NANO),
        Element("udpSourcePort", 180, U16, semantics=IDENTIFIER),
        Element("udpDestinationPort", 181, U16, semantics=IDENTIFIER),
        Element("tcpSourcePort", 182, U16, semantics=IDENTIFIER),
        Element("tcpDestinationPort", 183, U16, semantics=IDENTIFIER),
        Element("dot1qVlanId", 243, U16, semantics=IDENTIFIER),
        Element("dot1qCustomerVlanId", 245, U16, semantics=IDENTIFIER),
        Element("ethernetType", 256, U16, semantics=IDENTIFIER),
    )
}
# Columns by name. Those of a flow's key are the same in every table; the others are what records usually call them.
NAMES = {
    "version": "ipVersion", "protocol": "protocolIdentifier", "sport": "sourceTransportPort",
    "dport": "destinationTransportPort", "vlan": "dot1qVlanId", "inner_vlan": "dot1qCustomerVlanId",
    "packets": "packetDeltaCount", "bytes": "octetDeltaCount", "tcp_flags": "tcpControlBits",
    "min_ttl": "minimumTTL", "max_ttl": "maximumTTL", "tos": "ipClassOfService",
    "proto": "protocolIdentifier", "ipv4.proto": "protocolIdentifier", "ipv4.src": "sourceIPv4Address",
    "ipv4.dst": "destinationIPv4Address", "ipv6.src": "sourceIPv6Address", "ipv6.dst": "destinationIPv6Address",
    "tcp.sport": "tcpSourcePort", "tcp.dport": "tcpDestinationPort", "udp.sport": "udpSourcePort",
    "udp.dport": "udpDestinationPort", "vlan.id": "dot1qVlanId", "inner_vlan.id": "dot1qCustomerVlanId",
    "port": "ingressInterface",
}  # fmt: skip
STARTS, ENDS = ("first", "first_seen", "start"), ("last", "last_seen", "end")
BACK = "_back"
# Ours, of columns that `burstline flows` has: these numbers stay.
OWN = {
    name: 1 + number
    for number, name in enumerate(
        ("tunnel_id", "syn_rtt", "ack_rtt", "first_back", "last_back", "payload_bytes", "payload_bytes_back",
         "tcp_flags_back", "payload", "payload_back", "min_length", "max_length", "dns_type", "dns_code",
         "dns_queries", "tunnel", "sni", "alpn", "ja4", "dns_name", "capture")
    )
}  # fmt: skip


def element_of(name: str, kind: str, size: int, unit: str, enterprise: int, place: int) -> Element:
    """The element for a column of this kind (uint, int, float, bool, ipv4, ipv6, bytes, text) and size in bytes. Times
    are ns in it, and `unit` (ms, us, ns) in IPFIX; `place` tells columns apart that nothing else names."""
    word = {"ms": "Milliseconds", "us": "Microseconds", "ns": "Nanoseconds"}[unit]
    if kind in ("int", "uint") and size == 8 and name in STARTS + ENDS:
        return IANA[f"flow{'Start' if name in STARTS else 'End'}{word}"]
    known = IANA.get(NAMES.get(name, ""))
    if known is not None and fits(known, kind, size):
        return known
    forward = IANA.get(NAMES.get(name.removesuffix(BACK), "")) if name.endswith(BACK) else None
    if forward is not None and fits(forward, kind, size):
        return Element(f"reverse{forward.name[0].upper()}{forward.name[1:]}", forward.number, forward.type, REVERSE)
    return Element(name, OWN.get(name, FIRST_OWN + place), type_of(kind, size), enterprise)


def fits(element: Element, kind: str, size: int) -> bool:
    """Whether values of the column can be sent as the element: it may be shorter (RFC 7011, 6.2), but not longer."""
    if element.type in _UNSIGNED:
        return kind == "uint" and size <= _UNSIGNED[element.type]
    return (kind, element.type) in (("ipv4", IPV4), ("ipv6", IPV6))


def type_of(kind: str, size: int) -> int:
    """The abstract type of a column without an element of IANA's."""
    numbers = {"uint": _UNSIGNED, "int": _SIGNED, "float": {F32: 4, F64: 8}}.get(kind)
    if numbers is not None:
        return next(t for t, width in numbers.items() if width == size)
    return {"bool": BOOL, "ipv4": IPV4, "ipv6": IPV6, "bytes": OCTETS, "text": STRING}[kind]


def kind_of(dtype: Any) -> tuple[str, int]:
    """Kind and size of a column of which nothing else is known than its type in NumPy."""
    return {"u": "uint", "i": "int", "f": "float", "b": "bool", "S": "bytes"}[dtype.kind], int(dtype.itemsize)
