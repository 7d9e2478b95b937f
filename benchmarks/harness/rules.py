"""Rules and packets for them, in the manner of ClassBench (Taylor and Turner, 2007): addresses from few networks, with
prefixes of many lengths; ports that are open, exact or a range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from burstline.state.rule import Rule

# Shares of prefix lengths, and of what ports are.
SOURCE = ((0, 0.2), (8, 0.05), (16, 0.15), (24, 0.3), (32, 0.3))
TARGET = ((0, 0.05), (16, 0.15), (24, 0.4), (32, 0.4))
SERVICES = (20, 21, 22, 23, 25, 53, 80, 110, 123, 143, 161, 389, 443, 445, 993, 1433, 1521, 3128, 3306, 3389, 8080)
NOISE = 0.1  # of packets match a rule by chance at most


@dataclass(frozen=True)
class Rules:
    """Columns, one element a rule: addresses and prefix lengths, ports as ranges, protocol and its mask."""

    src: Any
    src_length: Any
    dst: Any
    dst_length: Any
    sport: Any  # low, high
    dport: Any
    proto: Any
    proto_mask: Any

    def __len__(self) -> int:
        return len(self.src)

    def as_rules(self) -> list[Rule]:
        from ipaddress import IPv4Network

        def network(address: int, length: int) -> IPv4Network | None:
            return IPv4Network((address, length)) if length else None

        def ports(pair: Any) -> tuple[int, int] | None:
            return None if tuple(pair) == (0, 65535) else (int(pair[0]), int(pair[1]))

        return [
            Rule(
                network(int(self.src[k]), int(self.src_length[k])), network(int(self.dst[k]), int(self.dst_length[k])),
                int(self.proto[k]) if self.proto_mask[k] else None, ports(self.sport[k]), ports(self.dport[k]), value=k,
            )
            for k in range(len(self))
        ]  # fmt: skip


def make_rules(count: int, seed: int) -> Rules:
    """Distinct rules; each names an address or a port."""
    chance = np.random.default_rng(seed)
    networks = chance.integers(1 << 24, 224 << 24, max(4, count // 50), dtype=np.int64) & 0xFFFF0000
    wanted = 2 * count + 16

    def prefixes(shares: Any) -> tuple[Any, Any]:
        lengths = chance.choice([length for length, _ in shares], wanted, p=[share for _, share in shares])
        addresses = chance.choice(networks, wanted) | chance.integers(0, 1 << 16, wanted)
        return addresses >> (32 - lengths) << (32 - lengths), lengths

    def ports(open_: float, exact: float) -> Any:
        kind = chance.random(wanted)
        service = chance.choice(SERVICES, wanted)
        low = chance.integers(1024, 60000, wanted)
        some = np.stack((low, low + chance.integers(1, 5000, wanted)), 1)
        high_ports = np.where((kind < open_ + exact + 0.1)[:, None], np.array([[1024, 65535]]), some)
        found = np.where((kind < open_ + exact)[:, None], np.stack((service, service), 1), high_ports)
        return np.where((kind < open_)[:, None], np.array([[0, 65535]]), found)

    (src, src_length), (dst, dst_length) = prefixes(SOURCE), prefixes(TARGET)
    sport, dport = ports(0.9, 0.03), ports(0.2, 0.6)
    proto = chance.choice([6, 17, 0], wanted, p=[0.7, 0.25, 0.05])
    columns = np.column_stack((src, src_length, dst, dst_length, sport, dport, proto))
    named = (src_length + dst_length > 0) & (dport[:, 0] >= 0)
    _, first = np.unique(columns[named], axis=0, return_index=True)
    kept = columns[named][np.sort(first)][:count]
    assert len(kept) == count
    mask = np.where(kept[:, 8] > 0, 255, 0)
    return Rules(*kept[:, :4].T, kept[:, 4:6], kept[:, 6:8], kept[:, 8], mask)


def make_tuples(rules: Rules, count: int, seed: int) -> Any:
    """Packets as rows of 16 bytes: addresses and ports in network byte order, then the word that is compared under a
    mask, whose first byte is the protocol. Most are within a rule that is drawn at random; none is like another."""
    from burstline.state.rule_words import HAS_PORTS, IS_V4

    chance = np.random.default_rng(seed)
    drawn = chance.integers(0, len(rules), count)
    noise = chance.random(count) < NOISE

    def within(address: Any, length: Any) -> Any:
        free = chance.integers(0, 1 << 32, count)
        mask = (0xFFFFFFFF << (32 - length[drawn])) & 0xFFFFFFFF
        return np.where(noise, free, address[drawn] | free & ~mask & 0xFFFFFFFF)

    def port(ports: Any) -> Any:
        low, high = ports[drawn, 0], ports[drawn, 1]
        return low + chance.integers(0, 1 << 32, count) % (high - low + 1)

    proto = np.where(rules.proto[drawn] > 0, rules.proto[drawn], chance.choice([6, 17], count))
    rows = np.zeros((count, 16), "u1")
    rows[:, 0:4] = within(rules.src, rules.src_length).astype(">u4").view("u1").reshape(count, 4)
    rows[:, 4:8] = within(rules.dst, rules.dst_length).astype(">u4").view("u1").reshape(count, 4)
    rows[:, 8:10] = port(rules.sport).astype(">u2").view("u1").reshape(count, 2)
    rows[:, 10:12] = port(rules.dport).astype(">u2").view("u1").reshape(count, 2)
    rows[:, 12:16] = (proto | IS_V4 | HAS_PORTS).astype("<u4").view("u1").reshape(count, 4)
    return rows
