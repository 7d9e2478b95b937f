"""`NicModel`: a NIC in software, as DPDK shows one: rules, RSS and RETA, with the limits and faults of real ones."""

from __future__ import annotations

import errno
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from burstline.dpdk.flow_refused import FlowRefused
from burstline.errors import UsageError
from burstline.state.toeplitz import DEFAULT_KEY
from burstline.steering.hardware.driver import HardwareDriver, find
from burstline.steering.hardware.flow_device import FlowRule
from burstline.steering.hardware.items import Item, parts_of
from burstline.steering.model.checks import check
from burstline.steering.model.compare import matched
from burstline.steering.model.faults import NO_FAULTS, Faults
from burstline.steering.model.headers import headers
from burstline.steering.model.rss import rss_input, toeplitz
from burstline.steering.model.table import PORTS_HASHED, Decision, Entry, HeldRule, Table

LEAST_KEY = 40


class NicModel:
    """A device of `queues` queues, with the rules that a driver can do, and `reta_size` buckets. `clock` tells seconds,
    and `wait` passes them while calls take time; tests give their own. Raises UsageError.

    What was told and is in force are two: `table` is what is in force now. `classify` decides over a packet by it,
    and counts; it is plain Python and says what all else must agree with. Any thread may call; `data_plane.py` follows
    it in compiled code.
    """

    def __init__(
        self,
        driver: str | HardwareDriver = "model",
        *,
        queues: int = 4,
        reta_size: int = 128,
        key: bytes = DEFAULT_KEY,
        faults: Faults = NO_FAULTS,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.personality = find(driver) if isinstance(driver, str) else driver
        self.queues, self.reta_size, self.key_size = queues, reta_size, len(key)
        if queues < 1 or reta_size & reta_size - 1 or len(key) < LEAST_KEY:
            hint = f"give at least one queue, a power of two of buckets, and a key of {LEAST_KEY} bytes or more"
            raise UsageError(f"no NIC has {queues} queues, {reta_size} buckets and a key of {len(key)} bytes", hint)
        self.faults = faults
        self._clock, self._wait = clock, wait
        self._lock = threading.RLock()
        self._followers: list[Callable[[], object]] = []
        self._rules: dict[int, HeldRule] = {}  # as the driver knows them
        self._there: dict[int, FlowRule] = {}  # those, and those whose destruction was lost
        self._places: Counter[object] = Counter()  # what they take of what is there once
        self._handles = itertools.count(1)
        self._calls = {name: itertools.count() for name in ("create", "destroy", "reta")}
        self._entries: dict[int, HeldRule] = {}  # as the hardware has them
        self._told_reta = [bucket % queues for bucket in range(reta_size)]
        self._reta, self._key, self._hashed, self._isolated = list(self._told_reta), key, PORTS_HASHED, False
        self._pending: list[tuple[float, Callable[[], None]]] = []
        self._reta_busy = float("-inf")  # until then buckets are still to change
        self._closed_until = float("-inf")  # no rule is in force before
        self._version = 0
        self._table: Table | None = None

    @property
    def driver(self) -> str:
        return self.personality.driver

    # ---- what a port of DPDK offers ----

    def validate(self, rule: FlowRule) -> None:
        """As rte_flow_validate: it promises nothing. Raises FlowRefused."""
        if not self.faults.validates_all:
            check(rule, self.personality, self.queues, "rte_flow_validate")

    def create(self, rule: FlowRule) -> int:
        number = next(self._calls["create"])
        self._wait_for(self.faults.duration)
        with self._changing():
            if number in self.faults.refused_creates:
                raise FlowRefused("rte_flow_create", self.faults.refused_creates[number])
            check(rule, self.personality, self.queues, "rte_flow_create")
            self._check_table(rule)
            handle, held = next(self._handles), HeldRule(rule)
            self._rules[handle], self._there[handle] = held, rule
            self._places.update(_places(rule))
            if number not in self.faults.silent_creates:
                self._later(lambda: self._entries.__setitem__(handle, held), changes_rules=True)
        return handle

    def destroy(self, handle: int) -> None:
        number = next(self._calls["destroy"])
        self._wait_for(self.faults.duration)
        with self._changing():
            if handle not in self._rules:
                raise FlowRefused("rte_flow_destroy", errno.ENOENT, "handle")
            if number in self.faults.refused_destroys:
                raise FlowRefused("rte_flow_destroy", self.faults.refused_destroys[number])
            if number not in self.faults.lost_destroys:
                self._later(lambda: self._entries.pop(handle, None), changes_rules=True)
                self._places.subtract(_places(self._there.pop(handle)))
            del self._rules[handle]

    def flush(self) -> None:
        """All rules go, also those whose destruction was lost."""
        with self._changing():
            for held in (self._rules, self._there, self._places):
                held.clear()
            self._later(self._entries.clear, changes_rules=True)

    def query(self, handle: int) -> tuple[int, int]:
        held = self._rules.get(handle)
        if held is None or held.counter is None:
            raise FlowRefused("rte_flow_query", errno.EINVAL, "action", "the rule has no counter")
        octets = held.counter.get("bytes") if self.personality.counts_bytes else 0
        return held.counter.get("packets"), octets

    def isolate(self, on: bool) -> None:
        if not self.personality.isolates:
            raise FlowRefused("rte_flow_isolate", errno.ENOSYS)
        with self._changing():
            self._later(lambda: setattr(self, "_isolated", on))

    def reta(self) -> list[int]:
        return list(self._told_reta)

    def update_reta(self, entries: Mapping[int, int]) -> None:
        number = next(self._calls["reta"])
        self._wait_for(self.faults.duration)
        with self._changing():
            if number in self.faults.refused_retas or not all(
                0 <= bucket < self.reta_size and 0 <= queue < self.queues for bucket, queue in entries.items()
            ):
                raise FlowRefused("rte_eth_dev_rss_reta_update", self.faults.refused_retas.get(number, errno.EINVAL))
            start = max(self._clock() + self.faults.latency, self._reta_busy)  # one update after the other
            for place, (bucket, queue) in enumerate(entries.items()):
                self._told_reta[bucket] = queue
                self._reta_busy = start + place * self.faults.apart
                self._later(partial(self._reta.__setitem__, bucket, queue), due=self._reta_busy)

    @property
    def key(self) -> bytes:
        """Of the hash, as it is in force."""
        with self._lock:
            return self._key

    def set_key(self, key: bytes) -> None:
        """Of the NIC's length alone."""
        if len(key) != self.key_size:
            raise FlowRefused("rte_eth_dev_rss_hash_update", errno.EINVAL, said=f"the key has {self.key_size} bytes")
        with self._changing():
            self._later(lambda: setattr(self, "_key", key))

    def hash_ports(self, protocols: Iterable[str]) -> None:
        """The protocols, of TCP, UDP and SCTP, whose ports are part of the hash, as rss_hf says it to DPDK: of the
        others addresses alone are."""
        wanted = frozenset(protocols)
        if not wanted <= PORTS_HASHED:
            names = ", ".join(sorted(wanted - PORTS_HASHED))
            raise FlowRefused("rte_eth_dev_rss_hash_update", errno.EINVAL, said=f"there are no ports of {names}")
        with self._changing():
            self._later(lambda: setattr(self, "_hashed", wanted))

    # ---- what the hardware does ----

    def follow(self, follower: Callable[[], object]) -> None:
        """Have it called after each call that changes something, in the thread that calls."""
        self._followers.append(follower)

    def next_change(self) -> float | None:
        """Seconds until what is in force is another without a further call; None where nothing is to come."""
        with self._lock:
            now = self._clock()
            to_come = [when for when, _ in self._pending]
            to_come += [self._closed_until] if self._closed_until > now else []
            return min((max(when - now, 0.0) for when in to_come), default=None)

    def table(self) -> Table:
        """What is in force now."""
        with self._lock:
            self._settle()
            closed = self._clock() < self._closed_until
            if self._table is None or bool(self._table.entries) != (bool(self._entries) and not closed):
                self._version += 1
                entries = () if closed else self._in_order()
                hashing = (tuple(self._reta), self._key, self._hashed)
                self._table = Table(self._version, entries, *hashing, self._isolated)
            return self._table

    def classify(self, packet: bytes) -> Decision:
        """What becomes of a packet now; rules that match it count it."""
        table = self.table()
        found = headers(packet, self.personality.tpids)
        number = toeplitz(table.key, rss_input(found, table.hashed))
        by_hash = table.reta[number & self.reta_size - 1] if self.reta_size else 0
        for entry in table.entries:
            if matched(entry.items, found, self.personality):
                entry.held.count(len(packet))
                return self._decided(entry, number, by_hash)
        return Decision(None if table.isolated else by_hash, hash=number)

    def _decided(self, entry: Entry, number: int, by_hash: int) -> Decision:
        actions = {action.kind: action for action in entry.actions}
        mark = actions["MARK"].number if "MARK" in actions else None
        queue: int | None = by_hash
        if "QUEUE" in actions:
            queue = actions["QUEUE"].number
        elif "RSS" in actions:
            queue = actions["RSS"].queues[number % len(actions["RSS"].queues)]
        elif "DROP" in actions:
            queue = None
        return Decision(queue, mark, entry.handle, number)

    def _in_order(self) -> tuple[Entry, ...]:
        sign = 1 if self.personality.rising else -1
        by_priority = sorted(self._entries.items(), key=lambda each: (sign * each[1].rule.priority, each[0]))
        return tuple(Entry(handle, held.rule.items, held.rule.actions, held) for handle, held in by_priority)

    def _check_table(self, rule: FlowRule) -> None:
        """What depends on the rules that there are."""
        personality, call = self.personality, "rte_flow_create"
        capacity = personality.capacity or None if self.faults.capacity is None else self.faults.capacity
        if capacity is not None and len(self._there) >= capacity:
            raise FlowRefused(call, errno.ENOSPC)
        if not self.faults.takes_duplicates and self._places[rule.items, rule.priority] > 0:
            raise FlowRefused(call, errno.EEXIST)
        if personality.vlan_levels and self._places[rule.priority, not _has_vlan(rule.items)] > 0:
            raise FlowRefused(call, errno.EEXIST, "handle", "overlapping rules")
        if personality.one_mask and any(not self._same_masks(rule, other) for other in self._there.values()):
            raise FlowRefused(call, errno.EINVAL, "item", "Conflict with the first rule's input set", 0)

    def _same_masks(self, one: FlowRule, other: FlowRule) -> bool:
        if self.personality.one_mask == "shape" and [i.kind for i in one.items] != [i.kind for i in other.items]:
            return True
        return _masks(one.items) == _masks(other.items)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            yield
        for follower in self._followers:
            follower()

    def _later(self, change: Callable[[], object], *, due: float | None = None, changes_rules: bool = False) -> None:
        """After the latency, or when it is due; the window begins then."""
        when = self._clock() + self.faults.latency if due is None else due

        def make() -> None:
            change()
            if changes_rules:
                self._closed_until = max(self._closed_until, when + self.faults.window)

        self._pending.append((when, make))
        self._settle()

    def _settle(self) -> None:
        """Make the changes that are due."""
        now = self._clock()
        due = [change for when, change in self._pending if when <= now]
        if due:
            self._pending = [(when, change) for when, change in self._pending if when > now]
            for change in due:
                change()
            self._table = None

    def _wait_for(self, seconds: float) -> None:
        if seconds:
            self._wait(seconds)


def _places(rule: FlowRule) -> list[object]:
    return [(rule.items, rule.priority), (rule.priority, _has_vlan(rule.items))]


def _has_vlan(items: Sequence[Item]) -> bool:
    return any(item.kind == "VLAN" for item in items)


def _masks(items: Sequence[Item]) -> dict[str, int]:
    return {name: part.mask for item in items for name, part in parts_of(item).items()}
