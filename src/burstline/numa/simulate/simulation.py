"""Runs a policy over traffic on a machine: the same policy that runs beside live ports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from burstline.native.kernel import Kernel
from burstline.numa.balance.actions import Action, MoveGroup, Park
from burstline.numa.balance.places import RECORD_WORK
from burstline.numa.balance.seen import Floats, Ints, Seen, Worker
from burstline.numa.simulate.events import BINS, BURST, GAPS, SLOTS, Events, SimulatedWorker
from burstline.numa.simulate.machine import SimulatedMachine
from burstline.numa.simulate.outcome import Outcome
from burstline.numa.simulate.policies import Policy
from burstline.numa.simulate.traffic import Traffic
from burstline.state.region import Block

TICKS = 5  # in a look: how often traffic on links is looked at
_run = Kernel("burstline.numa.simulate.events_kernel:run", Events)


@dataclass(frozen=True)
class Timing:
    """Seconds: `look` from one snapshot to the next; `held` for which packets of groups that move wait, `busy` until
    the next ones can (docs/numa-balance.md has what was measured)."""

    look: float = 0.01
    held: float = 0.005
    busy: float = 0.008


class Simulation:
    """One run; `outcome` fills as it goes. `buckets` are those of each port's RETA, `depth` the descriptors of a queue,
    both powers of two."""

    def __init__(
        self,
        machine: SimulatedMachine,
        traffic: Traffic,
        policy: Policy,
        *,
        buckets: int = 128,
        depth: int = 1024,
        timing: Timing | None = None,
        seed: int = 0,
    ) -> None:
        self.machine, self.traffic, self.policy = machine, traffic, policy
        self.timing, self.depth = timing or Timing(), depth
        workers, flows = machine.workers, traffic.flows
        self.group = traffic.ports * buckets + (traffic.hashes & (buckets - 1))
        self.groups = buckets * len(machine.ports)
        self.at = np.arange(self.groups, dtype=np.int64) % buckets % workers  # as drivers set a RETA up
        self.where = self.at[self.group]
        self.parked = np.zeros(workers, dtype=bool)
        self.outcome = Outcome(policy.name, traffic.name, machine.topology.name, self.timing.look)
        self._records: Floats = np.bincount(self.group, minlength=self.groups).astype(np.float64) * traffic.each
        self._memory = policy.start()
        self._cold, self._moving = np.zeros(flows), np.zeros(flows, dtype=np.int64)
        self._counts = np.zeros(flows, dtype=np.int64)
        self._service = np.zeros((workers, len(machine.ports)))
        self._departures = np.zeros((workers, depth))
        self._held_times, self._held_flows = np.zeros(2048 * workers), np.zeros(2048 * workers, dtype=np.int64)
        self._waits = np.zeros(BINS, dtype=np.int64)
        self._workers = np.zeros((workers, SimulatedWorker.layout.size // 8), dtype=np.int64)
        self._gaps = -np.log1p(-(np.arange(GAPS) + 0.5) / GAPS)
        self._slots = np.zeros(SLOTS, dtype=np.int32)
        self._events = Block(Events.layout)
        self._use: Floats | None = None
        self._until = 0.0  # that rates hold
        self._blocked = 0.0  # no move begins before
        self._begin(seed)

    def run(self, seconds: float | None = None) -> Outcome:
        """All of it, or so many seconds of it."""
        looks = max(1, round((self.traffic.seconds if seconds is None else seconds) / self.timing.look))
        for number in range(looks):
            self.look(number)
        return self.outcome

    def look(self, number: int) -> None:
        """One look's packets, and what the policy says then."""
        look, begins = self.timing.look, number * self.timing.look
        before, counts, came = self._totals(begins), self._counts.copy(), 0
        held, waits = self._events.get("held_count"), self._waits.copy()
        rates = np.zeros_like(self._service)
        for tick in range(1, TICKS + 1):
            came += self._tick(begins + look * tick / TICKS, rates)
            rates = self._rates(counts, look * tick / TICKS)
        end = begins + look
        after = self._totals(end)
        self.seen = seen = self._seen(end, before, after, self._counts - counts)
        self.outcome.times.append(end)
        self.outcome.busy.append(np.array([worker.busy for worker in seen.workers]))
        self.outcome.offered.append(rates.sum(axis=1))
        self.outcome.parked.append(int(self.parked.sum()))
        self.outcome.waits.append(self._waits - waits)
        self.outcome.came.append(came)
        self.outcome.handled.append(int((after["accepted"] - before["accepted"]).sum()))
        self.outcome.dropped.append(int((after["dropped"] - before["dropped"]).sum()))
        self.outcome.held.append(self._events.get("held_count") - held)
        self.outcome.moved.append(0)
        if end >= self._blocked - 1e-9:
            self._memory, actions = self.policy.decide(self._memory, seen)
            self.take(actions, end)

    def take(self, actions: Sequence[Action], time: float) -> None:
        """Begin to carry out what a policy says."""
        moves = [action for action in actions if isinstance(action, MoveGroup)]
        self.outcome.log += [(time, action) for action in actions]
        for action in actions:
            if not isinstance(action, MoveGroup):
                self.parked[action.worker] = isinstance(action, Park)
        if not moves:
            return
        self.outcome.moved[-1] += len(moves)
        self._moving[:] = 0
        works = np.zeros(self.machine.workers)
        for move in moves:
            flows = np.flatnonzero(self.group == move.group)
            records = float(self._records[move.group])
            works[[self.at[move.group], move.worker]] += RECORD_WORK / 2 * records
            # At its new worker each record is read from where it was.
            self._cold[flows] = self._handover[self.at[move.group], move.worker] * self.traffic.each - (
                RECORD_WORK * self.traffic.each
            )
            self._moving[flows] = 1
            self.at[move.group] = move.worker
        self.where[:] = self.at[self.group]
        free = self._column("free")
        free[:] = np.maximum(free, time * 1e9) + works
        self._column("busy")[:] += works
        self._events_set(held_until=(time + self.timing.held) * 1e9)
        self._blocked = time + self.timing.busy

    def _begin(self, seed: int) -> None:
        self._handover = self.machine.places([0] * self.groups).handover
        work, replay = self.machine.work, self.traffic.replay
        self._homes = self.traffic.ports.astype(np.int64)
        at = {
            "gaps": self._gaps, "slots": self._slots, "where": self.where, "homes": self._homes, "cold": self._cold,
            "counts": self._counts, "moving": self._moving, "workers": self._workers, "service": self._service,
            "departures": self._departures, "held_times": self._held_times, "held_flows": self._held_flows,
            "waits": self._waits,
        }  # fmt: skip
        if replay is not None:
            at |= {"replay": replay.times, "replayed": replay.flows}
        self._kept = at  # what the kernel has the addresses of
        self._events.set(
            **{name: array.ctypes.data for name, array in at.items()},
            random=0x9E3779B97F4A7C15 - (1 << 63) ^ (seed * 0x2545F491 + 1), columns=len(self.machine.ports),
            last_gap=GAPS - 1, last_slot=SLOTS - 1, burst=BURST, depth=self.depth, held_most=len(self._held_times),
            replay_count=len(replay.times) if replay else 0, goes_on=round(65536 * (1 - 1 / self.traffic.train)),
        )  # fmt: skip
        self._events_set(
            spacing=self.machine.work.size * 8 / 100, overhead=work.poll_ns, poll=work.empty_ns, jitter=0.5
        )
        if replay is not None:
            self._events_set(next=float(replay.times[0]))
            self._events.set(flow=int(replay.flows[0]), replay_at=1)

    def _tick(self, until: float, rates: Floats) -> int:
        """Packets until then, at the costs that follow from the rates before. Returns how many came."""
        flows = np.bincount(self.where, minlength=self.machine.workers).astype(np.float64) * self.traffic.each
        self._service[:], self._use = self.machine.service(rates, flows, self._use)
        packets, now = 0, self._events_get("time") / 1e9
        while now < until - 1e-12:
            end = until
            if self.traffic.replay is None:
                if now >= self._until - 1e-12:
                    self._draw_from(now)
                end = min(until, self._until)
            self._events_set(until=end * 1e9)
            packets += _run(self._events.address)
            now = end
        return packets

    def _draw_from(self, now: float) -> None:
        """Which flow a packet is of from now on."""
        rates, self._until = self.traffic.rates(now)
        total = float(rates.sum())
        edges = np.cumsum(rates) / total
        self._slots[:] = np.minimum(np.searchsorted(edges, (np.arange(SLOTS) + 0.5) / SLOTS), len(rates) - 1)
        self._events_set(gap=1e9 / total * self.traffic.train, next=max(now * 1e9, self._events_get("next")))

    def _rates(self, counts: Ints, step: float) -> Floats:
        """(worker, port): packets/s since `counts`."""
        both = self.where * len(self.machine.ports) + self._homes
        found: Floats = np.bincount(both, self._counts - counts, minlength=self._service.size) / step
        return found.reshape(self._service.shape)

    def _totals(self, time: float) -> dict[str, Floats]:
        """What workers did until a time: what waits in their queues is left to be done."""
        free, now = self._column("free"), time * 1e9
        left = np.maximum(free - now, 0.0)
        depth = (self._departures > now).sum(axis=1)
        whole = {name: self._column(name).copy() for name in ("busy", "accepted", "dropped", "bursts", "empty")}
        whole["busy"] = whole["busy"] - left
        # Nothing is polled for since the last packet was done.
        idle = np.where(free > 0, np.maximum(now - free, 0.0), now) / self.machine.work.empty_ns
        return whole | {
            "handled": whole["accepted"] - depth,
            "depth": depth.astype(float),
            "polls": whole["empty"] + idle,
        }

    def _seen(self, time: float, before: dict[str, Floats], after: dict[str, Floats], counts: Ints) -> Seen:
        look = self.timing.look
        done = {name: after[name] - before[name] for name in after}
        accepted = np.maximum(done["accepted"], 1)
        busy = np.clip(done["busy"] / 1e9 / look, 0.0, 1.0)
        polls = done["bursts"]
        useful = polls / np.maximum(1.0, polls + np.maximum(0.0, done["polls"]))
        fill = np.where(polls > 0, done["accepted"] / np.maximum(polls, 1e-9), 1.0)
        rates, dropped = done["handled"] / look, done["dropped"] / look
        workers = tuple(
            Worker(
                float(busy[w]),
                float(rates[w]),
                float(useful[w]),
                float(after["depth"][w]),
                float(dropped[w]),
                gone,
                float(fill[w]),
            )
            for w, gone in enumerate(self.parked.tolist())
        )
        # What was put into a queue counts as handled in the order in which it was.
        part = np.maximum(done["handled"] / accepted, 0.0)[self.at] / look
        packets: Any = np.bincount(self.group, counts, minlength=self.groups) * part
        moving = np.zeros(self.groups, dtype=bool)
        return Seen(time, workers, self.at.copy(), packets, self._records, moving)

    def _column(self, name: str) -> Any:
        slot = SimulatedWorker.layout.slot(name)
        assert slot is not None
        of_kind: Any = np.float64 if slot.type.kind == "float" else np.int64
        return self._workers.view(of_kind)[:, slot.offset // 8]

    def _events_get(self, name: str) -> float:
        return float(np.array([self._events.get(name)]).view(np.float64)[0])

    def _events_set(self, **values: float) -> None:
        self._events.set(**{name: int(np.array([value]).view(np.int64)[0]) for name, value in values.items()})
