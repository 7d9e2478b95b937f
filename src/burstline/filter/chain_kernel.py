"""`protochain`: a protocol in the chain of IP headers (RFC 8200, section 4; RFC 4302 for the authentication header)."""

from __future__ import annotations

from burstline.native.words import Words, be8

MOST = 512  # headers: by the last rule, libpcap can be led in circles
NONE, HOPS, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION = 59, 0, 43, 44, 51, 60


def in_chain(data: Words, captured: int, version: int, start: int, protocol: int) -> int:
    """1 or 0; -1 where a header lies outside of the captured bytes. As in libpcap, of what an authentication header
    follows only the IP header's start counts: what comes next is looked for as many bytes behind that as it is long."""
    if captured < start + (10 if version == 4 else 7):
        return -1
    kind = be8(data, start + 9) if version == 4 else be8(data, start + 6)
    at = (be8(data, start) & 0xF) << 2 if version == 4 else 40
    for _ in range(MOST):
        if kind in (protocol, NONE):
            break
        extension = kind in (HOPS, DESTINATION, ROUTING, FRAGMENT)
        if kind != AUTHENTICATION and (version == 4 or not extension):
            break
        if captured < start + at + 2:
            return -1
        following = be8(data, start + at + 1)
        more = (following + 2) * 4 if kind == AUTHENTICATION else at + (following + 1) * 8
        kind = be8(data, start + at)
        at = more
    return 1 if kind == protocol else 0
