"""One rule of a `RuleSet`: what it matches, read from texts, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Protocol

from burstline.errors import UsageError

Network = IPv4Network | IPv6Network
PROTOCOLS = {
    "icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58, "sctp": 132,
}  # fmt: skip
WITH_PORTS = (6, 17, 132)
FLAGS = {letter: 1 << bit for bit, letter in enumerate("FSRPAUEC")}  # RFC 9293 section 3.1, from the lowest bit on
FIELDS = ("src", "dst", "proto", "sport", "dport", "vlan", "flags", "value")
ANY = ("", "any", "*")


@dataclass(frozen=True)
class Rule:
    """What a packet must have to match; None is anything. Ports are ranges, both ends included; of the TCP flags, those
    in `flags[1]` must be as in `flags[0]`. `value` is the application's own, from 0 to 2**31 - 1."""

    src: Network | None = None
    dst: Network | None = None
    proto: int | None = None
    sport: tuple[int, int] | None = None
    dport: tuple[int, int] | None = None
    vlan: int | None = None
    flags: tuple[int, int] | None = None
    value: int = 0

    @property
    def version(self) -> int | None:
        """4 or 6 where an address says so."""
        network = self.src or self.dst
        return network.version if network else None


class HeaderMatch(Protocol):
    """What rules of any kind ask of the outermost headers."""

    @property
    def src(self) -> Network | None: ...
    @property
    def dst(self) -> Network | None: ...
    @property
    def proto(self) -> int | None: ...
    @property
    def sport(self) -> tuple[int, int] | None: ...
    @property
    def dport(self) -> tuple[int, int] | None: ...
    @property
    def vlan(self) -> int | None: ...
    @property
    def flags(self) -> tuple[int, int] | None: ...


class BadField(Exception):
    """A field, by its name, that means nothing; what is wrong, and what to write instead."""

    def __init__(self, name: str, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.name, self.problem, self.hint = name, problem, hint


def rule_of(given: Mapping[str, Any], number: int) -> Rule:
    """A rule from texts or numbers by field; its value is its number unless given. Raises `BadField`."""
    for name in given:
        if name not in FIELDS:
            raise BadField(name, f"there is no field {name!r}", f"the fields are {', '.join(FIELDS)}")
    texts = {name: str(value).strip() for name, value in given.items() if value is not None}
    held = {name: text for name, text in texts.items() if text.lower() not in ANY}
    made: dict[str, Any] = {"value": number}
    for name, text in held.items():
        made[name] = _READERS[name](name, text)
    rule = Rule(**made)
    refuse_empty(rule)
    return rule


def read_network(name: str, text: str) -> Network | None:
    try:
        network = ip_network(text)
    except ValueError as error:
        raise BadField(name, str(error), 'write it like "10.0.0.0/8" or "2001:db8::1"') from None
    return network


def read_number(name: str, text: str, most: int) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        raise BadField(name, f"{text!r} is no number", f"write 0 to {most:,}") from None
    if not 0 <= value <= most:
        raise BadField(name, f"{text} is out of range", f"write 0 to {most:,}")
    return value


def read_protocol(name: str, text: str) -> int:
    if text.lower() in PROTOCOLS:
        return PROTOCOLS[text.lower()]
    try:
        return read_number(name, text, 255)
    except BadField as error:
        raise BadField(name, error.problem, f"write 0 to 255, or one of {', '.join(PROTOCOLS)}") from None


def read_ports(name: str, text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    first = read_number(name, low.strip(), 65535)
    last = read_number(name, high.strip(), 65535) if dash else first
    if last < first:
        raise BadField(name, f"the range {text} is empty", f"write {last}-{first}")
    return first, last


def read_flags(name: str, text: str) -> tuple[int, int]:
    """`S/SA`: of SYN and ACK, SYN alone; the letters and the form are those of pf.conf(5)."""
    wanted, slash, among = (part.strip().upper() for part in text.partition("/"))
    if not slash or not among or not {*wanted, *among} <= FLAGS.keys():
        raise BadField(name, f"{text!r} are no TCP flags", "write set/among with letters of FSRPAUEC, such as S/SA")
    value, mask = (sum(FLAGS[letter] for letter in {*letters}) for letters in (wanted, among))
    if value & ~mask:
        raise BadField(name, f"{text} can never be", "name behind the slash each flag that is before it")
    return value, mask


_READERS: dict[str, Any] = {
    "src": read_network, "dst": read_network, "proto": read_protocol, "sport": read_ports, "dport": read_ports,
    "flags": read_flags, "vlan": lambda name, text: read_number(name, text, 4095),
    "value": lambda name, text: read_number(name, text, 2**31 - 1),
}  # fmt: skip


def refuse_empty(rule: HeaderMatch) -> None:
    """What no packet can match. Raises BadField."""
    if rule.src and rule.dst and rule.src.version != rule.dst.version:
        raise BadField("dst", "IPv4 on one side and IPv6 on the other: no packet is that", "write a rule for each")
    ports = "sport" if rule.sport else "dport" if rule.dport else None
    if ports and rule.proto is not None and rule.proto not in WITH_PORTS:
        raise BadField(ports, f"protocol {rule.proto} has no ports", "leave the ports out, or write tcp, udp or sctp")
    if rule.flags and rule.proto not in (None, 6):
        raise BadField("flags", f"protocol {rule.proto} has no TCP flags", "leave the flags out, or write tcp")


def usage_error(where: str, error: BadField) -> UsageError:
    return UsageError(f"{where}: {error.name}: {error.problem}", error.hint)
