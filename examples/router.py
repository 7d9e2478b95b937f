"""Router: IPv4 and IPv6 by longest prefix, between two ports with fixed next hops.

burstline run examples/router.py dpdk:0000:3b:00.0 dpdk:0000:3b:00.1
"""

import burstline as bl

routes = bl.PrefixMap({"10.0.0.0/16": 0, "2001:db8::/48": 0, "10.0.0.0/8": 1, "2001:db8::/32": 1})  # to a next hop
PORT = (0, 1)  # of each next hop
OURS = (bl.mac("02:00:00:00:00:01"), bl.mac("02:00:00:00:01:01"))  # our address on that port
THEIRS = (bl.mac("02:00:00:00:00:02"), bl.mac("02:00:00:00:01:02"))  # the next hop's own


@bl.stage
def route(pkt):
    hop = -1
    if pkt.ipv4:
        if pkt.ipv4.ttl <= 1:
            return bl.drop("TTL expired")
        hop = routes.get(pkt.ipv4.dst, -1)
        pkt.ipv4.ttl -= 1
        pkt.ipv4.fix_checksum()
    elif pkt.ipv6:
        if pkt.ipv6.hop_limit <= 1:
            return bl.drop("hop limit expired")
        hop = routes.get(pkt.ipv6.dst, -1)
        pkt.ipv6.hop_limit -= 1
    if hop < 0:
        return bl.drop("no route")
    pkt.eth.src = OURS[hop]
    pkt.eth.dst = THEIRS[hop]
    return bl.send(PORT[hop])


pipeline = bl.Pipeline(route)
