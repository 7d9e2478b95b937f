"""A steering rule as patterns of rte_flow: together they match what the rule matches, each packet once.

A rule that names no address means IPv4 and IPv6, one without a VLAN tagged packets, too, and ports are those of TCP,
UDP and SCTP: it takes a pattern for each, times one for each value and mask that its ranges are made of. What a driver
lacks is an error that names the field.

No NIC sees what burstline's parser does. A packet beyond a driver's reach (reach.py), such as a fragment, may not match
a pattern though it matches the rule; one that matches a pattern always matches the rule.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from burstline.packet.machine import USUAL_PORTS, TunnelPorts
from burstline.state.rule import WITH_PORTS
from burstline.steering.back_end import CannotSteer
from burstline.steering.hardware.driver import HardwareDriver
from burstline.steering.hardware.fields import exactly, numbers, prefixed
from burstline.steering.hardware.items import MORE, RULE_FIELD, Item, Part, item, rule_field
from burstline.steering.rule import SteeringRule

BUDGET = 64  # rules of hardware for one
TRANSPORTS = {6: "TCP", 17: "UDP", 132: "SCTP"}
VERSIONS = {4: "IPV4", 6: "IPV6"}
TUNNEL_ID = {"vxlan": "vni", "geneve": "vni", "gtpu": "teid"}
AUTHENTICATION = 51  # RFC 4302
EXTENSIONS = frozenset({0, 43, 44, 51, 60, 135, 139, 140})  # of IPv6 (RFC 8200 section 4.1, IANA's registry)

Parts = dict[str, dict[str, Part]]  # by item, in their order


@dataclass(frozen=True)
class Pattern:
    """Items from the outermost on."""

    items: tuple[Item, ...]

    @property
    def has_vlan(self) -> bool:
        return any(one.kind == "VLAN" for one in self.items)


def patterns_of(
    rule: SteeringRule, driver: HardwareDriver, *, budget: int = BUDGET, ports: TunnelPorts = USUAL_PORTS
) -> list[Pattern]:
    """The patterns; `ports` are those that burstline finds tunnels at. Raises CannotSteer."""
    if not driver.rules:
        hint = "take the software director, or XDP on an interface of the kernel"
        raise CannotSteer("to", f"{driver.driver} has no rte_flow rules, as far as is known", hint)
    _check_tunnel_ports(rule, ports)
    heads = _links(rule, driver)
    tails = [tail for version in _versions(rule, driver) for tail in _networks(rule, driver, version, budget)]
    if len(heads) * len(tails) > budget:
        _over_budget(rule, driver, len(heads) * len(tails), budget)
    made = [Pattern(tuple(link + _items(tail))) for link in heads for tail in tails]
    for link, tail in itertools.product(heads, tails):
        _check_shape(rule, driver, [one.kind for one in link] + list(tail), tail)
    return made


# ---- Ethernet and tags ----


def _links(rule: SteeringRule, driver: HardwareDriver) -> list[list[Item]]:
    """The Ethernet item, with each number of tags that the rule means."""
    parts = {}
    for name, number in (("dst", rule.dst_mac), ("src", rule.src_mac)):
        if number is not None:
            parts[name] = exactly(driver, "ETH", name, number, 48)
    ethernet, over_ip = item("ETH", parts), bool(_asks_ip(rule))
    if rule.vlan is None:
        deepest = driver.tags if over_ip and not driver.tagged_too else 0
        return [[ethernet, *[Item("VLAN")] * tags] for tags in range(deepest + 1)]
    if not driver.tags:
        raise CannotSteer("vlan", f"{driver.driver} matches no VLAN tags", "leave vlan out, or match by software")
    tag = {"vid": exactly(driver, "VLAN", "vid", rule.vlan, 12)}
    if driver.more_vlan:
        return [[ethernet, item("VLAN", {**tag, MORE: Part(more, 1)})] for more in (0, 1)]
    deepest = driver.tags if over_ip else 1
    return [[ethernet, item("VLAN", tag), *[Item("VLAN")] * more] for more in range(deepest)]


# ---- IP and what it carries ----


def _asks_ip(rule: SteeringRule) -> str | None:
    """A field that only IP packets have, if there is one."""
    names = ("src", "dst", "proto", "sport", "dport", "flags", "tunnel")
    return next((name for name in names if getattr(rule, name) is not None), None)


def _versions(rule: SteeringRule, driver: HardwareDriver) -> list[int | None]:
    """The versions of IP that the rule means; None: it does not ask for IP."""
    field = _asks_ip(rule)
    if field is None:
        return [None]
    if rule.version is None and driver.ip_alike:
        return [4]
    wanted = [rule.version] if rule.version else [4, 6]
    for version in wanted:
        if not driver.can(VERSIONS[version]):
            known = next((v for v in VERSIONS if driver.can(VERSIONS[v])), None)
            anything = {4: "0.0.0.0/0", 6: "::/0"}
            hint = (
                f'write src = "{anything[known]}" for IPv{known} alone'
                if known and len(wanted) > 1
                else "match by software"
            )
            name = "src" if rule.src or rule.dst is None else "dst"
            raise CannotSteer(name, f"{driver.driver} matches no IPv{version}, which the rule means, too", hint)
    return list(wanted)


def _networks(rule: SteeringRule, driver: HardwareDriver, version: int | None, budget: int) -> list[Parts]:
    """All patterns from IP on, for one version of it."""
    if version is None:
        return [{}]
    kind = VERSIONS[version]
    sides = [
        [(name, part) for part in prefixed(driver, kind, name, network, budget)] if network else [None]
        for name, network in (("src", rule.src), ("dst", rule.dst))
    ]
    made = []
    for chosen in itertools.product(*sides):
        addresses = {name: part for name, part in filter(None, chosen) if part.mask}
        for proto, above in _transports(rule, driver, version, budget):
            made.append(_over_ip(driver, kind, addresses, proto, above))
    return made


def _over_ip(
    driver: HardwareDriver, kind: str, addresses: Mapping[str, Part], proto: int | None, above: Parts
) -> Parts:
    ip = dict(addresses)
    if proto is not None and (driver.names_proto or not {*TRANSPORTS.values(), "GRE"} & above.keys()):
        ip["proto"] = exactly(driver, kind, "proto", proto, 8)
    return {kind: ip, **above}


def _transports(
    rule: SteeringRule, driver: HardwareDriver, version: int, budget: int
) -> Iterable[tuple[int | None, Parts]]:
    """Protocols, each with the items behind IP that it takes."""
    if rule.tunnel == "gre":
        return [(47, above) for above in _gre(rule, driver)]
    asks_port = rule.sport is not None or rule.dport is not None
    made: list[tuple[int | None, Parts]] = []
    if rule.tunnel:
        protocols: tuple[int, ...] = (17,)
    elif rule.flags:
        protocols = (6,)
    elif rule.proto is not None:
        if rule.proto == AUTHENTICATION or (version == 6 and rule.proto in EXTENSIONS):
            what = f"protocol {rule.proto} may stand before another: NICs see the first and rules mean the last"
            raise CannotSteer("proto", what, "match it by software")
        protocols = (rule.proto,)
    elif asks_port:
        protocols = WITH_PORTS
    elif driver.other_protocols:
        protocols = WITH_PORTS
        made.append((None, {}))
    else:
        return [(None, {})]
    for proto in protocols:
        kind = TRANSPORTS.get(proto)
        if kind is None or (not driver.can(kind) and not asks_port and not rule.tunnel and not driver.other_protocols):
            made.append((proto, {}))
            continue
        if not driver.can(kind):
            known = " or ".join(TRANSPORTS[p].lower() for p in WITH_PORTS if driver.can(TRANSPORTS[p]))
            what = f"the rule means {kind}, too, and {driver.driver} has no item for it"
            raise CannotSteer("proto", what, f"write proto = {known}" if rule.proto is None else "match by software")
        made += [(proto, above) for above in _with_ports(rule, driver, kind, budget)]
    return made


def _with_ports(rule: SteeringRule, driver: HardwareDriver, kind: str, budget: int) -> list[Parts]:
    sides: list[list[tuple[str, Part] | None]] = []
    for name, ports in (("sport", rule.sport), ("dport", rule.dport)):
        if rule.tunnel and name == "dport":
            ports = _tunnel_port(rule, ports)
        found = numbers(driver, kind, name, ports, budget) if ports and ports != (0, 65535) else []
        sides.append([(name, part) for part in found] or [None])
    made = []
    for chosen in itertools.product(*sides):
        parts = dict(filter(None, chosen))
        if rule.flags:
            parts["flags"] = exactly(driver, kind, "flags", rule.flags[0], 8, rule.flags[1])
        made.append({kind: parts, **_tunnel(rule, driver)})
    return made


# ---- tunnels ----


def _tunnel_port(rule: SteeringRule, asked: tuple[int, int] | None) -> tuple[int, int]:
    port = getattr(USUAL_PORTS, rule.tunnel or "")[0]
    if asked and not asked[0] <= port <= asked[1]:
        what = f"hardware finds {rule.tunnel} at the destination port {port} alone, which the rule excludes"
        raise CannotSteer("dport", what, "leave dport out, or match by software")
    return port, port


def _tunnel(rule: SteeringRule, driver: HardwareDriver) -> Parts:
    """The item of a tunnel over UDP."""
    if rule.tunnel is None:
        return {}
    kind = rule.tunnel.upper()
    if not driver.can(kind):
        raise CannotSteer("tunnel", f"{driver.driver} matches no {rule.tunnel}", "match it by software")
    if rule.tunnel_id is None:
        return {kind: {}}
    name = TUNNEL_ID[rule.tunnel]
    return {kind: {name: exactly(driver, kind, name, rule.tunnel_id, 32 if name == "teid" else 24)}}


def _gre(rule: SteeringRule, driver: HardwareDriver) -> list[Parts]:
    if not driver.can("GRE"):
        raise CannotSteer("tunnel", f"{driver.driver} matches no gre", "match it by software")
    if rule.tunnel_id is None:
        return [{"GRE": {}}]
    if not driver.can("GRE_KEY") or not driver.can("GRE", "key_bit"):
        raise CannotSteer("tunnel_id", f"{driver.driver} matches no key of GRE", "leave it out, or match by software")
    key = exactly(driver, "GRE_KEY", "key", rule.tunnel_id, 32)
    return [{"GRE": {"key_bit": Part(0x2000, 0x2000)}, "GRE_KEY": {"key": key}}]


def _check_tunnel_ports(rule: SteeringRule, ports: TunnelPorts) -> None:
    if rule.tunnel and rule.tunnel != "gre" and getattr(ports, rule.tunnel) != getattr(USUAL_PORTS, rule.tunnel):
        usual = getattr(USUAL_PORTS, rule.tunnel)[0]
        what = f"[parser] finds {rule.tunnel} at other ports than {usual}, where hardware does"
        raise CannotSteer("tunnel", what, "match by software, or leave [parser] as it is")


# ---- what a driver refuses of patterns ----


def _items(tail: Parts) -> list[Item]:
    return [item(kind, parts) for kind, parts in tail.items()]


def _check_shape(rule: SteeringRule, driver: HardwareDriver, kinds: list[str], tail: Parts) -> None:
    for kind in kinds:
        if not driver.can(kind):
            raise CannotSteer(rule_field(kind), f"{driver.driver} has no item {kind}", "match by software")
    if driver.ends is not None and kinds[-1] not in driver.ends:
        last = RULE_FIELD.get(kinds[-1], "to")
        field = last if getattr(rule, last, None) is not None else "proto"
        what = f"a pattern of {driver.driver} cannot end with {kinds[-1]}"
        raise CannotSteer(field, what, f"ask for what follows it: {', '.join(sorted(driver.ends)).lower()}")
    given = {f"{kind}.{name}" for kind, parts in tail.items() for name, part in parts.items() if part.mask}
    for group in driver.together:
        missing = [each for each in group if each not in given]
        if group[0].partition(".")[0] in tail and missing:
            field = rule_field(*missing[0].split("."))
            raise CannotSteer(
                field, f"{driver.driver} matches {' and '.join(group)} together only", f"give {field}, too"
            )
    for kind in set(TRANSPORTS.values()) & tail.keys():
        if driver.needs_port and not {"sport", "dport"} & tail[kind].keys():
            field = "proto" if rule.proto is not None or not rule.flags else "flags"
            raise CannotSteer(field, f"{driver.driver} matches {kind} with a port only", "give sport or dport")
    fields = any(parts for parts in tail.values())
    if driver.needs_field and not fields:
        field = next(iter(rule.matched()), "to")
        what = f"{driver.driver} refuses a pattern that compares nothing ({' / '.join(kinds).lower()})"
        raise CannotSteer(field, what, "give an address or a port")


def _over_budget(rule: SteeringRule, driver: HardwareDriver, takes: int, budget: int) -> None:
    ranged = [n for n in ("sport", "dport") if (r := getattr(rule, n)) and r[0] != r[1] and r != (0, 65535)]
    field = ranged[0] if ranged else next(iter(rule.matched()), "to")
    what = f"the rule takes {takes:,} rules of {driver.driver}, more than {budget:,}"
    hint = (
        "make its ranges smaller, or of whole powers of two"
        if ranged
        else "name the protocol, and addresses of one version"
    )
    raise CannotSteer(field, what, f"{hint}; the software director takes it as it is")
