"""TLS ClientHello messages (RFC 8446, 4.1.2; RFC 6066, 3; RFC 7301), read as far as flows tell of them."""

from __future__ import annotations

from dataclasses import dataclass

CLIENT_HELLO = 1
SERVER_NAME, ALPN, SIGNATURES, VERSIONS = 0, 16, 13, 43


class Malformed(ValueError):
    """These bytes are no ClientHello."""


@dataclass(frozen=True)
class ClientHello:
    version: int  # legacy_version, as it is there
    ciphers: tuple[int, ...]
    extensions: tuple[int, ...]
    server_name: str | None
    alpn: tuple[bytes, ...]
    signatures: tuple[int, ...]
    versions: tuple[int, ...]  # of the extension


def handshake(stream: bytes) -> bytes | None:
    """The first handshake message of a TLS stream (RFC 8446, 5.1), put together from its records; None while it is not
    whole. Raises Malformed where the stream begins otherwise."""
    message, at = b"", 0
    while at + 5 <= len(stream):
        if stream[at] != 22 or stream[at + 1] != 3:
            raise Malformed
        size = int.from_bytes(stream[at + 3 : at + 5])
        message += stream[at + 5 : at + 5 + size]
        at += 5 + size
        if message and message[0] != CLIENT_HELLO:
            raise Malformed
        if len(message) >= 4 and len(message) >= (whole := 4 + int.from_bytes(message[1:4])):
            return message[:whole]
        if size == 0:
            raise Malformed
    if stream and stream[0] != 22:
        raise Malformed
    return None


def client_hello(message: bytes, cookie: bool = False) -> ClientHello:
    """A whole handshake message, its header of 4 bytes included; `cookie`: DTLS has one. Raises Malformed."""
    reader = Reader(message)
    if reader.number(1) != CLIENT_HELLO:
        raise Malformed
    body = Reader(reader.vector(3))
    version = body.number(2)
    body.take(32)  # random
    body.vector(1)  # session id
    if cookie:
        body.vector(1)
    ciphers = numbers(body.vector(2))
    body.vector(1)  # compression methods
    found: dict[int, bytes] = {}
    order: list[int] = []
    extensions = Reader(body.vector(2)) if body.left else Reader(b"")
    while extensions.left:
        kind = extensions.number(2)
        content = extensions.vector(2)
        order.append(kind)
        found.setdefault(kind, content)
    return ClientHello(
        version, ciphers, tuple(order), _server_name(found.get(SERVER_NAME)), _protocols(found.get(ALPN)),
        _listed(found.get(SIGNATURES), 2), _listed(found.get(VERSIONS), 1),
    )  # fmt: skip


class Reader:
    """Vectors with their lengths in front (RFC 8446, 3.4)."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise Malformed
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> bytes:
        return self.take(self.number(size))


def numbers(data: bytes) -> tuple[int, ...]:
    if len(data) % 2:
        raise Malformed
    return tuple(int.from_bytes(data[k : k + 2]) for k in range(0, len(data), 2))


def _listed(content: bytes | None, size: int) -> tuple[int, ...]:
    return () if content is None else numbers(Reader(content).vector(size))


def _server_name(content: bytes | None) -> str | None:
    """The host name, of which there is one at most; other bytes than ASCII's are escaped, since names are ASCII."""
    if not content:
        return None
    names = Reader(Reader(content).vector(2))
    while names.left:
        kind, name = names.number(1), names.vector(2)
        if kind == 0:
            return name.decode("ascii", "backslashreplace") or None
    return None


def _protocols(content: bytes | None) -> tuple[bytes, ...]:
    if not content:
        return ()
    listed, found = Reader(Reader(content).vector(2)), []
    while listed.left:
        found.append(listed.vector(1))
    return tuple(found)
