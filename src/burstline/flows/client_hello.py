"""TLS ClientHello messages (RFC 8446, 4.1.2; RFC 6066, 3; RFC 7301), read as far as flows tell of them."""

from __future__ import annotations

from dataclasses import dataclass

from burstline.flows.fields import Fields, Malformed

HANDSHAKE, CLIENT_HELLO = 22, 1
SERVER_NAME, ALPN, SIGNATURES, VERSIONS = 0, 16, 13, 43


@dataclass(frozen=True)
class ClientHello:
    version: int  # legacy_version, as it is there
    ciphers: tuple[int, ...]
    extensions: tuple[int, ...]
    server_name: str | None
    alpn: tuple[bytes, ...]
    signatures: tuple[int, ...]
    versions: tuple[int, ...]  # of the extension


class Handshake:
    """The first handshake message of a TLS stream (RFC 8446, 5.1), put together from its records, which may be of a
    byte each: every one is read once."""

    def __init__(self) -> None:
        self._message = bytearray()  # of whole records
        self._at = 0  # where the next record begins

    def read(self, stream: bytes | bytearray) -> bytes | None:
        """Of a stream of which more is there each time; None while the message is not whole. Raises Malformed where the
        stream begins otherwise."""
        if stream and stream[0] != HANDSHAKE:
            raise Malformed
        while self._at + 5 <= len(stream):
            if stream[self._at] != HANDSHAKE or stream[self._at + 1] != 3:
                raise Malformed
            begin = self._at + 5
            size = int.from_bytes(stream[self._at + 3 : begin])
            there = min(size, len(stream) - begin)
            head = (self._message[:4] + stream[begin : begin + 4])[: min(4, len(self._message) + there)]
            if size == 0 or (head and head[0] != CLIENT_HELLO):
                raise Malformed
            whole = 4 + int.from_bytes(head[1:4])
            if len(head) == 4 and len(self._message) + there >= whole:
                return bytes(self._message + stream[begin : begin + there])[:whole]
            if there < size:
                return None
            self._message += stream[begin : begin + size]
            self._at = begin + size
        return None


def client_hello(message: bytes, cookie: bool = False) -> ClientHello:
    """A whole handshake message, its header of 4 bytes included; `cookie`: DTLS has one. Raises Malformed."""
    reader = Fields(message)
    if reader.number(1) != CLIENT_HELLO:
        raise Malformed
    body = Fields(reader.vector(3))
    version = body.number(2)
    body.take(32)  # random
    body.vector(1)  # session id
    if cookie:
        body.vector(1)
    ciphers = numbers(body.vector(2))
    body.vector(1)  # compression methods
    found: dict[int, bytes] = {}
    order: list[int] = []
    extensions = Fields(body.vector(2)) if body.left else Fields(b"")
    while extensions.left:
        kind = extensions.number(2)
        content = extensions.vector(2)
        order.append(kind)
        found.setdefault(kind, content)
    return ClientHello(
        version, ciphers, tuple(order), _server_name(found.get(SERVER_NAME)), _protocols(found.get(ALPN)),
        _listed(found.get(SIGNATURES), 2), _listed(found.get(VERSIONS), 1),
    )  # fmt: skip


def numbers(data: bytes) -> tuple[int, ...]:
    if len(data) % 2:
        raise Malformed
    return tuple(int.from_bytes(data[k : k + 2]) for k in range(0, len(data), 2))


def _listed(content: bytes | None, size: int) -> tuple[int, ...]:
    return () if content is None else numbers(Fields(content).vector(size))


def _server_name(content: bytes | None) -> str | None:
    """The host name, of which there is one at most."""
    if not content:
        return None
    names = Fields(Fields(content).vector(2))
    while names.left:
        kind, name = names.number(1), names.vector(2)
        if kind == 0:
            return text(name) or None
    return None


def text(name: bytes) -> str:
    """Names are of printable ASCII; other bytes are escaped, as they might steer a terminal or end a line."""
    return "".join(chr(byte) if 0x20 <= byte <= 0x7E else f"\\x{byte:02x}" for byte in name)


def _protocols(content: bytes | None) -> tuple[bytes, ...]:
    if not content:
        return ()
    listed, found = Fields(Fields(content).vector(2)), []
    while listed.left:
        found.append(listed.vector(1))
    return tuple(found)
