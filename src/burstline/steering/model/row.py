"""The headers of a packet as one row of bytes at fixed places, and rules of rte_flow as what a row must be.

What `compare.py` says item by item, each pattern says here once for all packets: which bytes of the row, under a mask,
have which values. So rules with the same mask can be looked up by a hash of their values (Srinivasan, Suri and
Varghese, "Packet classification using tuple space search", SIGCOMM 1999).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

from burstline.steering.hardware.driver import HardwareDriver
from burstline.steering.hardware.items import LAYOUTS, MORE, Item, parts_of
from burstline.steering.model.compare import TRANSPORTS

# Places in a row. TAGS has bit k where the packet has more than k VLAN tags; the next three say what was found.
TAGS, IP_KIND, TRANSPORT_KIND, TUNNEL_KIND, PROTO, HAS_ETH = range(6)
ETH, VLAN, IP, TRANSPORT, TUNNEL = 8, 24, 40, 80, 100
SIZE = 112
MOST_TAGS = 4  # whose bytes are in a row
IPV4, IPV6 = 4, 6
TCP, UDP, SCTP, GRE = 1, 2, 4, 8
VXLAN, GENEVE, GTPU, GRE_KEY = 1, 2, 4, 8
IPS = {"IPV4": IPV4, "IPV6": IPV6}
TRANSPORT_BITS = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP, "GRE": GRE}
TUNNEL_BITS = {"VXLAN": VXLAN, "GENEVE": GENEVE, "GTPU": GTPU, "GRE_KEY": GRE_KEY}
PARENTS = {"VXLAN": "UDP", "GENEVE": "UDP", "GTPU": "UDP", "GRE_KEY": "GRE"}
WITH_PORTS = TCP | UDP | SCTP


@dataclass(frozen=True)
class Between:
    """Up to eight bytes of a row, as a big-endian number under a mask, are `least` to `most`."""

    offset: int
    width: int
    mask: int
    least: int
    most: int


@dataclass
class Row:
    """What a row must be: `value` under `mask`, and between numbers."""

    mask: bytearray = field(default_factory=lambda: bytearray(SIZE))
    value: bytearray = field(default_factory=lambda: bytearray(SIZE))
    between: list[Between] = field(default_factory=list)
    never: bool = False  # two conditions exclude each other

    def need(self, at: int, value: bytes, mask: bytes) -> None:
        for k, (byte, bits) in enumerate(zip(value, mask, strict=True), at):
            self.never |= bool((self.value[k] ^ byte) & self.mask[k] & bits)
            self.value[k] |= byte & bits
            self.mask[k] |= bits

    def need_byte(self, at: int, value: int, mask: int = 0xFF) -> None:
        self.need(at, bytes((value,)), bytes((mask,)))

    def need_header(self, item: Item, at: int, size: int) -> None:
        """The bytes of an item, laid over those of a header of `size` bytes."""
        if not item.spec:
            return
        if not item.last:
            used = min(size, len(item.spec))
            self.need(at, item.spec[:used], item.mask[:used])
            return
        for place in LAYOUTS[item.kind].fields.values():
            if place.offset + place.width > LAYOUTS[item.kind].wire:
                continue
            part = slice(place.offset, place.offset + place.width)
            least, most, mask = (int.from_bytes(d[part], "big") for d in (item.spec, item.last, item.mask))
            if least & mask == most & mask:
                self.need(at + place.offset, item.spec[part], item.mask[part])
            else:
                self.between.append(Between(at + place.offset, place.width, mask, least & mask, most & mask))


def rows_of(items: Sequence[Item], driver: HardwareDriver) -> list[Row]:
    """What a row must be, one way or another, to match these items; none where no packet matches them."""
    kinds = [item.kind for item in items]
    ip = next((item for item in items if item.kind in IPS), None)
    transport = next((item for item in items if item.kind in TRANSPORT_BITS), None)
    tunnel = next((item for item in items if item.kind in TUNNEL_BITS), None)
    tags = [item for item in items if item.kind == "VLAN"]
    # Items go side by side with headers: what leaves one out matches nothing.
    expected = ["ETH"] + ["VLAN"] * len(tags) + [each.kind for each in (ip, transport, tunnel) if each]
    broken = (transport and not ip) or (tunnel and not (transport and PARENTS[tunnel.kind] == transport.kind))
    if kinds != expected or broken:
        return []
    made = []
    for ip_kind, transport_kind in product(_ips(ip, driver), _transports(transport, driver)):
        row = Row()
        row.need_byte(HAS_ETH, 1)
        row.need_header(items[0], ETH, 14)
        _tags(row, tags, ip is not None, driver)
        if ip is not None:
            row.need_byte(IP_KIND, IPS[ip_kind])
            row.need_header(ip, IP, 20 if ip_kind == "IPV4" else 40)
            if driver.other_protocols and items[-1] is ip:
                row.need_byte(TRANSPORT_KIND, 0, WITH_PORTS)
        if ip is not None and transport is not None:
            row.need_byte(TRANSPORT_KIND, TRANSPORT_BITS[transport_kind])
            row.need_header(transport, TRANSPORT, LAYOUTS[transport_kind].wire)
            if driver.names_proto and transport.kind in TRANSPORTS:
                _proto(row, ip, driver)
        if tunnel is not None:
            row.need_byte(TUNNEL_KIND, TUNNEL_BITS[tunnel.kind])
            row.need_header(tunnel, TUNNEL, LAYOUTS[tunnel.kind].wire)
        made += [] if row.never else [row]
    return made


def _ips(item: Item | None, driver: HardwareDriver) -> Iterator[str]:
    yield from [""] if item is None else IPS if driver.ip_alike else [item.kind]


def _transports(item: Item | None, driver: HardwareDriver) -> Iterator[str]:
    alike = driver.names_proto and item is not None and item.kind in TRANSPORTS
    yield from TRANSPORTS if alike else [item.kind] if item else [""]


def _tags(row: Row, tags: Sequence[Item], to_ip: bool, driver: HardwareDriver) -> None:
    skips = driver.tagged_too
    for k, tag in enumerate(tags):
        row.need_byte(TAGS, 1 << k, 1 << k)
        row.need_header(tag, VLAN + 4 * k, 4)
        more = parts_of(tag).get(MORE)
        if more and more.mask:
            row.need_byte(TAGS, (2 << k) * bool(more.value), 2 << k)
            skips = skips or bool(more.value)
    if to_ip and not skips:
        row.need_byte(TAGS, 0, 1 << len(tags))


def _proto(row: Row, ip: Item, driver: HardwareDriver) -> None:
    wanted = parts_of(ip).get("proto")
    if wanted is not None and (wanted.mask or driver.items[ip.kind].get("proto") == "spec"):
        row.need_byte(PROTO, wanted.value)
