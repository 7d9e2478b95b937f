"""Reflector: every frame goes back out of the port it came from, its MAC addresses swapped.

burstline run examples/reflector.py dpdk:0000:3b:00.0
burstline run examples/reflector.py dpdk:net_null,copy=0 --duration 2
"""

import burstline as bl


@bl.stage
def swap(pkt):
    src = pkt.eth.src
    pkt.eth.src = pkt.eth.dst
    pkt.eth.dst = src
    return bl.send(pkt.port)


pipeline = bl.Pipeline(swap)
