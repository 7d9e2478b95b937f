"""What payloads say of flows: ClientHello messages and names of DNS, in one segment or many, in any order."""

from __future__ import annotations

import random
import struct
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burstline.flows import client_hello, dns_message, quic
from burstline.flows.client_hello import ClientHello, Handshake
from burstline.flows.fields import Malformed
from burstline.flows.ja4 import ja4
from burstline.flows.readers import Readers
from burstline.flows.records import DNS, PIECE, STREAM, Piece

CIPHERS = "002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9"
EXTENSIONS = "0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01"
SIGNATURES = "0403,0804,0401,0503,0805,0501,0806,0601"


def codes(text: str) -> tuple[int, ...]:
    return tuple(int(code, 16) for code in text.split(","))


CHROME = ClientHello(
    0x0303, codes(CIPHERS), codes(EXTENSIONS + ",0000,0010"), "example.org", (b"h2", b"http/1.1"), codes(SIGNATURES),
    (0x0A0A, 0x0304, 0x0303),
)  # fmt: skip


def test_ja4_is_that_of_the_specification_s_example() -> None:
    """FoxIO's JA4.md: Chrome, with the lists that the example is of."""
    assert ja4(CHROME) == "t13d1516h2_8daaf6152771_e5627efa2ab1"


def test_ja4_knows_neither_order_nor_grease() -> None:
    shuffled = ClientHello(
        CHROME.version, (0x0A0A, *reversed(CHROME.ciphers)), (*reversed(CHROME.extensions), 0xFAFA), None,
        CHROME.alpn, CHROME.signatures, (*CHROME.versions, 0x1A1A),
    )  # fmt: skip
    assert ja4(shuffled) == ja4(CHROME)
    assert ja4(CHROME, "q") == "q" + ja4(CHROME)[1:]


@pytest.mark.parametrize(
    ("alpn", "shown"),
    [((), "00"), ((b"",), "00"), ((b"h2",), "h2"), ((b"http/1.1",), "h1"), ((b"h",), "hh"), ((b"\xab",), "ab"),
     ((b"\xab\xcd",), "ad"), ((b"0\xab",), "3b"), ((b"h-",), "6d")],
)  # fmt: skip
def test_ja4_has_the_ends_of_the_first_protocol(alpn: tuple[bytes, ...], shown: str) -> None:
    assert ja4(ClientHello(0x0303, (), (), None, alpn, (), ())) == f"t12i0000{shown}_000000000000_000000000000"


def hello_message(hello: ClientHello) -> bytes:
    """As a handshake message."""

    def vector(size: int, content: bytes) -> bytes:
        return len(content).to_bytes(size) + content

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"".join(value.to_bytes(2) for value in values)

    assert hello.server_name is not None
    contents = {
        0: vector(2, b"\0" + vector(2, hello.server_name.encode())), 13: vector(2, numbers(hello.signatures)),
        16: vector(2, b"".join(vector(1, p) for p in hello.alpn)), 43: vector(1, numbers(hello.versions)),
    }  # fmt: skip
    extensions = b"".join(kind.to_bytes(2) + vector(2, contents.get(kind, b"\0")) for kind in hello.extensions)
    body = hello.version.to_bytes(2) + bytes(32) + vector(1, bytes(32)) + vector(2, numbers(hello.ciphers))
    return b"\x01" + vector(3, body + vector(1, b"\0") + vector(2, extensions))


def tls_stream(message: bytes, record: int) -> bytes:
    """In records of so many bytes."""
    parts = [message[at : at + record] for at in range(0, len(message), record)]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2) + part for part in parts)


def test_a_client_hello_is_read_as_it_was_written() -> None:
    message = hello_message(CHROME)
    assert client_hello.client_hello(message) == CHROME
    for record in (1, 100, 5000):
        stream = tls_stream(message, record)
        assert Handshake().read(stream) == message
        assert Handshake().read(stream[:-1]) is None
        records = Handshake()
        assert [end for end in range(len(stream) + 1) if records.read(stream[:end]) is not None] == [len(stream)]


