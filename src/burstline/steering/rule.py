"""`SteeringRule`: which packets of a port, and what becomes of them before a worker sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from burstline.errors import UsageError
from burstline.packet.address import mac, mac_text
from burstline.state.rule import (
    ANY,
    FLAGS,
    WITH_PORTS,
    BadField,
    Network,
    read_flags,
    read_network,
    read_number,
    read_ports,
    read_protocol,
    refuse_empty,
    usage_error,
)
from burstline.steering.target import RSS, Queue, Target, read_target

TUNNELS = {"vxlan": 24, "geneve": 24, "gtpu": 32, "gre": 32}  # bits of the id: VNI, VNI, TEID, key
MOST_MARK = (1 << 24) - 2  # what every driver can carry: mlx5 keeps 24 bits and takes the highest for itself
FAST_PATH = MOST_MARK  # the mark of flows that the steering controller has on the fast path
LOWEST_PRIORITY = 0xFFFF
MATCHED = (
    "src_mac", "dst_mac", "vlan", "src", "dst", "proto", "sport", "dport", "flags", "tunnel", "tunnel_id",
)  # fmt: skip


@dataclass(frozen=True, init=False)
class SteeringRule:
    """`SteeringRule(dst="10.0.0.0/8", proto="tcp", dport="80-443", to="queue 3", mark=7)`.

    What a packet must have to match; None is anything. `src`, `dst`: IPv4 or IPv6 prefixes; `proto`: a number or name
    (behind extension headers of IPv6); `sport`, `dport`: of TCP, UDP or SCTP, single or ranges, which fragments but the
    first of a packet do not have; `vlan`: the id of the outermost tag; `flags`: as `S/SA`, of SYN and ACK SYN alone;
    `tunnel`: vxlan, geneve, gtpu or gre, with `tunnel_id` the VNI, TEID or key. All but those of the tunnel are of the
    outermost headers; a rule without `vlan` matches packets with tags, too.

    Of all rules that match, the one with the lowest `priority` decides (as in rte_flow, 0 is the first), of several
    with the same the one given first. `to` is where packets go (target.py); `mark` is the number that stages read as
    `pkt.mark`; with `count`, packets and bytes are counted. Raises UsageError that names the field.
    """

    src_mac: int | None
    dst_mac: int | None
    vlan: int | None
    src: Network | None
    dst: Network | None
    proto: int | None
    sport: tuple[int, int] | None
    dport: tuple[int, int] | None
    flags: tuple[int, int] | None
    tunnel: str | None
    tunnel_id: int | None
    priority: int
    to: Target
    mark: int | None
    count: bool

    def __init__(self, **given: Any) -> None:
        try:
            self._read(given)
        except BadField as error:
            raise usage_error("steering rule", error) from None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> SteeringRule:
        """From texts and numbers by field, as they stand in a file. Raises BadField."""
        made = cls.__new__(cls)
        made._read(given)
        return made

    def _read(self, given: Mapping[str, Any]) -> None:
        for name in given:
            if name not in FIELDS:
                raise BadField(name, f"there is no field {name!r}", f"the fields are {', '.join(FIELDS)}")
        for name in FIELDS:
            value = given.get(name)
            if isinstance(value, str) and name in MATCHED and value.strip().lower() in ANY:
                value = None
            object.__setattr__(self, name, _DEFAULTS.get(name) if value is None else _READERS[name](name, value))
        self._refuse_empty()

    def _refuse_empty(self) -> None:
        """What no packet can match, or would do nothing."""
        refuse_empty(self)
        if self.tunnel_id is not None:
            if self.tunnel is None:
                raise BadField("tunnel_id", "it says nothing without a tunnel", f"add tunnel: {', '.join(TUNNELS)}")
            if self.tunnel_id >> TUNNELS[self.tunnel]:
                hint = f"write 0 to {(1 << TUNNELS[self.tunnel]) - 1:,}"
                raise BadField("tunnel_id", f"{self.tunnel_id} is out of range for {self.tunnel}", hint)
        carried = 47 if self.tunnel == "gre" else 17
        if self.tunnel and self.proto not in (None, carried):
            raise BadField("proto", f"{self.tunnel} is not carried by protocol {self.proto}", "leave proto out")
        ports = "sport" if self.sport else "dport"
        if self.tunnel == "gre" and getattr(self, ports):
            raise BadField(ports, "GRE has no ports", "leave the ports out")
        if self.tunnel and self.flags:
            raise BadField("flags", f"{self.tunnel} is not carried by TCP", "leave the flags out")

    @property
    def version(self) -> int | None:
        """4 or 6 where an address says so."""
        network = self.src or self.dst
        return network.version if network else None

    @property
    def is_exact(self) -> bool:
        """It matches one direction of one flow, by all five fields of its key, and nothing else is asked."""
        return (
            self.src is not None
            and self.dst is not None
            and self.src.prefixlen == self.src.max_prefixlen
            and self.dst.prefixlen == self.dst.max_prefixlen
            and self.proto in WITH_PORTS
            and self.sport is not None
            and self.dport is not None
            and self.sport[0] == self.sport[1]
            and self.dport[0] == self.dport[1]
            and all(getattr(self, name) is None for name in ("src_mac", "dst_mac", "vlan", "flags", "tunnel"))
        )

    def matched(self) -> dict[str, Any]:
        """The fields that a packet must have, in the order of `MATCHED`."""
        return {name: getattr(self, name) for name in MATCHED if getattr(self, name) is not None}

    def __str__(self) -> str:
        what = " ".join(f"{name} {_spelled(name, value)}" for name, value in self.matched().items()) or "everything"
        does = [str(self.to)] if self.to != RSS or (self.mark is None and not self.count) else []
        does += [f"mark {self.mark}"] if self.mark is not None else []
        does += ["count"] if self.count else []
        return f"{what} -> {', '.join(does)}"


FIELDS = tuple(f.name for f in fields(SteeringRule))
_DEFAULTS: dict[str, Any] = {"priority": 0, "to": RSS, "count": False}


def _read_mac(name: str, value: Any) -> int:
    if isinstance(value, int):
        return read_number(name, str(value), (1 << 48) - 1)
    try:
        return mac(str(value))
    except UsageError as error:
        raise BadField(name, error.message, error.hint or "write six bytes in hex") from None


def _read_tunnel(name: str, value: Any) -> str:
    if str(value).strip().lower() not in TUNNELS:
        raise BadField(name, f"{value!r} is no tunnel that can be steered by", f"write one of {', '.join(TUNNELS)}")
    return str(value).strip().lower()


def _read_count(name: str, value: Any) -> bool:
    if type(value) is not bool:
        raise BadField(name, f"{value!r} is neither true nor false", "write true or false")
    return value


def _read_mark(name: str, value: Any) -> int:
    mark = read_number(name, str(value), MOST_MARK)
    if mark == 0:
        raise BadField(name, "0 is what packets without a mark have", f"write 1 to {MOST_MARK:,}")
    return mark


def _read_to(name: str, value: Any) -> Target:
    return read_target(value) if isinstance(value, str) else value if isinstance(value, Target) else _no_target(value)


def _no_target(value: Any) -> Target:
    if type(value) is int:
        return Queue(value)
    raise BadField("to", f"{value!r} is no place to steer packets to", 'write "queue 3", "core 2", "drop" or "rss"')


_READERS: dict[str, Any] = {
    "src_mac": _read_mac,
    "dst_mac": _read_mac,
    "vlan": lambda name, value: read_number(name, str(value), 4095),
    "src": lambda name, value: read_network(name, str(value)),
    "dst": lambda name, value: read_network(name, str(value)),
    "proto": lambda name, value: read_protocol(name, str(value)),
    "sport": lambda name, value: value if isinstance(value, tuple) else read_ports(name, str(value)),
    "dport": lambda name, value: value if isinstance(value, tuple) else read_ports(name, str(value)),
    "flags": lambda name, value: value if isinstance(value, tuple) else read_flags(name, str(value)),
    "tunnel": _read_tunnel,
    "tunnel_id": lambda name, value: read_number(name, str(value), (1 << 32) - 1),
    "priority": lambda name, value: read_number(name, str(value), LOWEST_PRIORITY),
    "to": _read_to,
    "mark": _read_mark,
    "count": _read_count,
}


def _spelled(name: str, value: Any) -> str:
    if name.endswith("mac"):
        return mac_text(value)
    if name in ("sport", "dport"):
        low, high = value
        return str(low) if low == high else f"{low}-{high}"
    if name == "flags":
        wanted, among = ("".join(letter for letter, bit in FLAGS.items() if bits & bit) for bits in value)
        return f"{wanted}/{among}"
    return str(value)
