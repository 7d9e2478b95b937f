"""5-tuple flows of a capture with dpkt, as its documentation reads a file: `dpkt_flows.py FILE.pcap FLOWS.csv`."""

from __future__ import annotations

import sys
import time

import dpkt
from report import FlowKey, hand_over


def main(path: str, out: str) -> None:
    ip4, ip6 = dpkt.ip.IP, dpkt.ip6.IP6
    with_ports = (dpkt.tcp.TCP, dpkt.udp.UDP, dpkt.sctp.SCTP)
    ethernet = dpkt.ethernet.Ethernet
    flows: dict[FlowKey, list[int]] = {}
    packets = 0
    start = time.perf_counter()
    with open(path, "rb") as file:
        for _, frame in dpkt.pcap.Reader(file):
            packets += 1
            ip = ethernet(frame).data
            if not isinstance(ip, (ip4, ip6)):
                continue
            segment = ip.data
            if isinstance(segment, with_ports):
                key = (ip.src, ip.dst, segment.sport, segment.dport, ip.p)
            else:
                key = (ip.src, ip.dst, 0, 0, ip.p)
            flow = flows.get(key)
            if flow is None:
                flows[key] = [1, len(frame)]
            else:
                flow[0] += 1
                flow[1] += len(frame)
    seconds = time.perf_counter() - start
    hand_over(out, ((key, flow[0], flow[1]) for key, flow in flows.items()), packets, seconds)


if __name__ == "__main__":
    main(*sys.argv[1:3])
