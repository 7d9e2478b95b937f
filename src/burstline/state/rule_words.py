"""Rules as numbers: what compiled code compares, and what tells whether one rule hides another.

A packet is a row of 32-bit words: source and destination (one word each of IPv4, four of IPv6), both ports in the
halves of one word, and one of everything that is compared under a mask. A rule has for each word of an address, and for
each port, the least value and how much more there may be; and for the last word a value and a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from burstline.state.rule import Network, Rule

# The word under a mask: protocol and TCP flags, then the VLAN, then what the packet is.
FLAGS_AT, VLAN_AT = 8, 16
IS_V4, IS_V6, HAS_PORTS, HAS_VLAN = 1 << 28, 1 << 29, 1 << 30, 1 << 31
NONE = 0xFFFFFFFF  # no rule
Words = Any  # an array of unsigned 32-bit numbers


class RuleWords:
    """Rules that a packet of one IP version can match, in order: `low` and `more` have a row for each rule with its
    address words, `ports` of 16 bits; `value`, `mask`, and `number` in the set."""

    def __init__(self, rules: Sequence[Rule], version: int) -> None:
        self.address_words = 1 if version == 4 else 4
        chosen = [(k, r) for k, r in enumerate(rules) if r.version in (None, version)]
        self.number = np.array([k for k, _ in chosen], "u4")
        bounds = [_bounds(r.src, version) + _bounds(r.dst, version) for _, r in chosen]
        spans = np.array(bounds, "u4").reshape(len(chosen), 2 * self.address_words, 2)
        self.low, self.more = spans[:, :, 0].copy(), spans[:, :, 1] - spans[:, :, 0]
        ports = np.array([(r.sport or (0, 65535), r.dport or (0, 65535)) for _, r in chosen], "u2").reshape(-1, 2, 2)
        self.port_low, self.port_more = ports[:, :, 0].copy(), ports[:, :, 1] - ports[:, :, 0]
        masked = np.array([_masked(r, version) for _, r in chosen], "u4").reshape(-1, 2)
        self.value, self.mask = masked[:, 0].copy(), masked[:, 1].copy()

    def __len__(self) -> int:
        return len(self.number)

    def rows(self, order: Any = slice(None)) -> Words:
        """For compiled code, of rules in an order: the words of each, then the mask of each, and at the end its number.
        Both ports are one word, the source port in its lower half: the least one, and in place of a mask how many more
        there may be. An address is the prefix, since nothing else can be open of it than its last bits."""
        least = np.concatenate((self.low, self._both(self.port_low), self.value[:, None]), 1)
        more = np.concatenate((~self.more, self._both(self.port_more), self.mask[:, None]), 1)
        return np.concatenate((least, more, self.number[:, None]), 1)[order].astype("u4")

    @staticmethod
    def _both(ports: Any) -> Any:
        wide = ports.astype("u4")
        return (wide[:, 0] | wide[:, 1] << 16)[:, None]

    def hidden(self) -> dict[int, int]:
        """Rules that can never be the first match here, since an earlier one matches all that they do, with that one.
        What only several earlier ones hide together is not found."""
        found = {}
        high, port_high = self.low + self.more, self.port_low + self.port_more
        for k in range(1, len(self)):
            covers = (self.mask[:k] & ~self.mask[k] | (self.value[:k] ^ self.value[k]) & self.mask[:k]) == 0
            for low, top in ((self.low, high), (self.port_low, port_high)):
                for column in range(low.shape[1]):
                    covers &= (low[:k, column] <= low[k, column]) & (top[:k, column] >= top[k, column])
            if covers.any():
                found[int(self.number[k])] = int(self.number[int(covers.argmax())])
        return found


def first_hidden(tables: Sequence[RuleWords]) -> tuple[int, int] | None:
    """The first rule that is hidden wherever it could match, and the one that hides it."""
    hidden = [table.hidden() for table in tables]
    for number in sorted({n for found in hidden for n in found}):
        places = [k for k, table in enumerate(tables) if number in table.number]
        if all(number in hidden[k] for k in places):
            return number, hidden[places[0]][number]
    return None


def _bounds(network: Network | None, version: int) -> list[tuple[int, int]]:
    """The least and the greatest number of each word of an address."""
    words = 1 if version == 4 else 4
    first = int(network.network_address) if network else 0
    last = int(network.broadcast_address) if network else (1 << 32 * words) - 1
    shifts = range(32 * (words - 1), -1, -32)
    return [(first >> s & 0xFFFFFFFF, last >> s & 0xFFFFFFFF) for s in shifts]


def _masked(rule: Rule, version: int) -> tuple[int, int]:
    value = mask = 0
    if rule.proto is not None or rule.flags:
        value, mask = (rule.proto if rule.proto is not None else 6), 0xFF
        ip = IS_V4 if version == 4 else IS_V6
        if rule.version is None:  # over either version: what packets of this one have
            value, mask = value | ip, mask | ip
    if rule.flags:
        value, mask = value | rule.flags[0] << FLAGS_AT, mask | rule.flags[1] << FLAGS_AT
    if rule.flags or rule.sport or rule.dport:
        value, mask = value | HAS_PORTS, mask | HAS_PORTS
    if rule.vlan is not None:
        value, mask = value | rule.vlan << VLAN_AT | HAS_VLAN, mask | 0xFFF << VLAN_AT | HAS_VLAN
    if rule.version:
        bit = IS_V4 if rule.version == 4 else IS_V6
        value, mask = value | bit, mask | bit
    return value, mask
