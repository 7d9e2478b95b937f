"""Longest-prefix match over IPv4 and IPv6: `PrefixMap` gives a number, `PrefixSet` says yes or no.

A multibit trie: 16 bits at the root, then 8 bits a level, so that IPv4 needs at most three reads; leaves are pushed
down (Srinivasan and Varghese, "Fast address lookups using controlled prefix expansion", TOCS 1999).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from burstline.errors import BurstlineError, UsageError
from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.state.base import State
from burstline.state.region import Block, Region

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
CHILD = 1 << 31  # this entry leads to a node; otherwise it is a value + 1, and 0 means no match
ROOT, NODE = 1 << 16, 1 << 8
MAX_VALUE = CHILD - 2


class PrefixHead(Struct):
    v4: i64  # address of the IPv4 trie: u32 entries, the root first, then nodes of 256
    v6: i64


class Trie:
    """One family's trie as a growing array of u32."""

    def __init__(self, bits: int) -> None:
        from array import array

        self.bits = bits
        self.table = array("I", bytes(4 * ROOT))

    def insert(self, prefix: int, length: int, value: int) -> None:
        """Prefixes must come in order of rising length: a longer one overwrites its part of a shorter one."""
        base, start, width = 0, 0, 16
        while length > start + width:
            at = base + (prefix >> (self.bits - start - width) & ((1 << width) - 1))
            entry = self.table[at]
            if not entry & CHILD:
                child = len(self.table)
                self.table.extend([entry] * NODE)
                entry = self.table[at] = CHILD | (child - ROOT) // NODE
            base = ROOT + (entry & ~CHILD) * NODE
            start, width = start + width, 8
        first = base + (prefix >> (self.bits - start - width) & ((1 << width) - 1))
        count = 1 << (start + width - length)
        for at in range(first, first + count):
            self.table[at] = value + 1


class PrefixMap(State):
    """`routes = PrefixMap({"10.0.0.0/8": 1})`; in a stage `routes.get(pkt.ipv4.dst, -1)` and `address in routes`.

    Values are 0 to 2,147,483,646. The longest prefix that holds the address wins.
    """

    def __init__(self, routes: Mapping[str, int] | Iterable[tuple[str, int]] = ()) -> None:
        self._routes: dict[Network, int] = {}
        self._keep: list[tuple[Block, Region, Region]] = []
        for prefix, value in routes.items() if isinstance(routes, Mapping) else routes:
            self.add(prefix, value)

    def add(self, prefix: str, value: int) -> None:
        """Add or replace a prefix; it counts from the next run on."""
        if not 0 <= value <= MAX_VALUE:
            raise UsageError(f"{prefix}: value {value} is out of range", f"use 0 to {MAX_VALUE:,}")
        try:
            self._routes[ip_network(prefix)] = value
        except ValueError as error:
            raise UsageError(f"not a prefix: {error}", 'write it like "10.0.0.0/8" or "2001:db8::/32"') from None

    def get(self, address: Address, default: int) -> int:
        """The value of the longest prefix that holds `address`."""
        for length in range(address.max_prefixlen, -1, -1):
            kind: Any = IPv4Network if address.version == 4 else IPv6Network
            found = self._routes.get(kind((int(address) >> (s := address.max_prefixlen - length) << s, length)))
            if found is not None:
                return found
        return default

    def __contains__(self, address: Address) -> bool:
        return self.get(address, -1) >= 0

    def __len__(self) -> int:
        return len(self._routes)

    def signature(self) -> tuple[Any, ...]:
        return ()

    def attach(self) -> int:
        tries = {4: Trie(32), 6: Trie(128)}
        for network, value in sorted(self._routes.items(), key=lambda item: item[0].prefixlen):
            tries[network.version].insert(int(network.network_address), network.prefixlen, value)
        regions = []
        for trie in tries.values():
            region = Region(4 * len(trie.table))
            region.numpy("u4", len(trie.table))[:] = trie.table
            regions.append(region)
        head = Block(PrefixHead.layout)
        head.set(v4=regions[0].address, v6=regions[1].address)
        self._keep.append((head, regions[0], regions[1]))
        return head.address

    def addresses(self) -> list[int]:
        return [head.address for head, *_ in self._keep]

    def reset(self) -> None:
        self._keep = []


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
