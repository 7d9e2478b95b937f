"""What NFStream reads in the payloads of captures: `nfstream_names.py FILE...` prints a line of JSON for each."""

from __future__ import annotations

import json
import sys
from typing import Any

from nfstream import NFStreamer


def flows(path: str) -> list[dict[str, Any]]:
    streamer = NFStreamer(source=path, decode_tunnels=False, idle_timeout=120, active_timeout=1800, n_meters=1)
    try:
        return [
            {
                "ends": [[flow.src_ip, flow.src_port], [flow.dst_ip, flow.dst_port]],
                "protocol": flow.protocol,
                "application": flow.application_name,
                "name": flow.requested_server_name,
                "fingerprint": flow.client_fingerprint,
            }
            for flow in streamer
        ]
    except ValueError:
        return []


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(json.dumps(flows(path)), flush=True)
