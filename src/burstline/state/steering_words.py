"""What steering rules look at, as words of 32 bits; conditions on them, and what a rule decides, in one word of 64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from burstline.packet.fields import PRESENT
from burstline.packet.tunnel import tunnel_id

# The words of a packet.
KIND, PORTS, TAG, DST_MAC, SRC_MAC, MACS, TUNNEL = range(7)
SRC, DST = 7, 11  # four words of each address; of IPv4 the first
WORDS = 15
# Of KIND: protocol in the lowest byte, TCP flags in the next one, then bits. TAG is the VLAN, MACS the first 16 bits of
# both addresses, the destination's in the upper half, TUNNEL the tunnel's id; PORTS the source's in the lower half.
FLAGS_AT = 8
IS_ETH, IS_V4, IS_V6, HAS_PORTS, IS_TCP, HAS_VLAN, VXLAN, GENEVE, GTPU, GRE, HAS_ID = (1 << 16 + k for k in range(11))
BITS = (
    ("eth", IS_ETH), ("vlan", HAS_VLAN), ("ipv4", IS_V4), ("ipv6", IS_V6), ("tcp", IS_TCP | HAS_PORTS),
    ("udp", HAS_PORTS), ("sctp", HAS_PORTS), ("vxlan", VXLAN | HAS_ID), ("geneve", GENEVE | HAS_ID),
    ("gtpu", GTPU | HAS_ID), ("gre", GRE),
)  # fmt: skip
PRESENT_BITS = tuple((PRESENT[name], bits) for name, bits in BITS)
GRE_KEY, GRE_BEFORE_KEY = 0x2000, 0xC000  # flags of GRE: it has a key; checksum or routing lie before it (RFC 1701)
# Of a decision: the queue or the group's place in the lowest 16 bits, then these, the mark from bit 24 on, the counter
# from bit 48 on.
QUEUE, DROP, GROUP, DECIDED = 1 << 16, 1 << 17, 1 << 18, 1 << 19
MARK_AT, MARK_BITS, COUNTER_AT = 24, 24, 48


@dataclass(frozen=True)
class Condition:
    """`word & mask` is `least` or up to `more` above it."""

    word: int
    mask: int
    least: int
    more: int

    def holds(self, words: Sequence[int]) -> bool:
        return (words[self.word] & self.mask) - self.least & 0xFFFFFFFF <= self.more


@dataclass(frozen=True)
class Decision:
    """What a rule does: at most one of a queue, a group by its place, and drop; none leaves the queue to RSS."""

    queue: int | None = None
    group: int | None = None
    drop: bool = False
    mark: int = 0
    counter: int = 0

    @property
    def word(self) -> int:
        place = self.queue if self.queue is not None else self.group or 0
        kind = QUEUE if self.queue is not None else GROUP if self.group is not None else DROP if self.drop else 0
        return place | kind | DECIDED | self.mark << MARK_AT | self.counter << COUNTER_AT

    @classmethod
    def of(cls, word: int) -> Decision:
        place, mark = word & 0xFFFF, word >> MARK_AT & (1 << MARK_BITS) - 1
        return cls(
            place if word & QUEUE else None,
            place if word & GROUP else None,
            bool(word & DROP),
            mark,
            word >> COUNTER_AT,
        )

    def queue_of(self, hashed: int, rss: int, groups: Sequence[Sequence[int]]) -> int:
        """Of a packet with this hash, which RSS would put into queue `rss`; -1 where it is dropped."""
        if self.drop:
            return -1
        if self.group is None:
            return rss if self.queue is None else self.queue
        place = 0
        for group in groups:
            if place == self.group:
                return group[hashed * len(group) >> 32]
            place += 1 + len(group)
        raise ValueError(f"there is no group at {self.group}")


def used_words(conditions: Sequence[Condition]) -> int:
    """Which words are looked at, as a bit set."""
    used = 0
    for condition in conditions:
        used |= 1 << condition.word
    return used


def words_of(pkt: Any) -> list[int]:
    """The words of a packet, in plain Python."""
    words = [0] * WORDS
    for name, bits in BITS:
        words[KIND] |= bits if getattr(pkt, name) else 0
    header, with_ports = pkt.ipv4 or pkt.ipv6, pkt.tcp or pkt.udp or pkt.sctp
    words[KIND] |= (pkt.proto & 0xFF if header else 0) | (pkt.tcp.flags << FLAGS_AT if pkt.tcp else 0)
    words[PORTS] = with_ports.sport | with_ports.dport << 16
    words[TAG] = pkt.vlan.id
    words[DST_MAC], words[SRC_MAC] = pkt.eth.dst & 0xFFFFFFFF, pkt.eth.src & 0xFFFFFFFF
    words[MACS] = pkt.eth.src >> 32 | pkt.eth.dst >> 32 << 16
    for at, address in ((SRC, header.src), (DST, header.dst)) if header else ():
        packed = address.packed
        for k in range(0, len(packed), 4):
            words[at + k // 4] = int.from_bytes(packed[k : k + 4], "big")
    for tunnel in ("vxlan", "geneve", "gtpu", "gre"):
        found = tunnel_id(tunnel, pkt)
        if found is not None and found >= 0:
            words[TUNNEL] = found
            words[KIND] |= HAS_ID
    return words
