"""The vector bench's pipeline: count down the hop limit and mend its checksum, count by flow, swap MAC addresses."""

from typing import Any

import burstline as bl


class Flow(bl.Record):
    packets: bl.u64
    bytes: bl.u64


flows = bl.FlowTable(Flow, capacity=1 << 17)


@bl.stage
def count_down(pkt: Any) -> Any:
    if pkt.ipv4.ttl > 1:
        pkt.ipv4.ttl -= 1
        pkt.ipv4.fix_checksum()
    else:
        pkt.ipv4.ttl = 255


@bl.stage
def count(pkt: Any) -> None:
    flow = flows[pkt]
    flow.packets += 1
    flow.bytes += pkt.length


@bl.stage
def back(pkt: Any) -> Any:
    pkt.eth.dst, pkt.eth.src = pkt.eth.src, pkt.eth.dst
    return bl.send(0)


pipeline = bl.Pipeline(count_down, count, back)
