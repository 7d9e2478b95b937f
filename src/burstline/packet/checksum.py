"""The Internet checksum (RFC 1071) of IPv4, TCP, UDP, ICMP and ICMPv6: one source, compiled and interpreted.

What cannot be right is left alone: fragments, packets that the capture cut, lengths that do not fit.
"""

from __future__ import annotations

from burstline.native.words import Words, WritableWords, be8, be16, put16
from burstline.packet.extension import find_extension
from burstline.packet.fields import FRAGMENT
from burstline.packet.parser import ICMP, ICMPV6, IPV4, ROUTING, TCP, UDP


def sum16(data: Words, at: int, end: int) -> int:
    """Big-endian 16-bit words of `data[at:end]`, added up; an odd last byte is the high half of its word."""
    total = 0
    words = (end - at) >> 1
    for k in range(words):
        total += be16(data, at + 2 * k)
    if (end - at) & 1:
        total += be8(data, end - 1) << 8
    return total


def folded(total: int) -> int:
    """One's complement of the one's complement sum (RFC 1071 section 1)."""
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def fix_ipv4(data: WritableWords, captured: int, present: int, l3: int) -> None:
    """RFC 791 section 3.1: over the header, options included."""
    if not present & IPV4:
        return
    size = (be8(data, l3) & 15) * 4
    if size < 20 or l3 + size > captured:
        return
    put16(data, l3 + 10, 0)
    put16(data, l3 + 10, folded(sum16(data, l3, l3 + size)))


def segment_end(data: Words, captured: int, present: int, l3: int) -> int:
    """Where the IP payload ends by its length field, or -1 when those bytes are not all here or none are declared."""
    if present & IPV4:
        length = be16(data, l3 + 2)
    else:
        length = be16(data, l3 + 4)
        length = length + 40 if length else 0
    return -1 if length == 0 or l3 + length > captured else l3 + length


def fix_l4(data: WritableWords, captured: int, present: int, l3: int, l4: int) -> None:
    """TCP (RFC 9293), UDP (RFC 768; over IPv6 RFC 8200 section 8.1), ICMP (RFC 792), ICMPv6 (RFC 4443 section 2.3)."""
    if not present & (TCP | UDP | ICMP | ICMPV6) or present & FRAGMENT:
        return
    end = segment_end(data, captured, present, l3)
    if end < l4 + (20 if present & TCP else 8):
        return
    if present & ROUTING and be8(data, find_extension(data, l3, end, 43) + 3) > 0:
        return  # RFC 8200 section 8.1: the pseudo-header has the final destination, which is in that header
    at = l4 + 16 if present & TCP else l4 + 6 if present & UDP else l4 + 2
    proto = 6 if present & TCP else 17 if present & UDP else 58
    if present & UDP:
        length = be16(data, l4 + 4)
        if length < 8 or l4 + length > end:
            return
        if present & IPV4 and be16(data, at) == 0:
            return  # RFC 768: the sender made none
        end = l4 + length
    total = 0
    if not present & ICMP:
        addresses = sum16(data, l3 + 12, l3 + 20) if present & IPV4 else sum16(data, l3 + 8, l3 + 40)
        total = addresses + proto + ((end - l4) >> 16) + ((end - l4) & 0xFFFF)
    put16(data, at, 0)
    checksum = folded(total + sum16(data, l4, end))
    put16(data, at, 0xFFFF if checksum == 0 and present & UDP else checksum)
