"""Drops what comes from some networks, counts the flows of the rest, and passes it on."""

import burstline as bl


class Flow(bl.Record):
    packets: bl.u64
    bytes: bl.u64
    last: bl.i64


flows = bl.FlowTable(Flow, capacity=100_000, active=0.01)
blocked = bl.PrefixSet(["10.0.128.0/17"])


@bl.stage
def drop_blocked(pkt):
    if pkt.ipv4 and pkt.ipv4.src in blocked:
        return bl.drop("blocked")


@bl.stage
def count(pkt):
    flow = flows[pkt]
    flow.packets += 1
    flow.bytes += pkt.length
    flow.last = pkt.time


pipeline = bl.Pipeline(drop_blocked, count)
