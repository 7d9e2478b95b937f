"""The learned cost model beside live ports: what packets cost is learned at each look, what that advises is told, and
carried out where `tune` allows it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from burstline.numa.balance.seen import Seen
from burstline.numa.learned.advice import Tuning, advise, tuned
from burstline.numa.learned.features import Features
from burstline.numa.learned.model import CostOfPackets
from burstline.numa.learned.store import save
from burstline.state.region import Block

EVERY = 20  # looks between two pieces of advice
LEAST = 1000  # packets/s of a worker that something is learned from


class LiveLearning:
    """`hops` are those of the interconnect from the port to each worker, `table` the bytes of a worker's tables, `file`
    where the model is kept. With `acts`, workers follow the advice, and the balancer what it says of distances."""

    def __init__(
        self, model: CostOfPackets, hops: Sequence[float], table: float, file: Path, tuning: Tuning, *, acts: bool
    ) -> None:
        self.model, self._hops, self._table, self._file = model, hops, table, file
        self.tuning, self.acts, self._looks, self._told = tuning, acts, 0, model.count

    def look(self, seen: Seen, contexts: Sequence[Block]) -> list[dict[str, Any]]:
        """Returns what is to be logged."""
        self._looks += 1
        busiest: Features | None = None
        useful = 0.0
        most = 0.0
        for k, worker in enumerate(seen.workers):
            if worker.packets < LEAST:
                continue
            flows = seen.records[seen.at == k].sum()
            batch = contexts[k].get("batch")
            features = Features(worker.packets, float(flows), self._hops[k], worker.fill, self._table, float(batch))
            if worker.ns > 0:
                self.model = self.model.learn(features, worker.ns)
            if worker.packets > most:
                busiest, useful, most = features, worker.useful, worker.packets
        said = [
            {
                "time": seen.time,
                "action": "SwitchModel",
                "on": one.on,
                "reason": one.reason,
                "words": f"what was learned of the costs of packets is {'used' if one.on else 'not used'}",
            }
            for one in self.model.log
            if one.at > self._told
        ]
        self._told = self.model.count
        if busiest is None or self._looks % EVERY:
            return said
        advice = advise(self.model, busiest, self.tuning, useful)
        self.tuning = tuned(self.tuning, advice)
        for one in advice if self.acts else ():
            for context, worker in zip(contexts, seen.workers, strict=True):
                self._follow(one.name, context, worker.parked)
        return said + [
            {
                "time": seen.time,
                "action": "Advice",
                "what": one.name,
                "value": one.value,
                "reason": one.reason,
                "words": f"{one.name} {one.value}{'' if self.acts else ' would be better'}",
            }
            for one in advice
        ]

    def _follow(self, name: str, context: Block, parked: bool) -> None:
        """Have a worker do what was advised. It reads that between two bursts."""
        match name:
            case "burst":  # one that adapts its bursts by itself goes on from here
                context.set(batch=min(self.tuning.burst, context.get("most")))
            case "idle":
                context.set(poll=int(self.tuning.idle == "poll" and not parked))
            case "prefetch":
                context.set(prefetch=self.tuning.prefetch)

    def park(self, context: Block, parked: bool) -> None:
        """A worker that is parked sleeps between polls, whatever was advised to the others."""
        if self.acts:
            self._follow("idle", context, parked)

    def close(self) -> list[str]:
        """Keep what was learned; returns why that cannot be."""
        try:
            save(self.model, self._file, self.tuning.hop_weight if self.model.is_on else 1.0)
        except OSError as error:
            return [f"what was learned of the costs of packets is not kept: {self._file}: {error.strerror}"]
        return []

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        prior, learned = self.model.errors
        return {
            "on": self.model.is_on, "measured": self.model.count, "off_by": learned, "prior_off_by": prior,
            "burst": self.tuning.burst, "idle": self.tuning.idle, "prefetch": self.tuning.prefetch,
            "hop_weight": self.tuning.hop_weight,
        }  # fmt: skip
