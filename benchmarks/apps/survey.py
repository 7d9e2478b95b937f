"""The archive bench's pipeline: what a survey of captures counts. Flows, sizes, talkers, sources, ports, bytes."""

from typing import Any

import burstline as bl


class Flow(bl.Record):
    packets: bl.u64
    bytes: bl.u64
    first: bl.u64
    last: bl.u64


class Pair(bl.Record):
    packets: bl.u64
    forward: bl.u64


flows = bl.FlowTable(Flow, 200_000, merge={"packets": "add", "bytes": "add", "first": "first", "last": "last"})
pairs = bl.FlowTable(Pair, 200_000, both_ways=True, merge={"packets": "add", "forward": "add"})
sizes = bl.Histogram("sizes")
talkers = bl.CountMin()
sources = bl.HyperLogLog()
ports: Any = bl.Map(70_000)
contents = bl.ByteHistogram()


@bl.stage
def survey(pkt: Any) -> None:
    flow = flows[pkt]
    if flow.packets == 0:
        flow.first = pkt.time
    flow.packets += 1
    flow.bytes += pkt.length
    flow.last = pkt.time
    pair = pairs[pkt]
    pair.packets += 1
    if pairs.is_forward(pkt):
        pair.forward += 1
    sizes.add(pkt.length)
    talkers.add(pkt, pkt.length)
    sources.add(pkt.ipv4.src)
    ports[pkt.tcp.dport + pkt.udp.dport] += 1
    contents.add(pkt.payload)


pipeline = bl.Pipeline(survey)
