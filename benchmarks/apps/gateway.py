"""The bulk bench's pipeline, a stateful gateway of what the examples do: blocked prefixes (firewall.py), connections
followed and metered both ways in one record (flow_meter.py), each held to a rate (the token bucket of docs/state.md),
addresses translated one to one, and a next hop by longest prefix (router.py).

Translation is its own reverse, and a hop limit begins anew: packets go round for as long as the bench lasts. GATEWAY
is "router" for a gateway that translates nothing.
"""

import os
from typing import Any

import burstline as bl

NEW, ESTABLISHED, CLOSING = 0, 1, 2
FIN, RST, ACK = 1, 4, 16
RATE, BURST = 2_000_000_000, 50_000_000  # bytes a second of a connection, and at once
PARTS = 1_000_000_000
FULL = BURST * PARTS
INSIDE_OR_OUTSIDE = (10 ^ 110) << 24
HOPS = 16
OURS = tuple(bl.mac(f"02:00:00:00:{k:02x}:01") for k in range(HOPS))
THEIRS = tuple(bl.mac(f"02:00:00:00:{k:02x}:02") for k in range(HOPS))


class Connection(bl.Record):
    level: bl.u64
    last: bl.i64
    packets: bl.u64
    bytes: bl.u64
    packets_back: bl.u64
    bytes_back: bl.u64
    next: bl.u32  # sequence number that the sender goes on with
    gaps: bl.u32
    state: bl.u8
    flags: bl.u8


blocked = bl.PrefixSet(f"198.18.{k >> 2}.{(k & 3) * 64}/26" for k in range(1000))
routes = bl.PrefixMap((f"20.{b}.{c}.0/20", (b + c) % HOPS) for b in range(256) for c in range(0, 256, 16))
connections = bl.FlowTable(Connection, both_ways=True, capacity=1 << 17, idle=120)


@bl.stage
def guard(pkt: Any) -> Any:
    if not pkt.ipv4 or not pkt.tcp:
        return bl.drop("not TCP over IPv4")
    if pkt.ipv4.src in blocked:
        return bl.drop("blocked source")
    if pkt.ipv4.dst in blocked:
        return bl.drop("blocked destination")


@bl.stage
def follow(pkt: Any) -> Any:
    flow = connections[pkt]
    flags = pkt.tcp.flags
    if flags & (RST | FIN):
        flow.state = CLOSING
    elif flow.state == NEW and flags & ACK:
        flow.state = ESTABLISHED
    flow.flags |= flags
    if connections.is_forward(pkt):
        if pkt.tcp.seq != flow.next:
            flow.gaps += 1
        flow.next = pkt.tcp.seq + pkt.ipv4.length - (pkt.ipv4.ihl + pkt.tcp.data_offset) * 4
        flow.packets += pkt.segments
        flow.bytes += pkt.length
    else:
        flow.packets_back += pkt.segments
        flow.bytes_back += pkt.length
    passed = max(pkt.time - flow.last, 0)
    if passed > FULL // RATE:
        flow.level = FULL
    else:
        flow.level = min(flow.level + passed * RATE, FULL)
    flow.last = pkt.time
    if flow.level < pkt.length * PARTS:
        return bl.drop("too fast")
    flow.level -= pkt.length * PARTS


@bl.stage
def translate(pkt: Any) -> None:
    pkt.ipv4.src = int(pkt.ipv4.src) ^ INSIDE_OR_OUTSIDE
    pkt.tcp.fix_checksum()


@bl.stage
def route(pkt: Any) -> Any:
    hop = routes.get(pkt.ipv4.dst, -1)
    if hop < 0:
        return bl.drop("no route")
    if pkt.ipv4.ttl > 1:
        pkt.ipv4.ttl -= 1
    else:
        pkt.ipv4.ttl = 255
    pkt.ipv4.fix_checksum()
    pkt.eth.src = OURS[hop]
    pkt.eth.dst = THEIRS[hop]
    return bl.send(0)


if os.environ.get("GATEWAY") == "router":
    pipeline = bl.Pipeline(guard, follow, route)
else:
    pipeline = bl.Pipeline(guard, follow, translate, route)
