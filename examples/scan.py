"""Port scans and network scans, found and shut out: burstline run examples/scan.py capture.pcapng --out clean.pcap

A source that opens connections to a hundred ports, or to a hundred hosts, is a scanner: what it sends from then on is
dropped. Of several workers, each sees a part of what a source does, and judges by that.
"""

import burstline as bl

LIMIT = 100

seen_ports, seen_hosts = bl.Set(1_000_000), bl.Set(1_000_000)  # source and port, source and host, in one number
ports, hosts = bl.Map(100_000, key=bl.ipv4), bl.Map(100_000, key=bl.ipv4)  # of each source, how many
scanners = bl.Set(10_000, key=bl.ipv4)
sources, targets = bl.HyperLogLog(), bl.HyperLogLog()


@bl.stage
def shut_out(pkt):
    if pkt.ipv4 and pkt.ipv4.src in scanners:
        return bl.drop("scanner")


@bl.stage
def watch(pkt):
    if pkt.ipv4 and pkt.tcp.flags & 0x12 == 0x02:  # SYN without ACK
        source, host = pkt.ipv4.src, pkt.ipv4.dst
        sources.add(source)
        targets.add(host)
        if seen_ports.add(int(source) << 16 | pkt.tcp.dport) and ports.add(source) == LIMIT:
            scanners.add(source)
        if seen_hosts.add(int(source) << 32 | int(host)) and hosts.add(source) == LIMIT:
            scanners.add(source)


pipeline = bl.Pipeline(shut_out, watch)


@pipeline.at_end
def show(report):
    print(f"about {sources.estimate():,.0f} sources opened connections to about {targets.estimate():,.0f} hosts")
    for source in scanners:
        print(f"{source} scans: {ports[source]} ports, {hosts[source]} hosts")
