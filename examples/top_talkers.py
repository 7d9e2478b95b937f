"""Who talks most: the ten largest flows on the screen, and all flows in top_talkers.parquet (when pyarrow is there).

burstline run examples/top_talkers.py capture.pcapng
"""

from ipaddress import ip_address

import burstline as bl


class Flow(bl.Record):
    packets: bl.u64
    bytes: bl.u64


flows = bl.FlowTable(Flow, capacity=1_000_000)


@bl.stage
def count(pkt):
    flow = flows[pkt]
    flow.packets += 1
    flow.bytes += pkt.length


pipeline = bl.Pipeline(count)


@pipeline.at_end
def show(report):
    table = flows.to_numpy()
    for version, protocol, *ends, sport, dport, packets, size in table[table["bytes"].argsort()[:-11:-1]].tolist():
        src, dst = (ip_address(bytes(end[: 16 if version == 6 else 4])) for end in ends)
        print(f"{size:>15,} bytes {packets:>11,} packets  {src} {sport} -> {dst} {dport}, protocol {protocol}")
    try:
        from pyarrow import parquet
    except ImportError:
        return
    parquet.write_table(flows.to_arrow(), "top_talkers.parquet")