@given(st.binary(max_size=80))
@settings(max_examples=100)
def test_whatever_comes_is_a_message_or_malformed(data: bytes) -> None:
    message = hello_message(CHROME)
    for read in (
        lambda: Handshake().read(data), lambda: client_hello.client_hello(b"\x01" + data),
        lambda: client_hello.client_hello(message[:60] + data + message[60 + len(data) :]),
    ):  # fmt: skip
        with suppress(Malformed):
            read()
    for prefix in (b"", struct.pack(">HHHHHH", 1, 256, 1, 0, 0, 0)):
        with suppress(Malformed):
            dns_message.dns_message(prefix + data)


def pieces(*parts: tuple[int, int, bytes]) -> Any:
    """Of kind, offset, and bytes; of one flow."""
    import numpy as np

    rows = np.zeros(len(parts), Piece.layout.numpy(Piece.layout.size))
    for row, (kind, offset, data) in zip(rows, parts, strict=True):
        row["first"], row["key"], row["kind"], row["place"] = 5, 6, kind, offset
        row["size"], row["data"] = len(data), data
    return rows


@pytest.mark.parametrize("seed", range(20))
def test_segments_in_any_order_overlapping_and_repeated_give_the_same_names(seed: int) -> None:
    chance = random.Random(seed)
    message = hello_message(CHROME)
    stream = tls_stream(message, chance.choice((50, 300, 16384)))
    cuts = sorted({0, len(stream), *(chance.randrange(len(stream)) for _ in range(chance.randrange(8)))})
    parts = [(STREAM, a, stream[a : min(b + chance.randrange(20), a + PIECE)]) for a, b in pairwise(cuts)]
    parts += chance.sample(parts, len(parts) // 2)
    chance.shuffle(parts)
    readers = Readers()
    for part in parts:
        readers.add(pieces(part))
    facts = readers.take((5, 6))
    assert (facts.sni, facts.alpn, facts.ja4) == ("example.org", "h2,http/1.1", ja4(CHROME))
    assert readers.take((5, 6)).sni is None


def test_flows_that_nobody_asks_for_are_forgotten_the_oldest_first() -> None:
    readers, one = Readers(most=3), pieces((STREAM, 0, tls_stream(hello_message(CHROME), 16_384)))
    for first in range(5):
        one["first"] = first
        readers.add(one)
    assert [readers.take((first, 6)).sni for first in range(5)] == [None, None, *["example.org"] * 3]


def dns(name: bytes, flags: int = 0x0100) -> bytes:
    return struct.pack(">HHHHHH", 7, flags, 1, 0, 0, 0) + name + struct.pack(">HH", 28, 1)


def test_questions_over_tcp_are_put_together() -> None:
    question = dns(b"\x03www\x07example\x03org\0")
    stream = len(question).to_bytes(2) + question
    readers = Readers()
    readers.add(pieces((STREAM, 1, stream[1:9]), (STREAM, 0, stream[:1]), (STREAM, 9, stream[9:])))
    readers.add(pieces((DNS, 0, dns(b"\x03www\x07example\x03org\0", 0x8183))))
    facts = readers.take((5, 6))
    assert (facts.dns_name, facts.dns_type, facts.dns_code) == ("www.example.org", 28, 3)


def test_a_message_of_dns_may_be_as_long_as_a_handshake_begins() -> None:
    question = dns(b"\x03www\x07example\x03org\0").ljust(0x1603 + 0x100, b"\0")
    for length in (0x1602, 0x1701):
        readers = Readers()
        readers.add(pieces((STREAM, 0, length.to_bytes(2) + question[:length])))
        assert readers.take((5, 6)).dns_name == "www.example.org"


@pytest.mark.parametrize(
    ("name", "text"),
    [(b"\0", "."), (b"\x03a.b\0", "a\\.b"), (b"\x02\x00\xff\0", "\\000\\255"), (b"\x02\xc3\xa9\0", "é"),
     (b"\x01a\xc0\x12\xff\xff\x01b\0", "a.b")],
)  # fmt: skip
def test_names_are_text(name: bytes, text: str) -> None:
    assert dns_message.dns_message(dns(name)).name == text


LABEL = b"\x3f" + b"a" * 63
# Three labels and a pointer to the first of them: each jump adds as much as there is.
LONG = LABEL * 3 + b"\xc0\x0c"


@pytest.mark.parametrize("name", [b"\xc0\x0c", b"\x40a\0", b"\x05abc", LABEL * 4 + b"\0", LONG])
def test_names_that_go_in_circles_or_too_far_are_malformed(name: bytes) -> None:
    with pytest.raises(Malformed):
        dns_message.dns_message(dns(name)[: 12 + len(name)])


def test_the_longest_name_is_read() -> None:
    """RFC 1035, 2.3.4: 255 bytes with the lengths of labels, that of the root included."""
    longest = LABEL * 3 + b"\x3d" + b"a" * 61
    assert len(dns_message.dns_message(dns(longest + b"\0")).name or "") == 253


def test_names_that_would_steer_a_terminal_are_escaped() -> None:
    hello = ClientHello(0x0303, (1,), (0, 16), "a\x1b[2Jb\n.org", (b"\x0a\x0a", b"h2"), (), ())
    readers = Readers()
    readers.add(pieces((STREAM, 0, tls_stream(hello_message(hello), 16_384))))
    facts = readers.take((5, 6))
    assert (facts.sni, facts.alpn) == ("a\\x1b[2Jb\\x0a.org", "\\x0a\\x0a,h2")


def test_keys_of_quic_are_worked_out_for_so_many_packets_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of versions that are there to be refused, each packet might have those of any draft."""
    made = []
    real, reader = quic.Keys, quic.QuicReader()
    monkeypatch.setattr(quic, "Keys", lambda *what: made.append(what) or real(*what))
    packet = b"\xc0\x0a\x0a\x0a\x0a\x00\x00\x00\x18" + bytes(24)
    for _ in range(3):
        assert reader.add(0, packet * 36) is None
    assert len(made) == quic.MOST_KEYS


def test_the_example_of_rfc_9001_is_opened() -> None:
    """Appendix A.2: a client's Initial; of its payload here the beginning, sealed by the keys of A.1."""
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key, iv = bytes.fromhex("1f369613dd76d5467730efcbe3b1a22d"), bytes.fromhex("fa044b2f42a3fd3b46fb255c")
    mask_key = bytes.fromhex("9f50449e04a0e810283a1e9933adedd2")
    message = hello_message(CHROME)
    half = len(message) // 2
    reader = quic.QuicReader()
    for number, (offset, part) in enumerate(((half, message[half:]), (0, message[:half]))):
        frame = b"\x00\x01\x06" + (0x4000 | offset).to_bytes(2) + (0x4000 | len(part)).to_bytes(2) + part
        payload = frame.ljust(1162, b"\0")
        length = (0x4000 | len(payload) + 16 + 4).to_bytes(2)
        header = b"\xc3\0\0\0\x01\x08" + bytes.fromhex("8394c8f03e515708") + b"\0\0" + length + number.to_bytes(4)
        nonce = (int.from_bytes(iv) ^ number).to_bytes(12)
        sealed = AESGCM(key).encrypt(nonce, payload, header)
        mask = Cipher(algorithms.AES(mask_key), modes.ECB()).encryptor().update(sealed[:16])
        packet = bytearray(header + sealed)
        packet[0] ^= mask[0] & 0x0F
        for k in range(4):
            packet[len(header) - 4 + k] ^= mask[1 + k]
        found = [reader.add(at, bytes(packet[at : at + PIECE])) for at in range(0, len(packet), PIECE)]
    assert found[-1] == message
    assert found[0] is None
