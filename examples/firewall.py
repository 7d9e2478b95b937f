"""Firewall: what comes from or goes to a prefix in blocked.txt is dropped, all else crosses from port to port.

burstline run examples/firewall.py dpdk:net_af_xdp,iface=eth1 dpdk:net_af_xdp,iface=eth2
burstline run examples/firewall.py capture.pcapng --out passed.pcapng
"""

from pathlib import Path

import burstline as bl

blocked = bl.PrefixSet.load(Path(__file__).with_name("blocked.txt"))


@bl.stage
def drop_blocked(pkt):
    if pkt.ipv4:
        if pkt.ipv4.src in blocked:
            return bl.drop("blocked source")
        if pkt.ipv4.dst in blocked:
            return bl.drop("blocked destination")
    elif pkt.ipv6:
        if pkt.ipv6.src in blocked:
            return bl.drop("blocked source")
        if pkt.ipv6.dst in blocked:
            return bl.drop("blocked destination")


@bl.stage
def cross(pkt):
    return bl.send(1 - pkt.port)


pipeline = bl.Pipeline(drop_blocked, cross)
