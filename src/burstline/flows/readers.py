"""What payloads say of their flows: pieces of streams are put into their order, and read when they are whole."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from burstline.flows import client_hello, dns_message
from burstline.flows.client_hello import HANDSHAKE, Handshake
from burstline.flows.dtls import DtlsReader
from burstline.flows.fields import Malformed
from burstline.flows.ja4 import ja4
from burstline.flows.quic import QuicReader
from burstline.flows.records import DNS, DTLS, QUIC
from burstline.flows.streams import Stream

Key = tuple[int, int]  # `first` and `key` of a flow


@dataclass
class Facts:
    """What is known of a flow; None where it is not."""

    sni: str | None = None
    alpn: str | None = None
    ja4: str | None = None
    dns_name: str | None = None
    dns_type: int | None = None
    dns_code: int | None = None


@dataclass
class Reading:
    facts: Facts = field(default_factory=Facts)
    pieces: int = 0
    streams: dict[int, tuple[Stream, Handshake] | None] = field(default_factory=dict)  # by direction; None: it was read
    datagrams: QuicReader | DtlsReader | None = None


class Readers:
    """`add` pieces as they come, and `take` what they said of a flow. Of more than `most` flows the oldest go:
    one whose record found no room on its way is never taken."""

    def __init__(self, most: int = 1 << 20) -> None:
        self._flows: OrderedDict[Key, Reading] = OrderedDict()
        self._most = most

    def add(self, pieces: Any) -> None:
        """A batch of `Piece` records."""
        columns = (pieces[name].tolist() for name in ("first", "key", "kind", "back", "place", "size", "data"))
        for first, key, kind, back, place, size, data in zip(*columns, strict=True):
            reading = self._flows.get((first, key))
            if reading is None:
                if len(self._flows) >= self._most:
                    self._flows.popitem(last=False)
                reading = self._flows[first, key] = Reading()
            reading.pieces += 1
            data = data.ljust(size, b"\0")  # NumPy has stripped zeros from the end
            if kind == DNS:
                self._read_dns(reading.facts, data)
            elif kind in (QUIC, DTLS):
                self._read_datagram(reading, kind, place, data)
            else:
                self._read_stream(reading, back, place, data)

    def pieces(self, key: Key) -> int:
        """How many pieces of a flow came."""
        reading = self._flows.get(key)
        return 0 if reading is None else reading.pieces

    def take(self, key: Key) -> Facts:
        """What is known of a flow, which is forgotten."""
        reading = self._flows.pop(key, None)
        return Facts() if reading is None else reading.facts

    def _read_stream(self, reading: Reading, back: int, offset: int, data: bytes) -> None:
        found = reading.streams.setdefault(back, (Stream(), Handshake()))
        if found is None:
            return
        stream, records = found
        stream.add(offset, data)
        whole = stream.beginning
        if not whole:
            return
        try:
            if whole[0] == HANDSHAKE and bytes(whole[1:2]) in (b"", b"\3"):  # else the length of a message of DNS
                message = records.read(whole)
                if message is None:
                    return
                self._tell(reading.facts, client_hello.client_hello(message), "t")
            else:
                if len(whole) < 2 or len(whole) < 2 + int.from_bytes(whole[:2]):
                    return
                self._read_dns(reading.facts, bytes(whole[2 : 2 + int.from_bytes(whole[:2])]))
        except Malformed:
            pass
        reading.streams[back] = None

    def _read_datagram(self, reading: Reading, kind: int, offset: int, data: bytes) -> None:
        if reading.facts.ja4 is not None:
            return
        if reading.datagrams is None:
            reading.datagrams = QuicReader() if kind == QUIC else DtlsReader()
        message = reading.datagrams.add(offset, data)
        if message is not None:
            with suppress(Malformed):
                hello = client_hello.client_hello(message, cookie=kind == DTLS)
                self._tell(reading.facts, hello, "q" if kind == QUIC else "d")
                reading.datagrams = None

    def _tell(self, facts: Facts, hello: client_hello.ClientHello, transport: str) -> None:
        if facts.ja4 is None:
            facts.sni, facts.ja4 = hello.server_name, ja4(hello, transport)
            facts.alpn = ",".join(client_hello.text(p) for p in hello.alpn) or None

    def _read_dns(self, facts: Facts, data: bytes) -> None:
        try:
            message = dns_message.dns_message(data)
        except Malformed:
            return
        if facts.dns_name is None and message.name is not None:
            facts.dns_name, facts.dns_type = message.name, message.type
        if message.is_answer and facts.dns_code is None:
            facts.dns_code = message.code
