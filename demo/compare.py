"""compare.py REPORT CAPTURE PACKETS: burstline's rate, as `burstline run --json` told it, beside scapy's for the same
work, bytes by 5-tuple, over the first packets of the capture."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from itertools import islice
from pathlib import Path

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.utils import PcapReader


def scapy_rate(path: str, packets: int) -> float:
    """Packets a second."""
    flows: Counter[tuple[object, ...]] = Counter()
    done = 0
    start = time.perf_counter()
    with PcapReader(path) as reader:
        for packet in islice(reader, packets):
            done += 1
            ip = packet.getlayer(IP) or packet.getlayer(IPv6)
            if ip:
                ports = getattr(ip.payload, "sport", 0), getattr(ip.payload, "dport", 0)
                flows[ip.src, ip.dst, ip.payload.name, *ports] += packet.wirelen
    return done / (time.perf_counter() - start)


if __name__ == "__main__":
    ours = json.loads(Path(sys.argv[1]).read_text())["rate"]
    theirs = scapy_rate(sys.argv[2], int(sys.argv[3]))
    print(
        f"burstline {ours:>12,.0f} packets/s\nscapy     {theirs:>12,.0f} packets/s\n{ours / theirs:,.0f} times as fast"
    )
