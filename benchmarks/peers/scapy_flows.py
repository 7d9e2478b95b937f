"""5-tuple flows of a capture with scapy: `scapy_flows.py FILE.pcap FLOWS.csv`.

scapy's guide names the way to its best speed, and it is taken: layers that are not asked for are not dissected
(https://scapy.readthedocs.io/en/latest/usage.html, "Performance of Scapy").
"""

from __future__ import annotations

import ipaddress
import sys
import time

from report import hand_over
from scapy.config import conf
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.utils import PcapReader


def main(path: str, out: str) -> None:
    conf.layers.filter([Ether, Dot1Q, Dot1AD, IP, IPv6, IPv6ExtHdrFragment, TCP, UDP])
    flows: dict[tuple[str, str, int, int, int], list[int]] = {}
    packets = 0
    start = time.perf_counter()
    with PcapReader(path) as reader:
        for packet in reader:
            packets += 1
            ip = packet.getlayer(IP)
            if ip is not None:
                proto = ip.proto
            else:
                ip = packet.getlayer(IPv6)
                if ip is None:
                    continue
                fragment = ip.getlayer(IPv6ExtHdrFragment)
                proto = ip.nh if fragment is None else fragment.nh
            sport = dport = 0
            if proto == 6 or proto == 17:
                segment = ip.getlayer(TCP if proto == 6 else UDP)
                if segment is not None:
                    sport, dport = segment.sport, segment.dport
            key = (ip.src, ip.dst, sport, dport, proto)
            flow = flows.setdefault(key, [0, 0])
            flow[0] += 1
            flow[1] += packet.wirelen or len(packet)
    seconds = time.perf_counter() - start
    packed = ipaddress.ip_address
    done = (((packed(s).packed, packed(d).packed, a, b, p), *flow) for (s, d, a, b, p), flow in flows.items())
    hand_over(out, done, packets, seconds)


if __name__ == "__main__":
    main(*sys.argv[1:3])
