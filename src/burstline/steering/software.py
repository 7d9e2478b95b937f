"""Steering rules as a `SteeringTable` compares them: the software back end's half of the compiler."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from burstline.packet.flow_key import KEY_SIZE
from burstline.state.rule import BadField, Network
from burstline.state.steering_rules import Wildcard
from burstline.state.steering_words import (
    DST,
    DST_MAC,
    FLAGS_AT,
    GENEVE,
    GRE,
    GTPU,
    HAS_ID,
    HAS_PORTS,
    HAS_VLAN,
    IS_ETH,
    IS_TCP,
    IS_V4,
    IS_V6,
    KIND,
    MACS,
    PORTS,
    SRC,
    SRC_MAC,
    TAG,
    TUNNEL,
    VXLAN,
    Condition,
    Decision,
)
from burstline.steering.rule import SteeringRule
from burstline.steering.target import Cores, Drop, Queue

ALL = 0xFFFFFFFF
BIT_OF = {"vxlan": VXLAN, "geneve": GENEVE, "gtpu": GTPU, "gre": GRE}


def conditions_of(rule: SteeringRule) -> list[tuple[Condition, ...]]:
    """What a packet must have, word by word; of a protocol over either version of IP for each version."""
    value, mask = _kind(rule)
    others = [*_ethernet(rule), *_addresses(rule, SRC, rule.src), *_addresses(rule, DST, rule.dst), *_ports(rule)]
    if rule.tunnel_id is not None:
        others.append(_equal(TUNNEL, ALL, rule.tunnel_id))
    kinds = [(value, mask)]
    if rule.proto is not None and rule.version is None:
        kinds = [(value | bit, mask | bit) for bit in (IS_V4, IS_V6)]
    return [tuple([*([_equal(KIND, m, v)] if m else []), *others]) for v, m in kinds]


def _kind(rule: SteeringRule) -> tuple[int, int]:
    bits = IS_ETH if rule.src_mac is not None or rule.dst_mac is not None else 0
    bits |= HAS_VLAN if rule.vlan is not None else 0
    bits |= {4: IS_V4, 6: IS_V6, None: 0}[rule.version]
    bits |= HAS_PORTS if rule.sport or rule.dport else 0
    bits |= IS_TCP if rule.flags else 0
    bits |= (BIT_OF[rule.tunnel] if rule.tunnel else 0) | (HAS_ID if rule.tunnel_id is not None else 0)
    value = mask = bits
    if rule.proto is not None:
        value, mask = value | rule.proto, mask | 0xFF
    if rule.flags:
        value, mask = value | rule.flags[0] << FLAGS_AT, mask | rule.flags[1] << FLAGS_AT
    return value, mask


def _ethernet(rule: SteeringRule) -> list[Condition]:
    made = [_equal(TAG, 0xFFF, rule.vlan)] if rule.vlan is not None else []
    for mac, word, shift in ((rule.src_mac, SRC_MAC, 0), (rule.dst_mac, DST_MAC, 16)):
        if mac is not None:
            made += [_equal(word, ALL, mac & ALL), _equal(MACS, 0xFFFF << shift, mac >> 32 << shift)]
    return made


def _addresses(rule: SteeringRule, first: int, network: Network | None) -> list[Condition]:
    if network is None:
        return []
    value, mask = int(network.network_address), int(network.netmask)
    words = network.max_prefixlen // 32
    parts = [(mask >> 32 * k & ALL, value >> 32 * k & ALL) for k in reversed(range(words))]
    return [_equal(first + k, mask, value) for k, (mask, value) in enumerate(parts) if mask]


def _ports(rule: SteeringRule) -> list[Condition]:
    made = []
    for ports, shift in ((rule.sport, 0), (rule.dport, 16)):
        if ports is not None:
            low, high = ports
            made.append(Condition(PORTS, 0xFFFF << shift, low << shift, high - low << shift))
    return made


def _equal(word: int, mask: int, value: int) -> Condition:
    return Condition(word, mask, value, 0)


def key_of(rule: SteeringRule) -> bytes:
    """The flow key that an exact rule asks for (packet/flow_key.py)."""
    assert rule.src and rule.dst and rule.sport and rule.dport and rule.proto is not None
    head = bytes((rule.proto, rule.src.version))
    head += rule.sport[0].to_bytes(2, "little") + rule.dport[0].to_bytes(2, "little") + b"\0\0"
    return (head + rule.src.network_address.packed + rule.dst.network_address.packed).ljust(KEY_SIZE, b"\0")


def decision_of(rule: SteeringRule, queues: int, core_queue: Callable[[int], int], counter: int) -> Decision:
    """What a rule does on a port of so many queues, but for the place of its group; `core_queue` says which queue the
    worker of a core polls, and raises KeyError where there is none. Raises BadField."""
    mark, to = rule.mark or 0, rule.to
    if isinstance(to, Drop):
        return Decision(drop=True, mark=mark, counter=counter)
    if isinstance(to, Queue):
        if to.number >= queues:
            raise BadField("to", f"there is no queue {to.number}", f"there are {queues}, from 0 on: one a worker")
        return Decision(queue=to.number, mark=mark, counter=counter)
    if isinstance(to, Cores):
        found = queues_of(to, core_queue)
        if len(found) == 1:
            return Decision(queue=found[0], mark=mark, counter=counter)
    return Decision(mark=mark, counter=counter)


def queues_of(to: Cores, core_queue: Callable[[int], int]) -> list[int]:
    """The queues of cores. Raises BadField."""
    try:
        return [core_queue(core) for core in to.numbers]
    except KeyError as missing:
        raise BadField("to", f"no worker runs on core {missing}", "name cores of [engine] cores") from None


def wildcards_of(rule: SteeringRule, rank: int, decision: Decision) -> Sequence[Wildcard]:
    return [Wildcard(conditions, rank, decision) for conditions in conditions_of(rule)]
