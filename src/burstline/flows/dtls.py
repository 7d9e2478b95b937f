"""The ClientHello in datagrams of DTLS, whose messages may lie in fragments (RFC 6347, 4.1 and 4.2.3)."""

from __future__ import annotations

from burstline.flows.client_hello import CLIENT_HELLO
from burstline.flows.streams import Stream

RECORD, MESSAGE = 13, 12  # bytes of the headers
MOST_MESSAGES = 4


class DtlsReader:
    """Takes datagrams in pieces, and gives the ClientHello when all of it is there, as a message of TLS. A client may
    send a second one, with a cookie: the first that is whole counts."""

    def __init__(self) -> None:
        self._datagram = b""
        self._read = 0  # of it
        self._messages: dict[int, Stream] = {}  # by message_seq

    def add(self, offset: int, piece: bytes) -> bytes | None:
        """A piece of a datagram; 0 begins the next one."""
        if offset == 0:
            self._datagram, self._read = b"", 0
        self._datagram += piece
        at, data = self._read, self._datagram
        while at + RECORD + MESSAGE <= len(data) and data[at] == 22 and data[at + 1] == 0xFE:
            end = at + RECORD + int.from_bytes(data[at + 11 : at + 13])
            if end > len(data) or data[at + 3 : at + 5] != b"\0\0":  # cut; or of a later epoch, which is encrypted
                break
            if (message := self._fragments(data[at + RECORD : end])) is not None:
                return message
            at = self._read = end
        return None

    def _fragments(self, data: bytes) -> bytes | None:
        at = 0
        while at + MESSAGE <= len(data) and data[at] == CLIENT_HELLO:
            size, number, offset, length = (
                int.from_bytes(data[at + a : at + b]) for a, b in ((1, 4), (4, 6), (6, 9), (9, 12))
            )
            stream = self._messages.get(number) or Stream()
            if len(self._messages) < MOST_MESSAGES:
                self._messages[number] = stream
            stream.add(offset, data[at + MESSAGE : at + MESSAGE + length])
            if len(stream.beginning) >= size:
                return bytes((CLIENT_HELLO,)) + size.to_bytes(3) + stream.beginning[:size]
            at += MESSAGE + length
        return None
