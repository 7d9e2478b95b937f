"""Bridge: what comes in on one port goes out of the other, as a wire between them would carry it.

burstline run examples/bridge.py dpdk:0000:3b:00.0 dpdk:0000:3b:00.1
burstline run examples/bridge.py dpdk:net_af_packet,iface=eth1 dpdk:net_af_packet,iface=eth2
"""

import burstline as bl

RESERVED = bl.mac("01:80:c2:00:00:00") >> 4


@bl.stage
def keep_local(pkt):
    # A bridge forwards none of these 16 addresses (spanning tree, LACP, LLDP): IEEE 802.1Q-2022, table 8-1.
    if pkt.eth.dst >> 4 == RESERVED:
        return bl.drop("reserved for one link")


@bl.stage
def cross(pkt):
    return bl.send(1 - pkt.port)


pipeline = bl.Pipeline(keep_local, cross)
