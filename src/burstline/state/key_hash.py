"""The hash of what sets, maps and sketches are asked by: the same number in Python and in compiled code.

The finaliser of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): no two
words have the same hash, and each bit of it depends on all bits of the word.
"""

from __future__ import annotations

import operator
from ipaddress import IPv4Address, IPv6Address

from burstline.packet.flow_key import WORD, flow_hash
from burstline.packet.packet import Packet, key_of

STEP, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
Key = int | IPv4Address | IPv6Address


def hash_word(word: int) -> int:
    """Of 64 bits, 64 bits."""
    mixed = word + STEP & WORD
    mixed = (mixed ^ mixed >> 30) * FIRST & WORD
    mixed = (mixed ^ mixed >> 27) * SECOND & WORD
    return mixed ^ mixed >> 31


def hash_words(low: int, high: int) -> int:
    """Of 128 bits."""
    return hash_word(low ^ hash_word(high))


def hash_key(key: Key | Packet) -> int:
    """Of a number of up to 64 bits, an address, or the flow of a packet. An IPv4 address is its number."""
    if isinstance(key, Packet):
        return hash_word(flow_hash(key_of(key)))
    if isinstance(key, IPv6Address):
        return hash_words(int(key) & WORD, int(key) >> 64)
    return hash_word((int(key) if isinstance(key, IPv4Address) else operator.index(key)) & WORD)


def signed(word: int) -> int:
    """64 bits as a number with a sign, which all numbers of stages are."""
    return ((word & WORD) ^ 1 << 63) - (1 << 63)
