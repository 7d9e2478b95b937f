"""What the headers of a sampled packet say, by the project's own interpreted views."""

from __future__ import annotations

from typing import Any

from burstline.packet.address import mac_text
from burstline.packet.fields import HEADERS, PRESENT, Field, Header
from burstline.packet.packet import Level, Packet, columns_of
from burstline.packet.parser import parse_levels
from burstline.packet.transitions import LINK_ETHERNET

PORTS = ("sctp", "tcp", "udp")


def dissect(data: bytes, length: int, time: int = 0, port: int = 0) -> dict[str, Any]:
    """Of the first bytes of an Ethernet frame: a line that sums it up, and each header with its fields, outermost first
    and then what a tunnel carries; `payload` is where these end, in bytes."""
    held = bytearray(data)
    packet = Packet(held, length, time, port, parse_levels(memoryview(held), len(held), LINK_ETHERNET))
    headers = [_header(packet, header, "") for header in HEADERS if _here(packet, header)]
    if packet.inner:
        headers += [_header(packet.inner, header, "inner ") for header in HEADERS if _here(packet.inner, header)]
    innermost: Level = packet.inner if packet.inner else packet
    return {"summary": _summary(packet, innermost), "headers": headers, "payload": columns_of(packet).payload}


def _here(level: Level, header: Header) -> bool:
    return bool(columns_of(level).present & PRESENT[header.name])


def _header(level: Level, header: Header, where: str) -> dict[str, Any]:
    view = getattr(level, header.name)
    fields = [{"name": field.name, "value": _text(view, field)} for field in header.fields]
    return {"name": f"{where}{header.name}", "source": header.source, "fields": fields}


def _text(view: Any, field: Field) -> str:
    value = getattr(view, field.name)
    if field.width == 6 and field.kind == "int":
        return mac_text(value)
    if field.kind == "int" and not field.whole:
        return f"{value}"
    if field.kind == "int" and field.name in ("type", "checksum", "flags", "tci"):
        return f"{value:#06x}"
    return str(value)


def _summary(packet: Packet, level: Level) -> str:
    """`tcp 10.0.0.1:80 > 192.0.2.1:1024`, or the headers that there are."""
    ip = level.ipv4 if level.ipv4 else level.ipv6
    names = [header.name for header in HEADERS if _here(level, header)]
    if not ip:
        return " ".join(names) or "not understood"
    inside = "tunnelled " if level is not packet else ""
    for name in PORTS:
        transport = getattr(level, name, None)
        if transport:
            src, dst = (f"[{a}]" if ":" in str(a) else str(a) for a in (ip.src, ip.dst))
            return f"{inside}{name} {src}:{transport.sport} > {dst}:{transport.dport}"
    return f"{inside}{names[-1]} {ip.src} > {ip.dst}"
