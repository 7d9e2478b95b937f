"""A flow meter: both directions of a flow in one record, which leaves after 2 minutes without a packet or half an hour.

burstline run examples/flow_meter.py capture.pcapng     # writes flows.parquet
"""

import burstline as bl


class Flow(bl.Record):
    first: bl.i64  # ns since the epoch
    last: bl.i64
    packets: bl.u64  # of the side that sent first
    bytes: bl.u64
    packets_back: bl.u64
    bytes_back: bl.u64
    tcp_flags: bl.u8  # all that were seen


flows = bl.FlowTable(Flow, both_ways=True, vlan=True, idle=120, active=1800, full="evict", sink="flows.parquet")


@bl.stage
def meter(pkt):
    if not pkt.ipv4 and not pkt.ipv6:
        return bl.CONSUME
    flow = flows[pkt]
    if flow.packets == 0:
        flow.first = pkt.time
    flow.last = pkt.time
    if flows.is_forward(pkt):
        flow.packets += 1
        flow.bytes += pkt.length
    else:
        flow.packets_back += 1
        flow.bytes_back += pkt.length
    flow.tcp_flags |= pkt.tcp.flags


pipeline = bl.Pipeline(meter)
