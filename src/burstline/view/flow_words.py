"""Values of flows as a person reads them."""

from __future__ import annotations

import time
from typing import Any

PROTOCOLS = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 58: "icmpv6", 132: "sctp"}
EPOCH, LATEST = 10**18, 4 * 10**18  # nanoseconds since the epoch that are likely meant as such: from 2001 to 2096


def shown_value(name: str, value: Any) -> str:
    """A field of a flow: protocols by name, times of nanoseconds as times, other numbers in groups of three."""
    if value is None:
        return "-"
    if name == "protocol":
        return PROTOCOLS.get(value, str(value))
    if isinstance(value, bool) or not isinstance(value, (int, float)) or name in ("sport", "dport"):
        return str(value)
    if isinstance(value, int) and EPOCH <= value < LATEST:
        seconds, rest = divmod(value, 10**9)
        return f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{rest // 10**6:03}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"
