"""The compiled `SteeringTable`: the queue of each packet of a burst, worked out sixteen packets at a time."""

from __future__ import annotations

from typing import Any

from burstline.native.memory import (
    load16,
    load32,
    load64,
    load_acquire,
    select,
    shift_right,
    store32,
    store64,
    swap16,
    swap32,
)
from burstline.native.struct_type import reference
from burstline.packet.burst import BurstColumns
from burstline.packet.fields import PRESENT
from burstline.simd import maximum, u32x16
from burstline.simd import select as choose
from burstline.simd.memory import load_vector, scratch, store_vector, trailing_zeros
from burstline.state.exact_rules import DECISION_AT, RANK_AT
from burstline.state.exact_rules_kernel import fetch_rule, find_rule
from burstline.state.published_kernel import used_tables
from burstline.state.rule_set_kernel import zeros
from burstline.state.steering_rules import CONDITION_SIZE, WILDCARD, SteeringTables
from burstline.state.steering_table import COUNTER_SIZE, SteeringHead
from burstline.state.steering_words import (
    COUNTER_AT,
    DROP,
    DST,
    DST_MAC,
    FLAGS_AT,
    GRE_BEFORE_KEY,
    GRE_KEY,
    GROUP,
    HAS_ID,
    KIND,
    MACS,
    MARK_AT,
    MARK_BITS,
    PORTS,
    PRESENT_BITS,
    QUEUE,
    SRC,
    SRC_MAC,
    TAG,
    TUNNEL,
)
from burstline.state.toeplitz_kernel import WITH_PORTS, hash_packets

LANES, LINE = 16, 64
ETH, VLAN, IPV4, IPV6, TCP = (PRESENT[name] for name in ("eth", "vlan", "ipv4", "ipv6", "tcp"))
VXLAN_LIKE, GTPU_BIT, GRE_BIT = PRESENT["vxlan"] | PRESENT["geneve"], PRESENT["gtpu"], PRESENT["gre"]
MARKS = (1 << MARK_BITS) - 1
NOWHERE = 0xFFFFFFFF
head_at, tables_at = reference(SteeringHead), reference(SteeringTables)
TABLES, READING = SteeringHead.layout.offset("tables"), SteeringHead.layout.offset("reading")


def kind_of(burst: BurstColumns, i: int) -> int:
    """The word KIND, without HAS_ID of GRE."""
    present = burst.present[i]
    found = 0
    for bit, bits in PRESENT_BITS:
        found |= select(present & bit != 0, bits, 0)
    found |= select(present & (IPV4 | IPV6) != 0, burst.proto[i] & 0xFF, 0)
    flags = load16(select(present & TCP != 0, burst.data[i] + burst.l4[i] + 12, zeros()))
    return found | (flags >> 8) << FLAGS_AT


def tunnel_of(burst: BurstColumns, i: int) -> int:
    """The tunnel's id; of GRE with HAS_ID above its 32 bits, where there is one."""
    present, l4 = burst.present[i], burst.data[i] + burst.l4[i]
    if present & VXLAN_LIKE:
        return swap32(load32(l4 + 12)) >> 8
    if present & GTPU_BIT:
        return swap32(load32(l4 + 12))
    if present & GRE_BIT:
        flags = swap16(load16(l4))
        at = l4 + select(flags & GRE_BEFORE_KEY != 0, 8, 4)
        if flags & GRE_KEY and at + 4 <= burst.data[i] + burst.captured[i]:
            return swap32(load32(at)) | HAS_ID << 32
    return 0


def collect_kind(burst: BurstColumns, i: int, place: int, used: int) -> None:
    word = kind_of(burst, i)
    if used & (1 << TUNNEL):
        found = tunnel_of(burst, i)
        store32(place + LINE * TUNNEL, found)
        word |= shift_right(found, 32)
    store32(place + LINE * KIND, word)


def collect_ports(burst: BurstColumns, i: int, place: int) -> None:
    ports = load32(select(burst.present[i] & WITH_PORTS != 0, burst.data[i] + burst.l4[i], zeros()))
    store32(place + LINE * PORTS, (ports & 0x00FF00FF) << 8 | ports >> 8 & 0x00FF00FF)


def collect_ethernet(burst: BurstColumns, i: int, place: int) -> None:
    present = burst.present[i]
    data = select(present & ETH != 0, burst.data[i], zeros())
    source, target = swap32(load32(data + 8)), swap32(load32(data + 2))
    store32(place + LINE * SRC_MAC, source)
    store32(place + LINE * DST_MAC, target)
    store32(place + LINE * MACS, swap16(load16(data + 6)) | swap16(load16(data)) << 16)
    tag = load16(select(present & VLAN != 0, burst.data[i] + 14, zeros()))
    store32(place + LINE * TAG, swap16(tag) & 0xFFF)


def collect_addresses(burst: BurstColumns, i: int, place: int) -> None:
    present, header = burst.present[i], burst.data[i] + burst.l3[i]
    six = select(present & IPV6 != 0, header + 8, zeros())
    four = load64(select(present & IPV4 != 0, header + 12, zeros()))
    store32(place + LINE * SRC, swap32(load32(six) | four & 0xFFFFFFFF))
    store32(place + LINE * DST, swap32(load32(six + 16) | shift_right(four, 32)))
    for word in range(1, 4):
        store32(place + LINE * (SRC + word), swap32(load32(six + 4 * word)))
        store32(place + LINE * (DST + word), swap32(load32(six + 16 + 4 * word)))


