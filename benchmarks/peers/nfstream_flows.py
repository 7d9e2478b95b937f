"""5-tuple flows of a capture with NFStream: `nfstream_flows.py FILE.pcap FLOWS.csv`.

One meter, no nDPI dissection, no statistics, no timeouts: the least that NFStream can do. It measures in a process of
its own and hands whole flows of both directions to this one, where they are split again and the VLAN taken out of the
key.
"""

from __future__ import annotations

import ipaddress
import sys
import time

from nfstream import NFStreamer
from report import FlowKey, hand_over

NEVER = 10**9  # seconds


def main(path: str, out: str) -> None:
    start = time.perf_counter()
    streamer = NFStreamer(
        source=path,
        decode_tunnels=False,
        idle_timeout=NEVER,
        active_timeout=NEVER,
        accounting_mode=0,  # bytes of the whole frame
        n_dissections=0,
        statistical_analysis=False,
        n_meters=1,
    )
    seen = list(streamer)
    seconds = time.perf_counter() - start
    flows: dict[FlowKey, tuple[int, int]] = {}
    packets = 0
    for flow in seen:
        a, b = ipaddress.ip_address(flow.src_ip).packed, ipaddress.ip_address(flow.dst_ip).packed
        ports = (flow.src_port, flow.dst_port) if flow.protocol in (6, 17, 132) else (0, 0)
        for src, dst, sport, dport, n, size in (
            (a, b, *ports, flow.src2dst_packets, flow.src2dst_bytes),
            (b, a, *reversed(ports), flow.dst2src_packets, flow.dst2src_bytes),
        ):
            if n:
                key = (src, dst, sport, dport, flow.protocol)
                before = flows.get(key, (0, 0))
                flows[key] = (before[0] + n, before[1] + size)
                packets += n
    hand_over(out, ((key, *flow) for key, flow in flows.items()), packets, seconds)


if __name__ == "__main__":
    main(*sys.argv[1:3])
