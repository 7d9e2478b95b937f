"""JA4, the fingerprint of TLS clients, by FoxIO's specification (technical_details/JA4.md, BSD 3-Clause).

t13d1516h2_8daaf6152771_e5627efa2ab1
over TCP, TLS 1.3, a domain is named, 15 ciphers, 16 extensions, ALPN from h to 2; ciphers; extensions and signatures
"""

from __future__ import annotations

import functools
import hashlib

from burstline.flows.client_hello import ALPN, SERVER_NAME, ClientHello

_VERSIONS = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2",
             0xFEFF: "d1", 0xFEFD: "d2", 0xFEFC: "d3"}  # fmt: skip
NOTHING = "0" * 12


def ja4(hello: ClientHello, transport: str = "t") -> str:
    """`transport` is t for TCP, q for QUIC, d for DTLS."""
    return _ja4(
        transport, hello.version, hello.ciphers, hello.extensions, hello.alpn[:1], hello.signatures, hello.versions
    )


@functools.lru_cache(maxsize=4096)
def _ja4(
    transport: str, version: int, ciphers: tuple[int, ...], extensions: tuple[int, ...], alpn: tuple[bytes, ...],
    signatures: tuple[int, ...], versions: tuple[int, ...],
) -> str:  # fmt: skip
    """A client sends the same but for its random numbers, so most are found here."""
    ciphers, extensions = _without_grease(ciphers), _without_grease(extensions)
    offered = _without_grease(versions)
    newest = min if transport == "d" else max  # DTLS counts downwards
    shown = _VERSIONS.get(newest(offered) if offered else version, "00")
    named = "d" if SERVER_NAME in extensions else "i"
    counts = f"{min(len(ciphers), 99):02}{min(len(extensions), 99):02}"
    others = sorted(e for e in extensions if e not in (SERVER_NAME, ALPN))
    rest = _hexes(tuple(others)) + (f"_{_hexes(_without_grease(signatures))}" if signatures else "")
    return (
        f"{transport}{shown}{named}{counts}{_ends(alpn)}"
        f"_{_hash(_hexes(tuple(sorted(ciphers)))) if ciphers else NOTHING}_{_hash(rest) if extensions else NOTHING}"
    )


def _without_grease(values: tuple[int, ...]) -> tuple[int, ...]:
    """RFC 8701: both bytes alike, their low halves 0xA."""
    return tuple(v for v in values if v & 0x0F0F != 0x0A0A or v >> 8 != v & 0xFF)


def _hexes(values: tuple[int, ...]) -> str:
    return ",".join(f"{value:04x}" for value in values)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _ends(alpn: tuple[bytes, ...]) -> str:
    """The first and last character of the first protocol; of its hexadecimal digits where these are no letters or
    digits of ASCII."""
    if not alpn or not alpn[0]:
        return "00"
    first, last = chr(alpn[0][0]), chr(alpn[0][-1])
    if all(c.isascii() and c.isalnum() for c in (first, last)):
        return first + last
    digits = alpn[0].hex()
    return digits[0] + digits[-1]
