"""By which clocks drivers stamp the packets that they receive: data, with the sources (DPDK 22.11).

A stamp is a number of the device's own (rte_mbuf_dyn.h, rte_mbuf_dyn_rx_timestamp_register); what time it means is
found out by reading the same clock beside the system's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# How the clock is read: rte_eth_read_clock; rte_eth_timesync_read_time; not at all, since stamps are microseconds of
# the epoch.
Kind = Literal["counter", "timesync", "microseconds"]


@dataclass(frozen=True)
class StampClock:
    """`always`: packets are stamped though there is no offload that asks for it."""

    kind: Kind
    says: str
    source: str
    always: bool = False


STAMP_CLOCKS = {
    "net_mlx5": StampClock(
        "counter", "the port's counter said when it came", "net/mlx5/mlx5_rx.c:801-807, mlx5_txpp.c:968-1002"
    ),
    "net_ice": StampClock(
        "timesync", "the port's IEEE 1588 clock said when it came", "net/ice/ice_rxtx.h:349-386, ice_ethdev.c:275"
    ),
    "net_pcap": StampClock(
        "microseconds",
        "the capture says, or libpcap, to the microsecond",
        "net/pcap/pcap_ethdev.c:325-329",
        always=True,
    ),
}

# Drivers that offer it and write no stamp into mbufs.
NO_STAMPS = {"net_bnxt": "its driver keeps stamps to itself (net/bnxt/bnxt_rxr.c:703-717)"}
