"""The ClientHello in QUIC's first packets (RFC 9000, 17.2.2 and 19.6), whose keys anybody can work out (RFC 9001, 5.2;
RFC 9369 for version 2). Needs the package `cryptography` (the `quic` extra); without it nothing is read."""

from __future__ import annotations

import hashlib
import hmac
from contextlib import suppress
from functools import cached_property
from typing import Any

from burstline.flows.fields import Fields, Malformed
from burstline.flows.streams import Stream

_V1, _DRAFT_29 = "38762cf7f55934b34d179ae6a4c80cadccbb7f0a", "afbfec289993d24c9e9786f19c6111e04390a899"
_DRAFT_23, _DRAFT_22 = "c3eef712c72ebb5a11a7d2432bb46365bef9f502", "7fbcdb0e7c66bbe92a96cd21519ebd7a02644190"
VERSION_2, _V2 = 0x6B3343CF, "0dede3def700a6db819381be6e269dcbf9bd2ed9"
# Of versions that are in use or were, drafts of the IETF's.
SALTS = {
    0x00000001: _V1,
    VERSION_2: _V2,
    **{0xFF000000 + draft: _DRAFT_29 for draft in (29, 30, 31, 32)},
    **{0xFF000000 + draft: _V1 for draft in (33, 34)},
    **{0xFF000000 + draft: _DRAFT_23 for draft in (23, 24, 25, 26, 27, 28)},
    **{0xFF000000 + draft: _DRAFT_22 for draft in (21, 22)},
}
FORCED = 0x0A0A0A0A  # with 0x0F0F0F0F: versions that are there to be refused (RFC 9000, 15); keys are of any
MOST_KEYS = 32  # of one flow; the server's packets, which open with none of the client's, are tried, too
PADDING, PING, ACK, ACK_ECN, CRYPTO, CLOSE = 0, 1, 2, 3, 6, 0x1C


class QuicReader:
    """Takes datagrams in pieces, and gives the ClientHello when all of it is there."""

    def __init__(self) -> None:
        self._datagram = b""
        self._read = 0  # of it
        self._stream = Stream()
        self._keys: list[Keys] = []
        self._tried = 0  # keys that were worked out

    def add(self, offset: int, piece: bytes) -> bytes | None:
        """A piece of a datagram; 0 begins the next one."""
        if offset == 0:
            self._datagram, self._read = b"", 0
        self._datagram += piece
        with suppress(ValueError):  # also of `cryptography`
            while self._read < len(self._datagram):
                self._read += self._packet(self._datagram[self._read :])
        message = self._stream.beginning
        if len(message) >= 4 and message[0] == 1 and len(message) >= (whole := 4 + int.from_bytes(message[1:4])):
            return bytes(message[:whole])
        return None

    def _packet(self, data: bytes) -> int:
        """Read a packet; returns its size. Raises Malformed."""
        fields = Fields(data)
        first, version = fields.number(1), fields.number(4)
        if not first & 0x80:
            raise Malformed
        destination = fields.take(fields.number(1))
        fields.take(fields.number(1))
        is_initial = first >> 4 & 3 == (1 if version == VERSION_2 else 0)
        if is_initial:
            fields.take(fields.varint())  # token
        size = fields.varint()
        whole = fields.at + size
        if whole > len(data):
            raise Malformed
        if is_initial:
            payload = self._opened(data[:whole], fields.at, version, destination)
            if payload is not None:
                self._frames(payload)
        return whole

    def _opened(self, packet: bytes, at: int, version: int, destination: bytes) -> bytes | None:
        """The payload: keys are those of the first packet's destination."""
        for keys in self._keys:
            if (payload := keys.open(packet, at)) is not None:
                return payload
        known = SALTS.get(version)
        forced = version & 0x0F0F0F0F == FORCED
        for salt in [known] if known else dict.fromkeys(SALTS.values()) if forced else ():
            if self._tried == MOST_KEYS:
                break
            self._tried += 1
            keys = Keys(bytes.fromhex(salt), destination, version == VERSION_2)
            if (payload := keys.open(packet, at)) is not None:
                self._keys.append(keys)
                return payload
        return None

    def _frames(self, payload: bytes) -> None:
        fields = Fields(payload)
        while fields.left:
            kind = fields.number(1)
            if kind in (ACK, ACK_ECN):
                _, _, ranges = fields.varint(), fields.varint(), fields.varint()
                for _ in range(1 + 2 * ranges + (3 if kind == ACK_ECN else 0)):
                    fields.varint()
            elif kind == CRYPTO:
                offset, size = fields.varint(), fields.varint()
                self._stream.add(offset, fields.take(size))
            elif kind not in (PADDING, PING):
                return


class Keys:
    """Of a client's Initial packets."""

    def __init__(self, salt: bytes, destination: bytes, is_v2: bool) -> None:
        initial = hmac.digest(salt, destination, "sha256")
        secret, prefix = _expand(initial, b"client in", 32), b"quicv2 " if is_v2 else b"quic "
        self._key, self._iv, self._mask = (
            _expand(secret, prefix + label, size) for label, size in ((b"key", 16), (b"iv", 12), (b"hp", 16))
        )

    @cached_property
    def _ciphers(self) -> tuple[Any, Any] | None:
        try:
            from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError:
            return None
        return AESGCM(self._key), Cipher(algorithms.AES(self._mask), modes.ECB())

    def open(self, packet: bytes, at: int) -> bytes | None:
        """The payload of a packet whose number is at `at`; None where these are not its keys (RFC 9001, 5.3, 5.4)."""
        if self._ciphers is None or at + 20 > len(packet):
            return None
        aead, protection = self._ciphers
        mask = protection.encryptor().update(packet[at + 4 : at + 20])
        first = packet[0] ^ mask[0] & 0x0F
        size = (first & 3) + 1
        number = bytes(a ^ b for a, b in zip(packet[at : at + size], mask[1:], strict=False))
        nonce = int.from_bytes(self._iv) ^ int.from_bytes(number)
        header = bytes((first,)) + packet[1:at] + number
        try:
            opened: bytes = aead.decrypt(nonce.to_bytes(12), packet[at + size :], header)
        except Exception:  # cryptography.exceptions.InvalidTag
            return None
        return opened


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446, 7.1) without a context, of up to 32 bytes."""
    label = b"tls13 " + label
    info = size.to_bytes(2) + bytes((len(label),)) + label + b"\0\x01"
    return hmac.new(secret, info, hashlib.sha256).digest()[:size]
