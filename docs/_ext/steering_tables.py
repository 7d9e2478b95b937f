"""Tables of what NICs' drivers can steer by, from their data."""

from __future__ import annotations

from markdown_table import table

from burstline.steering.hardware.driver import HardwareDriver
from burstline.steering.hardware.driver import recorded as steering_data
from burstline.steering.hardware.priorities import levels_of
from burstline.steering.rule import MATCHED


def steering_drivers() -> str:
    """What each driver's rte_flow can match and do."""
    rows = []
    for name, can in steering_data().items():
        if not can.rules:
            rows.append((f"`{name}`", "no rules", "", "", "", ""))
            continue
        fields = ", ".join(f"`{field}`{how}" for field, how in _matched(can))
        does = ", ".join([*sorted(a.lower() for a in can.actions), *sorted(b.lower() for b in can.beside)])
        room = f"{can.capacity:,}" if can.capacity else "not known"
        rows.append((f"`{name}`", fields, does, f"{levels_of(can):,}", room, f"{can.updates:,.0f}"))
    return table(("driver", "matches", "does", "priorities", "rules", "updates a second"), rows)


def _matched(can: HardwareDriver) -> list[tuple[str, str]]:
    """The fields of a rule, each with what is to know of how it is compared."""
    places = {
        "src_mac": ("ETH.src",), "dst_mac": ("ETH.dst",), "vlan": ("VLAN.vid",), "src": ("IPV4.src", "IPV6.src"),
        "dst": ("IPV4.dst", "IPV6.dst"), "proto": ("IPV4.proto", "IPV6.proto"), "sport": ("TCP.sport", "UDP.sport"),
        "dport": ("TCP.dport", "UDP.dport"), "flags": ("TCP.flags",), "tunnel": ("VXLAN", "GENEVE", "GTPU", "GRE"),
        "tunnel_id": ("VXLAN.vni", "GENEVE.vni", "GTPU.teid", "GRE_KEY.key"),
    }  # fmt: skip
    found = []
    for name in MATCHED:
        there = [place for place in places[name] if can.can(*place.split("."))]
        if name == "proto" and not there and {"TCP", "UDP"} <= can.items.keys():
            found.append((name, " (TCP, UDP)"))
        elif there:
            hows = {can.items[item][field] for item, field in (p.split(".") for p in there if "." in p)}
            only4 = name in ("src", "dst") and not can.can("IPV6")
            whole = " whole" if hows == {"full"} and name in ("src", "dst", "flags") else ""
            found.append((name, f"{whole}{' IPv4' * only4}"))
    return found


def steering_quirks() -> str:
    """What else to know of drivers' rules."""
    return table(
        ("driver", "", "source"),
        [(f"`{name}`", q.what, q.source) for name, can in steering_data().items() for q in can.quirks],
    )


def steering_sources() -> str:
    """Where what is said of drivers' rules was read."""
    rows = [
        (f"`{name}`", f"`{key}`", source)
        for name, can in steering_data().items()
        for key, source in can.sources.items()
    ]
    return table(("driver", "what", "source"), rows)
