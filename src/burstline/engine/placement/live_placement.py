"""A live run's placement: carried out where there is a plan, looked at in any case, and changed by moves."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from burstline.engine.carry import GIVEN
from burstline.engine.config import Config
from burstline.engine.placement.belongings import Belonging, Belongings
from burstline.engine.placement.irqs import IrqKeeper, Kept, network_irqs
from burstline.engine.placement.other_threads import Kept as KeptThreads
from burstline.engine.placement.other_threads import others
from burstline.engine.placement.placement import Placement, control_cpus
from burstline.engine.placement.planned import this_machine
from burstline.engine.placement.worker_move import WorkerMove, move_memory
from burstline.engine.program import Instance, Program
from burstline.engine.state_size import regions_of
from burstline.errors import UsageError
from burstline.numa.draw_text import ranges
from burstline.numa.memory_policy import is_supported
from burstline.numa.placement_check import MemoryAt, Misplaced, PortAt, ThreadAt, Where, misplaced
from burstline.pipeline.accesses import accesses_of
from burstline.state.base import State
from burstline.state.counter import Counter

EVERY = 2.0  # seconds between two looks at where things are
MOVES = 64  # of workers that are remembered, the last ones
Pools = Callable[[], Sequence[MemoryAt]]


class LivePlacement:
    """Of workers on `cores`, a list that is changed as they move. `placement` is the plan, or None."""

    def __init__(self, placement: Placement | None, config: Config, cores: list[int]) -> None:
        self.placement, self.cores = placement, cores
        self.machine = placement.machine if placement else this_machine()
        self._keeps_irqs = placement is not None and config.numa.irqs and os.geteuid() == 0
        self.belongings = Belongings()
        self.moves: deque[WorkerMove] = deque(maxlen=MOVES)
        self.where = Where()
        self.irqs = Kept()
        self._planned = list(placement.cores) if placement else []
        self._tids: dict[int, int] = {}  # of workers by number; that of the director has the number behind them
        self._irqs, self._threads = IrqKeeper(), KeptThreads()
        self._pools: Pools = tuple
        self._ports: Sequence[PortAt] = ()
        self._director: Sequence[int] = ()  # its CPU, where there is one
        self._looked = -EVERY
        self._is_over = False
        self._one_at_a_time = threading.Lock()  # looks, moves, and the linking of code for a worker

    def worker(self, worker: int) -> AbstractContextManager[None]:
        """What this thread makes in the block is memory of a worker."""
        return self.belongings.making(self._own(worker, "memory"))

    def instance(self, program: Program, worker: int, symbols: Mapping[str, int]) -> Instance:
        """The program linked for a worker: its tables, its memory and its code where they belong."""
        with self._one_at_a_time:  # a move that goes on has the worker on two nodes
            return self._instance(program, worker, symbols)

    def _instance(self, program: Program, worker: int, symbols: Mapping[str, int]) -> Instance:
        names = accesses_of(program.pipeline, program.pipeline.profile).names
        states = [(names[k], s) for k, s in enumerate(program.pipeline.state) if not isinstance(s, Counter)]
        for name, state in states:
            with self.belongings.making(self._table(name, state, worker)):
                state.address(worker)
        with self.worker(worker):
            if self.placement is None and len(self.machine.nodes) == 1:  # where code is makes no difference
                made = Instance(program, worker, symbols)
            else:
                with self.belongings.linking(self._own(worker, "code")) as keep:
                    made = Instance(program, worker, symbols)
                    keep(made)
        if worker == len(self.cores) - 1:
            self._shared(states)
        return made

    def _table(self, name: str, state: State, worker: int) -> Belonging:
        """What is the application's own is shared; what lies beside its worker goes along with it."""
        planned = self.placement
        if isinstance(state, GIVEN) or (planned and (name, None) in planned.tables):
            return self.belongings.of(
                f"table {name}", "table", None, planned.tables.get((name, None)) if planned else None
            )
        home = planned.table_node(name, worker) if planned else None
        if planned and home == planned.node_of(worker):
            home = self._home(worker)
        return self.belongings.of(f"table {name} of worker {worker}", "table", worker, home)

    def _shared(self, states: Sequence[tuple[str, State]]) -> None:
        """What of tables was there before anybody noted it: workers share it."""
        for name, state in states:
            owner = self._table(name, state, 0)
            owner = owner if owner.worker is None else self.belongings.of(f"table {name}", "table", None, None)
            self.belongings.found(owner, list(regions_of(state).items()), state)

    def began(self, worker: int) -> None:
        """Called in the thread of a worker, or of the director, before it works."""
        self._tids[worker] = threading.get_native_id()
        if worker < len(self.cores):
            self.belongings.stack(self._own(worker, "stack"), threading.get_ident())

    def _own(self, worker: int, kind: Any) -> Belonging:
        return self.belongings.of(f"{kind} of worker {worker}", kind, worker, self._home(worker))

    def _home(self, worker: int) -> int | None:
        core = self.machine.core_of.get(self.cores[worker])
        return core.node if self.placement and core else None

    # ---- while the run goes on ----

    @contextmanager
    def carried_out(self, pools: Pools, ports: Sequence[PortAt], director: Sequence[int] = ()) -> Iterator[None]:
        """Around the run: interrupts and other threads keep off the workers and the director, whose CPU is given where
        there is one, and have their own again afterwards. `pools` tells where buffers are."""
        self._pools, self._ports, self._director = pools, ports, director
        try:
            self._keep_off()
            yield
        finally:
            with self._one_at_a_time:
                self._is_over = True  # pools are closed next, and nobody may look at them then
                self._irqs.restore()
                self._threads.restore()
                self.where = replace(self.where, memories=(*self._pools(), *self._memories()))

    def _keep_off(self) -> None:
        if self.placement is None:
            return
        if self._keeps_irqs:
            self.irqs = self._irqs.keep_off(self.taken, self.machine.core_of)
        self._keep_threads()

    def _keep_threads(self) -> None:
        if self.placement is not None and self._began and self.placement.control:
            taken = self.taken
            cpus = control_cpus(self.machine, taken, [c for c in self.placement.control if c not in taken])
            self._threads.keep_on(cpus, {*self._tids.values()})

    @property
    def taken(self) -> list[int]:
        """CPUs that others keep off: those of all who poll; of workers alone where no other would be left."""
        every = [*self.cores, *self._director]
        return every if {*self.machine.core_of} - {*every} else self.cores

    @property
    def _began(self) -> bool:
        return all(number in self._tids for number in range(len(self.cores) + len(self._director)))

    def step(self) -> bool:
        """At each tick of the run; whether it was time for a look."""
        now = time.monotonic()
        if now - self._looked < EVERY or not self._began:
            return False
        if not self._one_at_a_time.acquire(blocking=False):  # a move takes its time; the run's other tasks go on
            return False
        try:
            self._looked = now
            self._keep_threads()  # threads begin at any time, where the one is that begins them
            self._look()
        finally:
            self._one_at_a_time.release()
        return True

    def look(self) -> None:
        """Where things are now; when the run is over, they stay where they were last."""
        with self._one_at_a_time:
            if not self._is_over:
                self._look()

    def _look(self) -> None:
        found: list[ThreadAt] = []
        for worker, tid in sorted(self._tids.items()):
            try:
                cpus = tuple(sorted(os.sched_getaffinity(tid)))
            except OSError:  # it has ended: what was seen of it last stays
                found += [t for t in self.where.threads if t.tid == tid]
                continue
            is_worker = worker < len(self.cores)
            name = f"worker {worker}" if is_worker else "director"
            planned = self._planned[worker] if is_worker and self._planned else None
            found.append(ThreadAt(name, tid, cpus, worker if is_worker else -1, planned))
        found += [ThreadAt(name, tid, cpus) for tid, name, cpus in others({*self._tids.values()})]
        self.where = Where(tuple(found), (*self._pools(), *self._memories()), tuple(self._ports), tuple(network_irqs()))

    def _memories(self) -> Iterator[MemoryAt]:
        everyone = tuple(range(len(self.cores)))
        for each in self.belongings:
            workers = everyone if each.worker is None else (each.worker,)
            yield MemoryAt(each.name, each.kind, each.pages(), workers, each.home)

    def lines(self) -> list[str]:
        """What is carried out, in a line; nothing without a plan."""
        if self.placement is None:
            return []
        homes = ", ".join(f"{cpu} (node {self.placement.node_of(k)})" for k, cpu in enumerate(self.placement.cores))
        others = f"; other threads on {ranges(self.placement.control)}" if self.placement.control else ""
        return [f"placement by plan ({self.placement.told}): workers on CPUs {homes}{others}"]

    def warnings(self) -> list[str]:
        """Of a plan that is carried out in part."""
        found = []
        if self.placement is not None and not is_supported():
            found.append("the system takes no memory policy: memory lies where it was touched first (CAP_SYS_NICE)")
        if self.irqs.refused:
            numbers = ", ".join(map(str, self.irqs.refused))
            found.append(f"interrupts {numbers} of network cards could not be kept off the workers' cores")
        return found

    @property
    def misplaced(self) -> list[Misplaced]:
        return misplaced(self.machine, self.where)

    def as_json(self) -> dict[str, Any]:
        """For the report and for `burstline stats`."""
        return {
            "plan": self.placement.as_json() if self.placement else None,
            "where": self.where.as_json(),
            "misplaced": [each.as_json() for each in self.misplaced],
            "interrupts": {"moved": list(self.irqs.moved), "refused": list(self.irqs.refused)},
            "moves": [each.as_json() for each in self.moves],
        }

    # ---- moves ----

    def move(self, worker: int, cpu: int) -> WorkerMove:
        """Have a worker go on on another CPU, and what is its own on that one's node. Packets flow meanwhile. Raises
        UsageError."""
        with self._one_at_a_time:
            self._check(worker, cpu)
            started, before = time.perf_counter(), self.cores[worker]
            old, new = (self.machine.core_of[c].node if c in self.machine.core_of else None for c in (before, cpu))
            assert new is not None
            try:
                os.sched_setaffinity(self._tids[worker], {cpu})
            except OSError as error:
                raise UsageError(f"worker {worker} cannot go to CPU {cpu}: {error.strerror}") from None
            self.cores[worker] = cpu
            if self._planned:
                self._planned[worker] = cpu
            self._keep_off()
            own = [each for each in self.belongings if each.worker == worker and each.home in (None, old)]
            moved = move_memory(own, new)
            stays = tuple((pool.name, node) for pool in self._pools() if worker in pool.workers
                          for node in pool.pages if node != new)  # fmt: skip
            done = WorkerMove(worker, before, cpu, old, new, moved, stays, time.perf_counter() - started)
            self.moves.append(done)
            self._look()
            return done

    def _check(self, worker: int, cpu: int) -> None:
        if self._is_over:
            raise UsageError("no worker can be moved: the run has ended")
        if not self._began:
            raise UsageError("no worker can be moved: the run has not begun", "wait until packets flow")
        if not 0 <= worker < len(self.cores):
            raise UsageError(f"there is no worker {worker}", f"there are workers 0 to {len(self.cores) - 1}")
        if cpu not in self.machine.core_of:
            known = sorted(self.machine.core_of)
            raise UsageError(f"there is no CPU {cpu} that the run may use", f"it may use {', '.join(map(str, known))}")
        for other, tid in self._tids.items():
            there = self.cores[other] == cpu if other < len(self.cores) else _only_cpu(tid) == cpu
            if other != worker and there:
                name = f"worker {other}" if other < len(self.cores) else "the director"
                raise UsageError(f"CPU {cpu} is that of {name}", "move that one first, or take another CPU")


def _only_cpu(tid: int) -> int | None:
    try:
        cpus = os.sched_getaffinity(tid)
    except OSError:
        return None
    return next(iter(cpus)) if len(cpus) == 1 else None
