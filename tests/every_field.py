"""A stage that reads everything there is to read of a packet, into a digest with a field for each."""

from __future__ import annotations

from typing import Any

import burstline as bl
from both_modes import stage_of
from burstline.packet.fields import HEADERS, OF_INNER, PACKET_FIELDS

KINDS: dict[str, Any] = {"bool": bl.boolean, "ipv4": bl.ipv4, "ipv6": bl.ipv6, "int": bl.i64}
ODD = {"is_fragment": bl.boolean}  # what is no number, of the packet's own fields

FOLD = """
def fold(view):
    total = len(view)
    for k in range(min(len(view), 60)):
        total = total * 31 + view[k] & 0xFFFFFFFFFF
    if len(view) >= 2:
        total += view.be16(0) ^ view.be16(-2)
    if len(view) >= 4:
        total += view.be32(len(view) - 4)
    return total
"""


def fields() -> dict[str, Any]:
    """The record's fields: `header` for its presence, `header_field` for each field, and the packet's own."""
    found: dict[str, Any] = {"within": bl.boolean}
    for level in ("", "within_"):
        for header in HEADERS:
            found[level + header.name] = bl.boolean
            found |= {f"{level}{header.name}_{f.name}": KINDS[f.kind] for f in header.fields}
            if header.options:
                found[f"{level}{header.name}_options"] = bl.i64
    own = {f"pkt_{name}": ODD.get(name, bl.i64) for name in PACKET_FIELDS}
    return found | own | {f"within_pkt_{name}": ODD.get(name, bl.i64) for name in OF_INNER}


def body(record: str) -> str:
    """Lines that read everything into the record of that name."""
    lines = [f"{record}.within = bool(pkt.inner)"]
    for level, packet in (("", "pkt"), ("within_", "pkt.inner")):
        for header in HEADERS:
            view, to = f"{packet}.{header.name}", f"{record}.{level}{header.name}"
            lines.append(f"{to} = bool({view})")
            lines += [f"{to}_{f.name} = {view}.{f.name}" for f in header.fields]
            if header.options:
                lines.append(f"{to}_options = fold({view}.options)")
        for name in OF_INNER if level else PACKET_FIELDS:
            value = f"{packet}.{name}"
            lines.append(f"{record}.{level}pkt_{name} = " + (f"fold({value})" if name == "payload" else value))
    return "".join(f"    {line}\n" for line in lines)


Everything = type("Everything", (bl.Record,), {"__annotations__": fields(), "__module__": __name__})


def reader() -> tuple[bl.Stage, bl.Digest[Any]]:
    """The stage, and the digest that it fills."""
    seen: bl.Digest[Any] = bl.Digest(Everything)
    return stage_of(f"{FOLD}\ndef read_everything(pkt):\n    r = seen.new()\n{body('r')}", seen=seen), seen
