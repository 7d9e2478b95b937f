"""RSS as Microsoft defines it ("RSS hashing types"), bit by bit."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from burstline.steering.model.headers import Header

TRANSPORTS = ("TCP", "UDP", "SCTP")


def toeplitz(key: bytes, data: bytes) -> int:
    """The hash of a NIC: for each bit of the input that is set, the 32 bits of the key that begin at its place."""
    window, result, width = int.from_bytes(key, "big"), 0, 8 * len(key)
    for number in range(8 * len(data)):
        if data[number // 8] >> 7 - number % 8 & 1:
            result ^= window >> width - 32 - number & 0xFFFFFFFF
    return result


def rss_input(found: Sequence[Header], hashed: Collection[str] = TRANSPORTS) -> bytes:
    """Addresses, and ports of the protocols `hashed`, as they come in the packet; nothing without IP."""
    ip = next((header for header in found if header.kind in ("IPV4", "IPV6")), None)
    if ip is None:
        return b""
    addresses = ip.data[12:20] if ip.kind == "IPV4" else ip.data[8:40]
    ports = next((header.data[:4] for header in found if header.kind in hashed), b"")
    return addresses + ports
