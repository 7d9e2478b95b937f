"""Changes of steering rules while packets flow: flows move with their records, in order, and no packet is lost.

What is not promised is in docs/steering-moves.md.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from burstline.engine.moves.memory import Links, MoverMemory
from burstline.engine.moves.ownership import Ownership, Planned
from burstline.engine.moves.phases import ANNOUNCED, CHANGED, CLOSING, EXPORTING, IDLE, PHASE_BITS, RELEASED
from burstline.engine.moves.sift_stage import sift_stage
from burstline.engine.program import Program, prepare
from burstline.engine.steered import Steered
from burstline.engine.worker import ENDED, SLACK
from burstline.errors import BurstlineError, UsageError
from burstline.native.kernel import Kernel
from burstline.packet.machine import USUAL_PORTS, TunnelPorts
from burstline.pipeline.pipeline import Pipeline
from burstline.state.region import Block, Region
from burstline.state.steering_table import SteeringTable
from burstline.state.steering_words import GROUP
from burstline.steering.back_end import Limits
from burstline.steering.edit import Done, Edit
from burstline.steering.rule import SteeringRule

LOOK = 0.00005  # seconds between looks at how far the workers are
PATIENCE = 0.1  # seconds until a port counts as drained though packets never stopped coming
LATE = 0.002  # seconds in which packets that come late are passed on
_publish = Kernel("burstline.engine.trampoline_kernel:publish", int, int)


def at_once() -> Callable[[], bool]:
    """Of ports whose rules are in force as soon as they are made."""
    return lambda: True


def sift_program(tables: tuple[SteeringTable, SteeringTable], batch: int, tunnel_ports: TunnelPorts) -> Program:
    """What asks the tables for bursts of so many packets. Compiles when the cache has none."""
    pipeline = Pipeline(sift_stage(*tables), name="sift")
    return prepare(pipeline, mode="sift", capacity=batch + SLACK, workers=1, dispatch="auto", tunnel_ports=tunnel_ports)


class FlowMoves:
    """The way on which edits of the rules of a run come into force. Every worker has a `context`, whose `moves` this
    sets; `depths` are how many packets may wait for a worker at each port.

    `tables` are to say what the ports do, before and after a change, by the same hash and RETA. What ports are told is
    in force once `effective` says so, and not until `settle` seconds are over; what software merges at a port comes out
    of it within `merging` seconds.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        contexts: Sequence[Block],
        depths: Sequence[int],
        tables: tuple[SteeringTable, SteeringTable],
        *,
        batch: int,
        tunnel_ports: TunnelPorts = USUAL_PORTS,
    ) -> None:
        self._contexts, self._tables = list(contexts), tables
        self._program = sift_program(tables, batch, tunnel_ports)
        self._phase, self._move = Region(64), 0
        self._links = Links(len(contexts), pipeline)
        self._memory = [MoverMemory(k, self._phase, batch, depths) for k in range(len(contexts))]
        self._listed: Region | None = None
        self._one_move, self._is_over = threading.Lock(), False
        self.moves = 0  # that were made
        self.late = 0  # of which a port did not drain in time
        _publish.load()
        for worker, (context, memory) in enumerate(zip(contexts, self._memory, strict=True)):
            memory.link(self._program, worker, *tables)
            self._links.show(memory, worker)
            context.set(moves=memory.mover.address)

    def begin(
        self,
        ports: Steered,
        rules: Sequence[SteeringRule],
        reta: Sequence[int],
        core_queue: Callable[[int], int],
        *,
        effective: Callable[[], Callable[[], bool]] = at_once,
        settle: float = 0.0,
        merging: float = 0.0,
        own_groups: bool = False,
    ) -> None:
        """The ports have these rules and this RETA in force. `effective()` is called after each change. With
        `own_groups`, a port chooses among several cores of a rule in a way of its own, as devices do: such rules
        cannot be changed, since nobody knows where their flows are."""
        self.ports = ports
        for memory in self._memory:
            memory.moving.set(unknown=GROUP if own_groups else 0)
        self.ownership = Ownership(ports, self._tables, core_queue, own_groups=own_groups)
        self.ownership.begin(rules, reta)
        self._effective, self._settle, self._merging = effective, max(settle, merging), merging

    def change(self, edits: Sequence[Edit]) -> list[Done]:
        """Carry out edits, each or not, in as few moves as can be; returns when their flows have moved. Any thread
        may call it, but none of the run's workers."""
        with self._one_move:
            if self._is_over:
                return [Done(error=UsageError("nothing is steered any more: the run is over")) for _ in edits]
            return [done for batch in self.ownership.batches(edits) for done in self._changed(batch)]

    @contextmanager
    def still(self, current: Callable[[], Pipeline]) -> Iterator[None]:
        """Nothing moves in the block, in which workers may go over to another pipeline; `current` is then asked."""
        with self._one_move:
            try:
                yield
            finally:
                self._links.fit(current())
                for worker, memory in enumerate(self._memory):
                    self._links.show(memory, worker)

    def end(self) -> None:
        """The move that is under way comes to its end, and there will be no other."""
        with self._one_move:
            self._is_over = True

    def left_over(self) -> list[int]:
        """The mbufs that are still held where workers ended in the middle of a move."""
        return [*self._links.waiting(), *(mbuf for memory in self._memory for mbuf in memory.waiting())]

    @property
    def records(self) -> int:
        """That moved."""
        return sum(memory.moving.get("moved") for memory in self._memory)

    @property
    def held(self) -> int:
        """Packets that waited until their flow's record was there."""
        return sum(memory.mover.get("held_count") for memory in self._memory)

    @property
    def passed_on(self) -> int:
        """Packets that came late, or too early, and went from worker to worker."""
        return sum(memory.mover.get("passed_on") for memory in self._memory)

    def follow(
        self,
        rules: Sequence[SteeringRule],
        do: Callable[[], object],
        in_force: Callable[[], tuple[Sequence[SteeringRule], Sequence[int]]],
    ) -> None:
        """Have the ports steer by these rules in place of all, which `do` does; `in_force` tells what they have then.
        Raises what `do` raises, and BurstlineError."""
        with self._one_move:
            owned = self.ownership
            owned.plan_all(rules)
            self._list([])
            self._enter(ANNOUNCED)
            try:
                do()
            finally:
                owned.plan_all(*in_force())
                self._wait(self._effective())
                time.sleep(self._settle)
                self._go_through()
                owned.settle_all(*in_force())
                self.moves += 1

    def as_json(self) -> dict[str, int]:
        """For the report."""
        return {
            "moves": self.moves, "records": self.records, "held": self.held, "passed_on": self.passed_on,
            "late": self.late,
        }  # fmt: skip

    def _changed(self, edits: Sequence[Edit]) -> list[Done]:
        planned = [self._planned(edit) for edit in edits]
        going = [plan for plan in planned if isinstance(plan, Planned)]
        done: dict[int, Done] = {}
        fault: Exception | None = None
        if going:
            self._list(going)
            self._enter(ANNOUNCED)
            for plan in going:
                try:
                    plan.carry_out()
                except Exception as error:  # whatever it is: workers must not be left in the middle of a move
                    plan.take_back()
                    known = error if isinstance(error, BurstlineError) else None
                    fault = fault if known else error
                    done[id(plan)] = Done(error=known)
            carried = [plan for plan in going if id(plan) not in done]
            if carried:
                self._wait(self._effective())
                time.sleep(self._settle)
            self._go_through(_together(plan.sources for plan in going))
            for plan in carried:
                plan.settle()
                done[id(plan)] = Done(plan.handles)
            self.moves += 1
        if fault is not None:
            raise fault
        return [done[id(plan)] if isinstance(plan, Planned) else plan for plan in planned]

    def _planned(self, edit: Edit) -> Planned | Done:
        try:
            return self.ownership.planned(edit)
        except BurstlineError as error:
            return Done(error=error)

    def _list(self, plans: Sequence[Planned]) -> None:
        """Tell the workers which flows move, if that is known; else they look at all of theirs."""
        keys = [plan.keys for plan in plans]
        known = b"".join(key for key in keys if key is not None) if None not in keys else b""  # none: they look
        self._listed = Region(max(1, len(known)))
        self._listed.write(0, known)
        for memory in self._memory:
            memory.moving.set(listed=self._listed.address, listed_count=len(known) // 40)

    def _go_through(self, sources: Sequence[int] | None = None) -> None:
        """Workers that flows leave are `sources`, all where that is not known. Packets by the old rules that wait at
        others are of flows that stay there; and one that gets many may have no room left to take them."""
        self._enter(CHANGED)
        if not self._wait(lambda: self._all("drained", sources), PATIENCE):
            self.late += 1
        time.sleep(self._merging)
        self._enter(EXPORTING)
        self._wait(lambda: self._all("exported") and not self._links.rows_wait)
        self._enter(RELEASED)
        self._wait(self._nothing_waits)
        time.sleep(LATE)
        self._enter(CLOSING)
        self._wait(self._nothing_waits)
        self._set(IDLE)

    def _nothing_waits(self) -> bool:
        return not self._links.packets_wait and not any(memory.mover.get("waiting") for memory in self._memory)

    def _set(self, phase: int) -> None:
        if phase == ANNOUNCED:
            self._move += 1
        word = self._move << PHASE_BITS | phase
        _publish(self._phase.address, word)

    def _enter(self, phase: int) -> None:
        self._set(phase)
        self._wait(lambda: self._all("seen"))

    def _all(self, mark: str, workers: Sequence[int] | None = None) -> bool:
        word = self._phase.i64(0)
        return all(
            self._memory[k].mover.get(mark) == word or self._contexts[k].get("running") == ENDED
            for k in (range(len(self._memory)) if workers is None else workers)
        )

    def _wait(self, condition: Callable[[], bool], seconds: float | None = None) -> bool:
        """False when it took too long, or a worker has ended."""
        end = None if seconds is None else time.monotonic() + seconds
        while not condition():
            if end is not None and time.monotonic() > end:
                return False
            if any(context.get("running") == ENDED for context in self._contexts):
                return False
            time.sleep(LOOK)
        return True


def _together(sources: Iterable[frozenset[int] | None]) -> list[int] | None:
    """Those of all; None where one is not known."""
    found = list(sources)
    known = [each for each in found if each is not None]
    return sorted(frozenset().union(*known)) if len(known) == len(found) else None


class PortsWithMoves:
    """Ports whose flows move when their rules change, as the steering controller has them."""

    def __init__(self, moves: FlowMoves) -> None:
        self._moves, self._ports = moves, moves.ports
        self.name, self.key, self.reta, self.hashed = (
            self._ports.name, self._ports.key, self._ports.reta, self._ports.hashed,
        )  # fmt: skip

    @property
    def limits(self) -> Limits:
        return self._ports.limits

    def counts(self) -> Mapping[int, tuple[int, int]]:
        return self._moves.ownership.counts(self._ports.counts())

    def change(self, edits: Sequence[Edit]) -> list[Done]:
        return self._moves.change(edits)
