"""How every Python peer hands over its result: the flows as a file, packets and seconds as one JSON line."""

from __future__ import annotations

import json
from collections.abc import Iterable

# Source, destination (4 or 16 bytes), source port, destination port, protocol.
FlowKey = tuple[bytes, bytes, int, int, int]


def hand_over(path: str, flows: Iterable[tuple[FlowKey, int, int]], packets: int, seconds: float) -> None:
    """Write `src,dst,sport,dport,proto,packets,bytes` lines to `path`; print what was measured (seconds)."""
    count = 0
    with open(path, "w") as out:
        for (src, dst, sport, dport, proto), n, size in flows:
            out.write(f"{src.hex()},{dst.hex()},{sport},{dport},{proto},{n},{size}\n")
            count += 1
    print(json.dumps({"packets": packets, "flows": count, "seconds": seconds}))
