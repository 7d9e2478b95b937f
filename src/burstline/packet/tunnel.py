"""The id of the tunnel that a packet is of: VNI of VXLAN and GENEVE, TEID of GTP-U, key of GRE."""

from __future__ import annotations

from typing import Any

NO_ID = -1


def tunnel_id(tunnel: str, pkt: Any) -> int | None:
    """None where the packet is of no tunnel of this kind; NO_ID for GRE without a key."""
    header = getattr(pkt, tunnel)
    if not header:
        return None
    if tunnel != "gre":
        return int(header.teid if tunnel == "gtpu" else header.vni)
    if not header.flag_key:
        return NO_ID
    # RFC 2890 section 2: the key lies behind checksum and offset, of which RFC 1701 has both if it has either.
    at = pkt._columns.l4 + (8 if header.flag_checksum or header.flag_routing else 4)
    return int.from_bytes(pkt._data[at : at + 4], "big") if at + 4 <= pkt.captured else NO_ID
