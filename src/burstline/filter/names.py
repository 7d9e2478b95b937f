"""Names and numbers in filters: services and protocols as the system has them, IPv4 addresses that are cut short."""

from __future__ import annotations

import re
import socket

from burstline.filter import layers as layer
from burstline.filter.primitives import OSI_PROTOCOLS, TCP, UDP
from burstline.filter.problem import Refused


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


def ipv4_number(text: str) -> tuple[int, int]:
    """One to four numbers with dots, and the bits that they fill; the rest is 0."""
    value = bits = 0
    for number in text.split("."):
        if not number.isdecimal() or int(number) > 255:
            raise Refused(f"{text} is no IPv4 address")
        value, bits = value << 8 | int(number), bits + 8
    return value << (32 - bits), bits


def protocol_number(name: str, within: str) -> int:
    if within in ("", "ip", "ip6"):
        try:
            return socket.getprotobyname(name)
        except OSError:
            raise Refused(f"unknown IP protocol {name!r}", "protocols have the names of /etc/protocols") from None
    if within == "link" and (name in layer.ETHERTYPES or name in layer.SAPS):
        return layer.ETHERTYPES.get(name) or layer.SAPS[name]
    if within == "iso" and name in OSI_PROTOCOLS:
        return OSI_PROTOCOLS[name]
    raise Refused(f"unknown protocol {name!r} of {within!r}")
