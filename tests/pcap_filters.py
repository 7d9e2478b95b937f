"""Random filters over the whole grammar, as hypothesis strategies."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

PROTOCOLS = [
    "ip", "ip6", "tcp", "udp", "icmp", "icmp6", "arp", "rarp", "sctp", "igmp", "igrp", "pim", "ah", "esp", "vrrp",
    "carp", "stp", "ipx", "netbeui", "iso", "isis", "l1", "l2", "iih", "lsp", "snp", "csnp", "psnp", "clnp", "esis",
    "atalk", "aarp", "decnet", "lat", "sca", "moprc", "mopdl",
]  # fmt: skip
ADDRESS = st.sampled_from(
    ["192.0.2.1", "198.51.100.77", "10.1", "224.0.0.1", "2001:db8::1", "ff02::1", "::ffff:1.2.3.4"]
)
NUMBER = st.sampled_from(["1", "6", "17", "80", "443", "0x10", "010", "1500", "65535"])
IDS = {
    "host": ADDRESS | st.just("(192.0.2.1 or 198.51.100.77)"),
    "net": st.sampled_from(["192.0.2.0/24", "10", "192.0", "2001:db8::/32", "192.0.0.0 mask 255.255.0.0", "ff02::1"]),
    "port": st.sampled_from(["80", "443", "53", "http", "(80 or 443)", "not 80", "(not 53 and 80)"]),
    "portrange": st.sampled_from(["1-1024", "80-90", "5000", "90-80"]),
    "proto": st.sampled_from(["6", "17", "\\tcp", "\\udp", "44"]),
    "protochain": st.sampled_from(["6", "17", "\\tcp"]),
}
INDEX = st.sampled_from(["0", "1", "2", "6", "9", "12", "13", "tcpflags", "icmptype", "200"])
INDEXED = st.sampled_from(["ip", "tcp", "udp", "ether", "icmp", "ip6", "icmp6", "arp"])
SIZE = st.sampled_from(["", ":1", ":2", ":4"])
OPERATOR = st.sampled_from([" + ", " - ", " * ", " / ", " % ", " & ", " | ", " ^ ", " << ", " >> "])
RELATION = st.sampled_from([" = ", " == ", " != ", " > ", " < ", " >= ", " <= "])


def _joined(*parts: SearchStrategy[str] | str) -> SearchStrategy[str]:
    return st.tuples(*(st.just(p) if isinstance(p, str) else p for p in parts)).map("".join)


def _arithmetic(inner: SearchStrategy[str]) -> SearchStrategy[str]:
    return st.one_of(
        _joined("(", inner, ")"),
        _joined("-", inner),
        _joined(inner, OPERATOR, inner),
        _joined(INDEXED, "[", inner, SIZE, "]"),
    )


ARITHMETIC = st.recursive(NUMBER | st.just("len") | _joined(INDEXED, "[", INDEX, SIZE, "]"), _arithmetic, max_leaves=4)
WITH_DIRECTION = st.sampled_from(["", "src ", "dst ", "src or dst ", "dst and src "])
QUALIFIED = st.one_of(
    *(
        _joined(
            st.sampled_from(["", "", "ip ", "ip6 ", "tcp ", "udp ", "arp "]),
            "" if kind.startswith("proto") else WITH_DIRECTION,
            kind + " ",
            ids,
        )
        for kind, ids in IDS.items()
    )
)
OTHER = st.sampled_from([
    "broadcast", "multicast", "ip multicast", "ip6 multicast", "vlan", "vlan 5", "mpls", "mpls 16", "pppoed",
    "pppoes", "pppoes 3", "llc", "llc i", "llc s", "llc u", "llc ui", "llc rnr", "inbound", "outbound", "less 100",
    "greater 60", "byte 12 = 8", "byte 0 < 3", "ether host 02:00:00:00:00:01", "ether src 0611.2233.4455",
    "ether proto 0x800", "ether proto \\arp", "ether proto 0x42", "decnet src host 1.5", "geneve and ip",
    "geneve 7 and udp", "ether proto \\iso",
])  # fmt: skip
PRIMITIVE = st.one_of(
    st.sampled_from(PROTOCOLS), QUALIFIED, QUALIFIED, _joined(ARITHMETIC, RELATION, ARITHMETIC), OTHER
)
JOIN = st.sampled_from([" and ", " or ", " && ", " || "])


def _expression(inner: SearchStrategy[str]) -> SearchStrategy[str]:
    return st.one_of(
        _joined(inner, JOIN, inner),
        _joined("not ", inner),
        _joined("(", inner, ")"),
        _joined(inner, JOIN, st.sampled_from(["80", "192.0.2.1", "(443 or 80)", "! 80"])),
    )


FILTER = st.recursive(PRIMITIVE, _expression, max_leaves=4)
