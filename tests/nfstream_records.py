"""All flow records that NFStream makes of captures: `nfstream_records.py IDLE ACTIVE FILE...` prints a line of JSON for
each, null for what it cannot read."""

from __future__ import annotations

import json
import sys
from typing import Any

from nfstream import NFStreamer


def records(path: str, idle: int, active: int) -> list[list[Any]] | None:
    streamer = NFStreamer(
        source=path, decode_tunnels=False, idle_timeout=idle, active_timeout=active, accounting_mode=0, n_dissections=0,
        statistical_analysis=False, n_meters=1,
    )  # fmt: skip
    try:
        return [
            [flow.src_ip, flow.dst_ip, flow.src_port, flow.dst_port, flow.protocol, flow.vlan_id,
             flow.bidirectional_first_seen_ms, flow.bidirectional_last_seen_ms, flow.src2dst_packets,
             flow.src2dst_bytes, flow.dst2src_packets, flow.dst2src_bytes]
            for flow in streamer
        ]  # fmt: skip
    except ValueError:
        return None


if __name__ == "__main__":
    for path in sys.argv[3:]:
        print(json.dumps(records(path, int(sys.argv[1]), int(sys.argv[2]))), flush=True)