def collect(burst: BurstColumns, i: int, place: int, used: int) -> None:
    """The words of a packet that rules look at, each in a line of its own behind `place`."""
    collect_kind(burst, i, place, used)
    if used & (1 << PORTS):
        collect_ports(burst, i, place)
    if used & (1 << TAG | 1 << DST_MAC | 1 << SRC_MAC | 1 << MACS):
        collect_ethernet(burst, i, place)
    if used & (0xFF << SRC):
        collect_addresses(burst, i, place)


def compare(rules: SteeringTables, room: int) -> Any:
    """Of sixteen packets, the number of the first wildcard that each matches, counted from the end and from 1; 0
    where there is none."""
    found: Any = u32x16(0)
    for k in range(rules.count):
        at = rules.wildcards + WILDCARD * k
        condition = rules.conditions + CONDITION_SIZE * load32(at)
        beyond: Any = u32x16(0)
        for _ in range(load32(at + 4)):
            words: Any = load_vector(u32x16, room + LINE * load32(condition))
            over = (words & load32(condition + 4)) - load32(condition + 8)
            # What is over by more than it may.
            more: Any = u32x16(load32(condition + 12))
            beyond = beyond | (maximum(over, more) ^ more)
            condition += CONDITION_SIZE
        found = choose(beyond == 0, u32x16(k + 1), found)
    return found


def decide_wildcards(burst: BurstColumns, rules: SteeringTables, count: int, own: int, decided: int) -> None:
    """Write the place of each packet's wildcard, or 0."""
    room, found_at = scratch(), scratch()
    for first in range(0, count, LANES):
        for k in range(LANES):
            at = min(first + k, count - 1)
            collect(burst, load16(own + 8 + 2 * at) if own != 0 else at, room + 4 * k, rules.used)
        found: Any = compare(rules, room)
        store_vector(found_at, found)
        hits = (found != 0).bits() & ((1 << min(LANES, count - first)) - 1)
        while hits != 0:
            k = trailing_zeros(hits)
            hits &= hits - 1
            number = load32(found_at + 4 * k) - 1
            i = load16(own + 8 + 2 * (first + k)) if own != 0 else first + k
            store64(decided + 8 * i, rules.wildcards + WILDCARD * number)


def decide_exact(burst: BurstColumns, rules: SteeringTables, count: int, own: int, decided: int) -> None:
    """Write the decision of each packet that a rule decides, and nothing of the others."""
    for at in range(count):
        i = load16(own + 8 + 2 * at) if own != 0 else at
        fetch_rule(rules.slots, rules.mask, burst.hash[i])
    for at in range(count):
        i = load16(own + 8 + 2 * at) if own != 0 else at
        if burst.present[i] & WITH_PORTS != 0:
            slot = find_rule(rules.slots, rules.mask, burst.key[i], burst.hash[i])
            if slot != 0:
                other = load64(decided + 8 * i)
                if other == 0 or load64(slot + RANK_AT) < load64(other + 8):
                    store64(decided + 8 * i, slot + DECISION_AT - 16)


def place_packet(head: SteeringHead, rules: SteeringTables, burst: BurstColumns, i: int, found: int) -> None:
    """What the rule at `found` decides over a packet."""
    decision, queue = load64(found + 16), load32(head.results + 4 * i)
    place = decision & 0xFFFF
    if decision & DROP:
        queue = NOWHERE
    elif decision & QUEUE:
        queue = place
    elif decision & GROUP:
        group = rules.groups + 2 * place
        queue = load16(group + 2 + 2 * (load32(head.hashes + 4 * i) * load16(group) >> 32))
    store32(head.results + 4 * i, queue)
    store32(head.marks + 4 * i, decision >> MARK_AT & MARKS)
    counter = shift_right(decision, COUNTER_AT)
    if counter != 0:
        at = head.counters + COUNTER_SIZE * counter
        store64(at, load64(at) + 1)
        store64(at + 8, load64(at + 8) + burst.length[i])


def steer_packets(head_address: int, burst: BurstColumns, count: int, own: int) -> int:
    """Write queue and mark of each packet of a burst to the worker's results. `own` is the worker's list, or 0."""
    head = head_at(head_address)
    if count == 0 or burst.port[load16(own + 8) if own != 0 else 0] >= head.ports:
        return 0  # a burst is of one port where this matters
    rules = tables_at(used_tables(head_address + TABLES, head_address + READING))
    hash_packets(head.toeplitz, burst, count, own)
    results, hashes, decided = head.results, head.hashes, head.decided
    exact, wild = load_acquire(rules.exact) != 0, rules.count != 0
    for at in range(count):
        i = load16(own + 8 + 2 * at) if own != 0 else at
        store32(results + 4 * i, load16(head.reta + 2 * (load32(hashes + 4 * i) & head.bucket_mask)))
        store32(head.marks + 4 * i, 0)
        store64(decided + 8 * i, 0)
    if wild:
        decide_wildcards(burst, rules, count, own, decided)
    if exact:
        decide_exact(burst, rules, count, own, decided)
    if wild or exact:
        for at in range(count):
            i = load16(own + 8 + 2 * at) if own != 0 else at
            found = load64(decided + 8 * i)
            if found != 0:
                place_packet(head, rules, burst, i, found)
    return 0
