"""The route bench's pipeline: examples/router.py with sixteen next hops on one port and routes from a file, which the
environment names; a line has a prefix and the number of its next hop."""

import os
from pathlib import Path
from typing import Any

import burstline as bl

HOPS = 16
PORT = (0,) * HOPS  # of each next hop
OURS = tuple(bl.mac(f"02:00:00:00:{k:02x}:01") for k in range(HOPS))  # our address on that port
THEIRS = tuple(bl.mac(f"02:00:00:00:{k:02x}:02") for k in range(HOPS))  # the next hop's own


def lines(path: Path) -> Any:
    for line in path.read_text().splitlines():
        prefix, _, hop = line.partition(" ")
        yield prefix, int(hop)


routes = bl.PrefixMap(lines(Path(os.environ["BURSTLINE_BENCH_ROUTES"])))


@bl.stage
def route(pkt: Any) -> Any:
    hop = -1
    if pkt.ipv4:
        if pkt.ipv4.ttl <= 1:
            return bl.drop("TTL expired")
        hop = routes.get(pkt.ipv4.dst, -1)
        pkt.ipv4.ttl -= 1
        pkt.ipv4.fix_checksum()
    elif pkt.ipv6:
        if pkt.ipv6.hop_limit <= 1:
            return bl.drop("hop limit expired")
        hop = routes.get(pkt.ipv6.dst, -1)
        pkt.ipv6.hop_limit -= 1
    if hop < 0:
        return bl.drop("no route")
    pkt.eth.src = OURS[hop]
    pkt.eth.dst = THEIRS[hop]
    return bl.send(PORT[hop])


pipeline = bl.Pipeline(route)
