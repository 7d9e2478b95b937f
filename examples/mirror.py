"""A SPAN port: what is looked for goes out of a monitor port as well, cut off from nothing, marked with a MAC address.

    burstline run examples/mirror.py capture.pcap --out both.pcap
    burstline run examples/mirror.py dpdk:0000:3b:00.0 dpdk:0000:3b:00.1 --out dpdk:0000:3b:00.1

Packets pass as they are; of DNS and of TCP's first packets a copy leaves by port 1.
"""

import burstline as bl

MONITOR = 1
MARK = bl.mac("02:00:00:00:00:aa")
copied = bl.Counter("copied")


@bl.stage
def mirror(pkt):
    if pkt.udp.sport == 53 or pkt.udp.dport == 53 or pkt.tcp.flag_syn:
        copy = pkt.clone(MONITOR)
        copy.eth.dst = MARK
        if copy:
            copied.add()


pipeline = bl.Pipeline(mirror)


@pipeline.at_end
def show(report):
    print(f"{copied.value:,} packets were copied")
