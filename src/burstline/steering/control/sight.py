"""What the controller sees of live ports: counts that only grow, read at each look, become the rates of a snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from burstline.state.toeplitz import toeplitz
from burstline.steering.back_end import Limits
from burstline.steering.control.flow_rule import backward, can_have_rule, coarse_key, hashed
from burstline.steering.control.in_force import Held, InForce
from burstline.steering.control.snapshot import Coarse, Core, Device, Failure, HeavyFlow, Snapshot

PLENTY = 1 << 20  # rules, where nobody knows how many there is room for
FLOOR = 0.0005  # of all packets: flows with less are not listed, unless a rule holds them
KNOWN = 4096  # flows whose buckets are kept
FULL = 0.9  # times the load of the fullest core: from here on what queues had no room for may have been theirs


@dataclass(frozen=True)
class Reading:
    """One look, at `time` in seconds. By core, since the start: packets, their bytes, seconds in which it was busy, and
    packets by bucket, int64 (cores, buckets). `missed` is what queues had no room for, in all. `flows` are heavy flows
    with packets/s by core, heaviest first; `counts` packets and bytes of rules that count, by handle."""

    time: float
    packets: Sequence[int]
    sizes: Sequence[int]
    busy: Sequence[float]
    missed: int
    by_bucket: Any
    flows: Sequence[tuple[bytes, Sequence[float]]] = ()
    counts: Mapping[int, tuple[int, int]] = field(default_factory=dict)


@dataclass
class _Flow:
    """Packets/s by bucket: those of one direction, or of both."""

    bucket: int
    parts: dict[int, float] = field(default_factory=dict)

    @property
    def packets(self) -> float:
        return sum(self.parts.values())


class Sight:
    """`key` is that of the hash. With `both_ways`, both directions of a flow are listed as one, by the lower of their
    keys and its bucket.

    Flows that come to a core to which neither their bucket nor a rule of the controller sends them, by a rule of the
    user or because the port hashes them otherwise, are not listed: their packets are `fixed`.
    """

    def __init__(self, key: bytes, *, both_ways: bool = False) -> None:
        self._key, self._both, self._size = key, both_ways, 1
        self._before: Reading | None = None
        self._before_last = 0.0
        self._since: dict[bytes, float] = {}  # when flows were reported first
        self._buckets: dict[bytes, int] = {}

    def see(self, now: Reading, there: InForce, limits: Limits, failures: Sequence[Failure] = ()) -> Snapshot | None:
        """None at the first look: rates are since the one before."""
        before, self._before = self._before, now
        if before is None or now.time <= before.time:
            return None
        step, self._before_last, self._size = now.time - before.time, before.time, now.by_bucket.shape[1]
        packets = (np.array(now.packets) - before.packets) / step
        busy = ((np.array(now.busy) - before.busy) / step).clip(0, 1)
        came = (now.by_bucket - before.by_bucket) / step
        at_home = came[np.array(there.reta), np.arange(len(there.reta))].astype(float)
        flows = self._flows(now, there, float(packets.sum()))
        size = float((np.array(now.sizes) - before.sizes).sum() / step / max(packets.sum(), 1e-9))
        pairs: dict[bytes, float] = {}
        for key, flow in flows.items():
            pairs[coarse_key(key)] = pairs.get(coarse_key(key), 0.0) + flow.packets
        listed = []
        for key, flow in flows.items():
            held, core = there.held.get(key), there.wanted(key).core
            hits, taken = _hits(held, now, before, round(flow.packets * step))
            rate = _rate(flow, held, hits / step)
            _move_home(at_home, flow, rate, core, there.reta)
            coarse = Coarse(coarse_key(key), max(pairs[coarse_key(key)], rate))
            listed.append(
                HeavyFlow(
                    key, flow.bucket, rate, taken / step if taken else rate * size,
                    there.reta[flow.bucket] if core is None else core, now.time - self._since.get(key, now.time),
                    held.wanted.level if held and core is not None else None, hits, coarse,
                )
            )  # fmt: skip
        missed = _missed((now.missed - before.missed) / step, packets, busy)
        cores = [Core(k, float(busy[k]), float(packets[k]), float(missed[k])) for k in range(len(packets))]
        return Snapshot(
            now.time, tuple(cores), tuple(there.reta), there.rss, tuple(at_home.tolist()), tuple(listed),
            self._device(limits), (), tuple(failures), _others(came, flows, there),
        )  # fmt: skip

    def _device(self, limits: Limits) -> Device:
        exact, wildcards = (PLENTY if room is None else room for room in (limits.exact, limits.wildcards))
        return Device(
            exact, wildcards, limits.reta_size > 0, False, limits.updates, 0.0, 2 if self._both else 1
        )  # fmt: skip

    def _flows(self, now: Reading, there: InForce, total: float) -> dict[bytes, _Flow]:
        """Flows that are reported and can be steered, and all that have a rule."""
        found: dict[bytes, _Flow] = {}
        for each, rates in now.flows:
            if sum(rates) < FLOOR * total or not can_have_rule(each):
                continue
            key, bucket = self._name(each), self._bucket(each)
            if key not in there.held and rates[there.reta[bucket]] < sum(rates) / 2:
                continue
            flow = found.setdefault(key, _Flow(self._bucket(key)))
            flow.parts[bucket] = flow.parts.get(bucket, 0.0) + sum(rates)
        last = self._before_last
        self._since = {key: self._since.get(key, last) for key in found}
        for key in there.held:
            found.setdefault(key, _Flow(self._bucket(key)))
        return found

    def _name(self, key: bytes) -> bytes:
        return min(key, backward(key)) if self._both else key

    def _bucket(self, key: bytes) -> int:
        if key not in self._buckets:
            if len(self._buckets) >= KNOWN:
                self._buckets.clear()
            self._buckets[key] = toeplitz(self._key, hashed(key)) & self._size - 1
        return self._buckets[key]


def _rate(flow: _Flow, held: Held | None, hits: float) -> float:
    """Packets/s that cores processed of it: what the sketch says, or the device where that knows more."""
    if held is None:
        return flow.packets
    if held.wanted.path == "bypass":
        return 0.0
    return max(flow.packets, hits) if held.wanted.level == "wildcard" or not flow.packets else flow.packets


def _move_home(at_home: Any, flow: _Flow, rate: float, core: int | None, reta: Sequence[int]) -> None:
    """All of the flow becomes part of its bucket, whichever way it goes."""
    for bucket, part in flow.parts.items():
        if core is None or core == reta[bucket]:  # it was counted there
            at_home[bucket] -= part
    at_home[flow.bucket] += rate


def _others(came: Any, flows: Mapping[bytes, _Flow], there: InForce) -> tuple[float, ...]:
    """Packets/s by core of those that neither their bucket nor a rule of the controller sent there."""
    rest = came.astype(float)
    rest[np.array(there.reta), np.arange(len(there.reta))] = 0
    for key in there.held:
        core = there.wanted(key).core
        for bucket in {flows[key].bucket, *flows[key].parts} if core is not None else ():
            rest[core, bucket] = 0
    return tuple(rest.sum(axis=1).tolist())


def _hits(held: Held | None, now: Reading, before: Reading, seen: int) -> tuple[int, int]:
    """Packets and bytes that the rules of a flow took; where they do not count, the packets that cores saw."""
    if held is None:
        return 0, 0
    if not any(handle in now.counts for handle in held.handles):
        return seen, 0
    counted = [(now.counts.get(h, (0, 0)), before.counts.get(h, (0, 0))) for h in held.handles]
    return sum(n[0] - b[0] for n, b in counted), sum(n[1] - b[1] for n, b in counted)


def _missed(rate: float, packets: Any, busy: Any) -> Any:
    """What queues had no room for, by core. Devices tell how many in all: they are taken to be of the fullest cores."""
    if rate <= 0 or busy.max() <= 0:
        return np.zeros(len(packets))
    part = np.where(busy >= FULL * busy.max(), packets, 0.0)
    return rate * part / max(float(part.sum()), 1e-9)
