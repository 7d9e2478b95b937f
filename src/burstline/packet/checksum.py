"""The Internet checksum (RFC 1071) of IPv4, TCP, UDP, ICMP and ICMPv6: one source, compiled and interpreted.

What cannot be right is left alone: fragments, packets that the capture cut, lengths that do not fit.
"""

from __future__ import annotations

from burstline.native.words import Words, WritableWords, be8, be16, be32, put16
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
    # The TTL was just written: a load of more than that byte would wait until the store is in the cache.
    total = be32(data, l3) + be32(data, l3 + 4) + (be8(data, l3 + 8) << 8) + be8(data, l3 + 9)
    total += be32(data, l3 + 12) + be32(data, l3 + 16)
    if size > 20:
        total += sum16(data, l3 + 20, l3 + size)
    put16(data, l3 + 10, folded(total))


def segment_end(data: Words, captured: int, present: int, l3: int) -> int:
    """Where the IP payload ends by its length field, or -1 when those bytes are not all here or none are declared."""
    if present & IPV4:
        length = be16(data, l3 + 2)
    else:
        length = be16(data, l3 + 4)
        length = length + 40 if length else 0
    return -1 if length == 0 or l3 + length > captured else l3 + length


def l4_end(data: Words, captured: int, present: int, l3: int, l4: int) -> int:
    """Where what the transport's checksum covers ends; -1 where there is no such checksum, or not all bytes of it are
    here."""
    if not present & (TCP | UDP | ICMP | ICMPV6) or present & FRAGMENT:
        return -1
    end = segment_end(data, captured, present, l3)
    if end < l4 + (20 if present & TCP else 8):
        return -1
    if present & ROUTING and be8(data, find_extension(data, l3, end, 43) + 3) > 0:
        return -1  # RFC 8200 section 8.1: the pseudo-header has the final destination, which is in that header
    if present & UDP:
        length = be16(data, l4 + 4)
        if length < 8 or l4 + length > end:
            return -1
        if present & IPV4 and be16(data, l4 + 6) == 0:
            return -1  # RFC 768: the sender made none
        end = l4 + length
    return end


def pseudo_header(data: Words, present: int, l3: int, size: int) -> int:
    """What the transport's checksum covers besides its `size` bytes, added up."""
    if present & ICMP:
        return 0
    proto = 6 if present & TCP else 17 if present & UDP else 58
    # An address was perhaps just written: see fix_ipv4.
    four = be32(data, l3 + 12) + be32(data, l3 + 16) if present & IPV4 else 0
    addresses = four if present & IPV4 else sum16(data, l3 + 8, l3 + 40)
    return (addresses & 0xFFFF) + (addresses >> 16) + proto + (size >> 16) + (size & 0xFFFF)


def fix_l4(data: WritableWords, captured: int, present: int, l3: int, l4: int) -> None:
    """TCP (RFC 9293), UDP (RFC 768; over IPv6 RFC 8200 section 8.1), ICMP (RFC 792), ICMPv6 (RFC 4443 section 2.3)."""
    end = l4_end(data, captured, present, l3, l4)
    if end < 0:
        return
    at = l4 + 16 if present & TCP else l4 + 6 if present & UDP else l4 + 2
    total = pseudo_header(data, present, l3, end - l4) + sum16(data, at + 2, end)
    for k in range(l4, at, 2):  # ports were perhaps just written: see fix_ipv4
        total += be16(data, k)
    checksum = folded(total)
    put16(data, at, 0xFFFF if checksum == 0 and present & UDP else checksum)


def checksums_wrong(data: Words, captured: int, present: int, l3: int, l4: int) -> bool:
    """Whether the checksum of IPv4, or of what it or IPv6 carries, is not what it must be. A UDP checksum of 0 is wrong
    over IPv6 (RFC 8200 section 8.1); what `fix_ipv4` and `fix_l4` leave alone is not."""
    if present & IPV4:
        size = (be8(data, l3) & 15) * 4
        if size >= 20 and l3 + size <= captured and folded(sum16(data, l3, l3 + size)) != 0:
            return True
    end = l4_end(data, captured, present, l3, l4)
    if end < 0:
        return False
    if present & UDP and be16(data, l4 + 6) == 0:
        return True
    return folded(pseudo_header(data, present, l3, end - l4) + sum16(data, l4, end)) != 0
