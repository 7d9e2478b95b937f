"""The forward bench's pipeline: swap the MAC addresses and send the packet back, as testpmd's macswap does."""

from typing import Any

import burstline as bl


@bl.stage
def macswap(pkt: Any) -> Any:
    pkt.eth.dst, pkt.eth.src = pkt.eth.src, pkt.eth.dst
    return bl.send(0)


pipeline = bl.Pipeline(macswap)
