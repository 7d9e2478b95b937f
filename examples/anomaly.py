"""SYN floods and port scans, second by second: burstline run examples/anomaly.py capture.pcapng"""

from collections import defaultdict
from ipaddress import ip_address

import burstline as bl

FLOOD, SCAN = 500, 100  # sources that open connections to one address in a second; ports that one source tries there


class Opening(bl.Record):
    time: bl.i64
    src: bl.ipv4
    dst: bl.ipv4
    port: bl.u16


openings = bl.Digest(Opening)
tried: dict = defaultdict(lambda: defaultdict(set))  # (second, target) -> source -> ports


@bl.predicate
def opens(pkt):
    return pkt.ipv4 and pkt.tcp.flags & 0x12 == 0x02  # SYN without ACK


@bl.stage
def log(pkt):
    seen = openings.new()
    seen.time, seen.src, seen.dst, seen.port = pkt.time, pkt.ipv4.src, pkt.ipv4.dst, pkt.tcp.dport


@openings.batches
def judge(batch):
    for time, src, dst, port in zip(batch["time"] // 10**9, batch["src"], batch["dst"], batch["port"], strict=True):
        sources = tried[time, dst]
        before = len(sources[src])
        sources[src].add(port)
        if before < len(sources[src]) == SCAN:
            print(f"port scan of {ip_address(int(dst))} by {ip_address(int(src))}")
        if before == 0 and len(sources) == FLOOD:
            print(f"SYN flood of {ip_address(int(dst))}")


pipeline = bl.Pipeline(opens, log)
