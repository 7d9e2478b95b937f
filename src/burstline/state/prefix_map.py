"""Longest-prefix match over IPv4 and IPv6: `PrefixMap` gives a number, `PrefixSet` says yes or no."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burstline.errors import BurstlineError, UsageError
from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.state.base import State
from burstline.state.region import Block

if TYPE_CHECKING:
    from burstline.state.prefix_table import Built, Routes

Address = IPv4Address | IPv6Address
BITS = {4: 32, 6: 128}
LENGTH_BITS = 8  # of a key: a prefix as a number, then its length
MAX_VALUE = (1 << 31) - 2


class PrefixHead(Struct):
    v4: i64  # address of the PrefixTable of IPv4
    v6: i64


class PrefixMap(State):
    """`routes = PrefixMap({"10.0.0.0/8": 1})`; in a stage `routes.get(pkt.ipv4.dst, -1)` and `address in routes`.

    Values are 0 to 2,147,483,646. The longest prefix that holds the address wins. A million prefixes take a few seconds
    to read and to lay out (`prefix_table.py`).
    """

    def __init__(self, routes: Mapping[str, int] | Iterable[tuple[str, int]] = ()) -> None:
        self._routes: dict[int, dict[int, int]] = {4: {}, 6: {}}
        self._lengths: dict[int, list[int]] = {4: [], 6: []}  # those that there are, the longest first
        self._built: tuple[Built, Built] | None = None  # of the routes as they are
        self._keep: list[tuple[Block, tuple[Built, Built]]] = []
        for prefix, value in routes.items() if isinstance(routes, Mapping) else routes:
            self.add(prefix, value)

    def add(self, prefix: str, value: int) -> None:
        """Add or replace a prefix; it counts from the next run on."""
        if not 0 <= value <= MAX_VALUE:
            raise UsageError(f"{prefix}: value {value} is out of range", f"use 0 to {MAX_VALUE:,}")
        version, number, length = _parsed(prefix)
        self._routes[version][number << LENGTH_BITS | length] = value
        if length not in self._lengths[version]:
            self._lengths[version] = sorted([*self._lengths[version], length], reverse=True)
        self._built = None

    def get(self, address: Address, default: int) -> int:
        """The value of the longest prefix that holds `address`."""
        routes, bits, number = self._routes[address.version], address.max_prefixlen, int(address)
        for length in self._lengths[address.version]:
            rest = bits - length
            found = routes.get(number >> rest << rest << LENGTH_BITS | length)
            if found is not None:
                return found
        return default

    def __contains__(self, address: Address) -> bool:
        return self.get(address, -1) >= 0

    def __len__(self) -> int:
        return sum(map(len, self._routes.values()))

    def signature(self) -> tuple[Any, ...]:
        return ()

    def attach(self) -> int:
        if self._built is None:
            from burstline.state.prefix_table import build

            self._built = build(self._as_numbers(4)), build(self._as_numbers(6))
        head = Block(PrefixHead.layout)
        head.set(v4=self._built[0].head.address, v6=self._built[1].head.address)
        self._keep.append((head, self._built))
        return head.address

    def addresses(self) -> list[int]:
        return [head.address for head, _ in self._keep]

    def reset(self) -> None:
        self._keep = []

    def _as_numbers(self, version: int) -> Routes:
        import numpy as np

        from burstline.state.prefix_table import Routes

        keys, values = self._routes[version].keys(), self._routes[version].values()
        count, up = len(keys), 128 - BITS[version]
        high = np.fromiter((key >> LENGTH_BITS << up >> 64 for key in keys), np.uint64, count)
        low = np.fromiter((key >> LENGTH_BITS << up & 0xFFFFFFFFFFFFFFFF for key in keys), np.uint64, count)
        length = np.fromiter((key & 0xFF for key in keys), np.int64, count)
        return Routes(version, high, low, length, np.fromiter(values, np.uint32, count) + np.uint32(1))


def _parsed(prefix: str) -> tuple[int, int, int]:
    """IP version, prefix as a number, length. What is written in the usual way is read ten times as fast as by
    `ip_network`, which reads the rest, and says what is wrong."""
    try:
        text, slash, length = prefix.partition("/")
        version, family = (6, socket.AF_INET6) if ":" in text else (4, socket.AF_INET)
        number, bits = int.from_bytes(socket.inet_pton(family, text)), BITS[version]
        size = int(length) if slash and length.isdecimal() and length.isascii() else bits if not slash else -1
        if 0 <= size <= bits and not number & ((1 << bits - size) - 1):
            return version, number, size
    except (AttributeError, OSError, ValueError):
        pass
    try:
        network = ip_network(prefix)
    except ValueError as error:
        raise UsageError(f"not a prefix: {error}", 'write it like "10.0.0.0/8" or "2001:db8::/32"') from None
    return network.version, int(network.network_address), network.prefixlen


class PrefixSet(PrefixMap):
    """`blocked = PrefixSet(["10.0.0.0/8", "2001:db8::/32"])`; in a stage `pkt.ipv4.src in blocked`."""

    def __init__(self, prefixes: Iterable[str] = ()) -> None:
        super().__init__((p, 0) for p in prefixes)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PrefixSet:
        """One prefix or address a line; `#` starts a comment. A bad line is an error that names it."""
        found = cls()
        try:
            lines = Path(path).read_text().splitlines()
        except UnicodeDecodeError:
            raise UsageError(f"{path} is no text", "write one prefix a line") from None
        except OSError as error:
            raise BurstlineError(f"cannot read prefixes from {path}: {error.strerror}") from None
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            if text:
                try:
                    found.add(text, 0)
                except UsageError as error:
                    raise UsageError(f"{path}:{number}: {error.message}", error.hint) from None
        return found
