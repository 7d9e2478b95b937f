"""The words of a filter expression, as libpcap's scanner cuts them: the longest match wins, then the first rule."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple

from burstline.filter.problem import FilterError

NUMBER, NAME, ADDRESS, ADDRESS6, MAC, ARCNET, END = "number", "name", "address", "address6", "mac", "arcnet", "end"


class Token(NamedTuple):
    """`kind` is one of the above, or the keyword or the sign itself."""

    kind: str
    text: str
    column: int
    value: int = 0


# Words that are one and the same to the grammar.
ALIASES = {
    "ether": "link", "ppp": "link", "slip": "link", "fddi": "link", "tr": "link", "wlan": "link",
    "es-is": "esis", "is-is": "isis", "direction": "dir", "address1": "addr1", "address2": "addr2",
    "address3": "addr3", "address4": "addr4", "&&": "and", "||": "or", "not": "!", "length": "len", "==": "=",
    "lsu": "lssu", "ifname": "on", "ruleset": "rset", "rulenum": "rnr", "subrulenum": "srnr",
}  # fmt: skip
PROTOCOLS = frozenset((
    "link", "arp", "rarp", "ip", "sctp", "tcp", "udp", "icmp", "igmp", "igrp", "pim", "vrrp", "carp", "radio",
    "ip6", "icmp6", "ah", "esp", "atalk", "aarp", "decnet", "lat", "sca", "moprc", "mopdl", "iso", "esis", "isis",
    "l1", "l2", "iih", "lsp", "snp", "csnp", "psnp", "clnp", "stp", "ipx", "netbeui",
))  # fmt: skip
# What filters link types that burstline does not read: ATM, SS7, 802.11, BSD's packet filter log.
FOREIGN = frozenset((
    "lane", "metac", "bcc", "oam", "oamf4", "oamf4ec", "oamf4sc", "sc", "ilmic", "vpi", "vci", "connectmsg",
    "metaconnect", "on", "rset", "rnr", "srnr", "reason", "action", "fisu", "lssu", "msu", "hfisu", "hlssu", "hmsu",
    "sio", "opc", "dpc", "sls", "hsio", "hopc", "hdpc", "hsls", "type", "subtype", "dir", "ifindex",
))  # fmt: skip
KEYWORDS = PROTOCOLS | FOREIGN | frozenset((
    "dst", "src", "host", "net", "mask", "port", "portrange", "proto", "protochain", "gateway", "addr1", "addr2",
    "addr3", "addr4", "ra", "ta", "less", "greater", "byte", "broadcast", "multicast", "and", "or", "len",
    "inbound", "outbound", "vlan", "mpls", "pppoed", "pppoes", "geneve", "llc",
))  # fmt: skip
CONSTANTS = {
    "icmptype": 0, "icmpcode": 1, "icmp-echoreply": 0, "icmp-unreach": 3, "icmp-sourcequench": 4, "icmp-redirect": 5,
    "icmp-echo": 8, "icmp-routeradvert": 9, "icmp-routersolicit": 10, "icmp-timxceed": 11, "icmp-paramprob": 12,
    "icmp-tstamp": 13, "icmp-tstampreply": 14, "icmp-ireq": 15, "icmp-ireqreply": 16, "icmp-maskreq": 17,
    "icmp-maskreply": 18, "icmp6type": 0, "icmp6code": 1, "icmp6-destinationunreach": 1, "icmp6-packettoobig": 2,
    "icmp6-timeexceeded": 3, "icmp6-parameterproblem": 4, "icmp6-echo": 128, "icmp6-echoreply": 129,
    "icmp6-multicastlistenerquery": 130, "icmp6-multicastlistenerreportv1": 131, "icmp6-multicastlistenerdone": 132,
    "icmp6-routersolicit": 133, "icmp6-routeradvert": 134, "icmp6-neighborsolicit": 135, "icmp6-neighboradvert": 136,
    "icmp6-redirect": 137, "icmp6-routerrenum": 138, "icmp6-nodeinformationquery": 139,
    "icmp6-nodeinformationresponse": 140, "icmp6-ineighbordiscoverysolicit": 141,
    "icmp6-ineighbordiscoveryadvert": 142, "icmp6-multicastlistenerreportv2": 143,
    "icmp6-homeagentdiscoveryrequest": 144, "icmp6-homeagentdiscoveryreply": 145, "icmp6-mobileprefixsolicit": 146,
    "icmp6-mobileprefixadvert": 147, "icmp6-certpathsolicit": 148, "icmp6-certpathadvert": 149,
    "icmp6-multicastrouteradvert": 151, "icmp6-multicastroutersolicit": 152, "icmp6-multicastrouterterm": 153,
    "tcpflags": 13, "tcp-fin": 0x01, "tcp-syn": 0x02, "tcp-rst": 0x04, "tcp-push": 0x08, "tcp-ack": 0x10,
    "tcp-urg": 0x20, "tcp-ece": 0x40, "tcp-cwr": 0x80,
}  # fmt: skip


def _address6() -> str:
    """All spellings of an IPv6 address: `::` in any place among up to seven groups, or eight groups."""
    word, dotted = "[0-9A-Fa-f]{1,4}", r"N\.N\.N\.N".replace("N", _NUMBER)
    forms = [":".join([word] * 8), ":".join([word] * 6 + [dotted])]
    for tail, most in (([], 8), ([dotted], 6)):
        for left in range(most):
            for right in range(most - left):
                forms.append(":".join([word] * left) + "::" + ":".join([word] * right + tail))
    return "|".join(forms)


_NUMBER = "(?:0[xX][0-9A-Fa-f]+|[0-9]+)"
_BYTE, _TWO = "[0-9A-Fa-f]{1,2}", "[0-9A-Fa-f]{4}"
_SIGNS = re.compile(r"&&|\|\||>=|<=|!=|==|<<|>>|[+\-*/%:\[\]!<>()&|^=]")
_MACS = [re.compile(sign.join([_BYTE] * 6)) for sign in (":", "-", r"\.")]
_MACS += [re.compile(rf"{_TWO}\.{_TWO}\.{_TWO}"), re.compile(_TWO * 3)]
_RULES = [
    *((ARCNET, r) for r in [re.compile(rf"\${_BYTE}")]),
    *((MAC, r) for r in _MACS),
    (NUMBER, re.compile(_NUMBER)),
    (ADDRESS, re.compile(rf"{_NUMBER}(?:\.{_NUMBER}){{1,3}}")),
    ("bad mac", re.compile(rf"{_BYTE}:+(?:{_BYTE}:+)+")),
    (NAME, re.compile(r"[A-Za-z0-9](?:[-_.A-Za-z0-9]*[.A-Za-z0-9])?")),
    ("escaped", re.compile(r"\\[^ !()\n\t]+")),
]
_ADDRESS6 = re.compile(_address6())
_ADDRESS6_START = re.compile("[0-9A-Fa-fxX:.]+")


def tokens(expression: str) -> list[Token]:
    """All words, and one of kind END behind them. Raises `FilterError`."""
    found, at = [], 0
    while at < len(expression):
        if expression[at] in " \r\n\t":
            at += 1
            continue
        token = _next(expression, at)
        found.append(token)
        at += len(token.text) + (expression[at] == "\\")
    found.append(Token(END, "", len(expression)))
    return found


def _next(expression: str, at: int) -> Token:
    kind, size = "", 0
    for rule, pattern in _RULES:
        if (match := pattern.match(expression, at)) and len(match.group()) > size:
            kind, size = rule, len(match.group())
    if (length := _longest6(expression, at)) > size or (length == size > 0 and kind in (NAME, "bad mac")):
        kind, size = ADDRESS6, length
    if not size:
        sign = _SIGNS.match(expression, at)
        if sign is None:
            raise FilterError(expression, at, f"{expression[at]!r} has no meaning here")
        return Token(ALIASES.get(sign.group(), sign.group()), sign.group(), at)
    text = expression[at : at + size]
    if kind == NAME and text in CONSTANTS:
        return Token(NUMBER, text, at, CONSTANTS[text])
    if kind == NAME and (text in KEYWORDS or text in ALIASES):
        return Token(ALIASES.get(text, text), text, at)
    if kind == NUMBER:
        return Token(NUMBER, text, at, _number(expression, at, text))
    if kind == ADDRESS6:
        try:
            IPv6Address(text)
        except AddressValueError as error:
            raise FilterError(expression, at, f"invalid IPv6 address {text}: {error}") from None
    if kind == "bad mac":
        raise FilterError(expression, at, f"{text} is no Ethernet address", "write it like 02:00:5e:10:00:01")
    return Token(NAME, text[1:], at) if kind == "escaped" else Token(kind, text, at)


def _longest6(expression: str, at: int) -> int:
    start = _ADDRESS6_START.match(expression, at)
    if start is None or ":" not in start.group():
        return 0
    text = start.group()
    return next((size for size in range(len(text), 1, -1) if _ADDRESS6.fullmatch(text[:size])), 0)


def _number(expression: str, at: int, text: str) -> int:
    if text[:2] in ("0x", "0X"):
        value = int(text, 16)
    elif text[0] == "0":
        if set(text) & set("89"):
            raise FilterError(expression, at, f"number {text} starts with 0 and is not octal", "leave the 0 out")
        value = int(text, 8)
    else:
        value = int(text)
    if value >= 1 << 32:
        raise FilterError(expression, at, f"number {text} does not fit 32 bits")
    return value
