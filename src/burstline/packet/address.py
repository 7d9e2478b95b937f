"""Address literals: `ip("10.0.0.1")`, `ip("2001:db8::1")`, `mac("02:00:00:00:00:01")`."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from burstline.errors import UsageError

__all__ = ["IPv4Address", "IPv6Address", "ip", "mac", "mac_text"]


def ip(text: str) -> IPv4Address | IPv6Address:
    """An IPv4 or IPv6 address to compare header fields with; evaluate it outside of stages."""
    try:
        return ip_address(text)
    except ValueError:
        raise UsageError(f"not an IP address: {text!r}", 'write it like ip("192.0.2.1") or ip("2001:db8::1")') from None


def mac(text: str) -> int:
    """A MAC address as the 48-bit number that `pkt.eth.src` reads as."""
    parts = text.replace("-", ":").split(":")
    if len(parts) != 6 or not all(len(p) in (1, 2) for p in parts):
        raise UsageError(f"not a MAC address: {text!r}", 'write six bytes in hex, e.g. mac("02:00:00:00:00:01")')
    try:
        return int.from_bytes(bytes(int(p, 16) for p in parts), "big")
    except ValueError:
        raise UsageError(f"not a MAC address: {text!r}", "each of the six parts is a byte in hex") from None


def mac_text(value: int) -> str:
    """The usual spelling of a 48-bit MAC address."""
    return ":".join(f"{b:02x}" for b in value.to_bytes(6, "big"))
