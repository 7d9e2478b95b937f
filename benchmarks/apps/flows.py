"""The offline bench's pipeline: 5-tuple flows with packets and bytes.

FLOWS_CAPACITY is the number of flows it must hold. When FLOWS_OUT names a file, the flows are written there as the
peers write theirs: `src,dst,sport,dport,proto,packets,bytes`, addresses in hexadecimal.
"""

import os
from typing import Any

import burstline as bl


class Flow(bl.Record):
    packets: bl.u64
    bytes: bl.u64


flows = bl.FlowTable(Flow, capacity=int(os.environ.get("FLOWS_CAPACITY", "1000000")))


@bl.stage
def count(pkt: Any) -> None:
    flow = flows[pkt]
    flow.packets += 1
    flow.bytes += pkt.length


pipeline = bl.Pipeline(count)


@pipeline.at_end
def write(report: Any) -> None:
    path = os.environ.get("FLOWS_OUT")
    if not path:
        return
    with open(path, "w") as out:
        for f in flows.to_numpy():
            if f["version"]:  # the peers leave frames out that are not IP
                size = 4 if f["version"] == 4 else 16
                src, dst = f["src"][:size].tobytes().hex(), f["dst"][:size].tobytes().hex()
                out.write(f"{src},{dst},{f['sport']},{f['dport']},{f['protocol']},{f['packets']},{f['bytes']}\n")
