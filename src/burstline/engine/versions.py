"""The versions of a pipeline that a run's workers go through: one at a time, and two while it is swapped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

from burstline.engine.carry import Carried, NotRunning, Swap, carry_over
from burstline.engine.exports import export_counts
from burstline.engine.program import Instance, Program, rehearse
from burstline.engine.publisher import Publisher
from burstline.engine.report import Count, Report
from burstline.engine.swap_text import described
from burstline.engine.tally import EdgeCounters, add_drops, sum_edges
from burstline.engine.threads import keep_off
from burstline.engine.worker import ENDED, Worker
from burstline.errors import UsageError
from burstline.native.kernel import Kernel
from burstline.pipeline.pipeline import Pipeline
from burstline.state.base import State
from burstline.state.counter import Counter
from burstline.state.digest import Digest
from burstline.state.region import Block

CODE = Worker.layout.offset("code")
LOOK = 0.0002  # seconds between looks at how far the workers are
_work = Kernel("burstline.engine.trampoline_kernel:work", int)
_publish = Kernel("burstline.engine.trampoline_kernel:publish", int, int)


class Versions:
    """The pipeline that is running, its code for each worker, and the way to another.

    `prepare` compiles a pipeline for this run. `announce` is told when new code is there for all workers, and
    `settled` when all run it. `stop` ends the run. `publisher` tells other processes what the workers count.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        prepare: Callable[[Pipeline], Program],
        report: Report,
        stop: Callable[[], None],
        announce: Callable[[], None] = lambda: None,
        settled: Callable[[], None] = lambda: None,
        publisher: Publisher | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.failure: Exception | None = None  # of a digest's handler
        self._prepare, self._report, self._stop = prepare, report, stop
        self._announce, self._settled, self._publisher = announce, settled, publisher
        self.instance: Callable[[Program, int, Mapping[str, int]], Instance] = Instance  # links for a worker
        self.still: Callable[[], AbstractContextManager[object]] = nullcontext  # around workers going over
        self._one_swap, self._switching = threading.Lock(), threading.Lock()
        self._draining = threading.Lock()
        self._digests = _digests(pipeline)
        self._contexts: list[Block] = []
        self._workers: set[int] = set()  # their threads
        self._drainer = 0  # the thread that is in handlers of digests
        self._drops: dict[str, Count] = {}  # of versions that are gone
        self._cores: Sequence[int] = ()
        self._symbols: Mapping[str, int] = {}
        self.is_running = False
        self.program = prepare(pipeline)
        self._instances: list[Instance] = []

    def link(self, contexts: Sequence[Block], symbols: Mapping[str, int] = {}, cores: Sequence[int] = ()) -> None:
        """Make the code for the workers with these contexts, which have not begun. `cores` are theirs."""
        self._contexts, self._symbols, self._cores = list(contexts), symbols, cores
        with keep_off(cores):  # threads that are begun here have their cores from this one
            self._instances = self._linked(self.program)
        _work.load()
        _publish.load()
        if self._publisher:
            self._publisher.begin(self.program, self._contexts, self._instances, cores)
        for context, instance in zip(self._contexts, self._instances, strict=True):
            # Already now: a worker that is late to begin must not begin by other code than the rest, over a file.
            context.set(code=instance.entry.address, running=instance.entry.address)
        self.is_running = True

    def _linked(self, program: Program) -> list[Instance]:
        return [self.instance(program, worker, self._symbols) for worker in range(len(self._contexts))]

    def work(self, index: int) -> int:
        """A worker's loop, until it comes back; returns why. Releases the GIL meanwhile."""
        self._workers.add(threading.get_ident())
        return _work(self._contexts[index].address)

    def ended(self, index: int) -> None:
        """The worker, in whose thread this is called, will not work any more."""
        self._workers.discard(threading.get_ident())
        self._contexts[index].set(running=ENDED)

    def swap(self, pipeline: Pipeline) -> Swap:
        """Compile `pipeline` and let all workers go over to it, each between two bursts; returns when the last one has.

        What compiling raises is raised, and the old pipeline runs on. Any thread may call it but those of the run.
        """
        with self._swapping():
            return self._swap(pipeline, told=True)

    def compile_again(self) -> tuple[Pipeline, list[EdgeCounters]]:
        """As `swap`, to what `prepare` makes now of the pipeline that runs; the report is not told. Returns that
        pipeline, and the counters of edges of the code that was left, to which nobody adds any more."""
        with self._swapping():
            pipeline, counters = self.pipeline, self.edge_counters()
            self._swap(pipeline, told=False)
            return pipeline, counters

    @contextmanager
    def _swapping(self) -> Iterator[None]:
        """One thread at a time."""
        if threading.get_ident() in {*self._workers, self._drainer}:  # workers may wait for what it is doing
            raise UsageError("a digest's handler cannot swap the pipeline", "let another thread do it")
        with self._one_swap, keep_off(self._cores):
            yield

    def _swap(self, pipeline: Pipeline, *, told: bool) -> Swap:
        started = time.perf_counter()
        program = self._prepare(pipeline)
        compiled = time.perf_counter()
        before = self.pipeline
        with self._switching:
            if not self.is_running or all(c.get("running") == ENDED for c in self._contexts):
                raise NotRunning()
            with self.still():
                carried = self._switch(pipeline, program, told)
        done = Swap(carried, compiled - started, time.perf_counter() - compiled)
        if told and self._publisher:
            self._publisher.events.tell("swap", described(before, pipeline, done, time.perf_counter() - started))
        return done

    def _switch(self, pipeline: Pipeline, program: Program, told: bool) -> Carried:
        with self._draining:
            self._drain(self._digests)  # what the old pipeline has published is for its handlers
            carried = carry_over(self.pipeline, pipeline)
            instances = self._linked(program)
            if self._publisher:
                self._publisher.add(program, instances)
            new = _digests(pipeline)
            rings = {address for digest in new for address in digest.addresses()}
            gone = [d for d in self._digests if rings.isdisjoint(d.addresses())]
            self._digests = [*new, *gone]
        for context, instance in zip(self._contexts, instances, strict=True):
            _publish(context.address + CODE, instance.entry.address)
        self._announce()
        while not self._all_run(instances):
            time.sleep(LOOK)
        self._settled()
        self._retire(pipeline, program, instances)
        if told:
            self._report.swaps.append(time.time())
        with self._draining:
            self._drain(gone)
            self._digests = new
        return carried

    def _all_run(self, instances: Sequence[Instance]) -> bool:
        return all(
            context.get("running") in (instance.entry.address, ENDED)
            for context, instance in zip(self._contexts, instances, strict=True)
        )

    def _retire(self, pipeline: Pipeline, program: Program, instances: list[Instance]) -> None:
        """No worker is in the old code any more: count what it dropped, and let go of it and of its state."""
        self._count(self._drops)
        kept = {a for s in pipeline.state for a in s.addresses()}
        for state in self.pipeline.state:
            if kept.isdisjoint(state.addresses()):
                self._finish(state)
                self._report.warnings += state.warnings()
        if self._publisher:
            self._publisher.settle(self._instances)
        for counter in {s for p in (self.pipeline, pipeline) for s in p.state if isinstance(s, Counter)}:
            for instance in self._instances:
                counter.settle(instance.counters)
        self.pipeline, self.program, self._instances = pipeline, program, instances
        self._report.dispatch = program.dispatch

    def edge_counters(self) -> list[EdgeCounters]:
        """Each worker's counters of packets on each way out of each stage, of the version that runs, where it counts
        them: good to read for as long as they are kept, also once another version runs."""
        with self._switching:
            return [(instance.edges, self.program.edges) for instance in self._instances]

    def dropped(self) -> int:
        """Packets, by the version that runs."""
        drops: dict[str, Count] = {}
        with self._switching:
            self._count(drops)
        return sum(count.packets for count in drops.values())

    def reason(self, entry: int, number: int) -> str:
        """The name of a drop reason, by the address of the Entry of a version; of those that are gone nobody knows."""
        with self._switching:
            known = any(instance.entry.address == entry for instance in self._instances)
            return self.program.reasons[number] if known and number < len(self.program.reasons) else ""

    def _count(self, drops: dict[str, Count]) -> None:
        for instance in self._instances:
            add_drops(drops, instance.tallies, self.program.reasons)

    @contextmanager
    def held(self) -> Iterator[Pipeline]:
        """The pipeline that runs: no swap comes between."""
        with self._switching:
            yield self.pipeline

    @property
    def contexts(self) -> Sequence[Block]:
        """The workers', once they are linked."""
        return self._contexts

    @property
    def publisher(self) -> Publisher | None:
        return self._publisher

    def rehearse(self) -> None:
        """Get ready for a first change: what compiles is imported, and knows the functions that run."""
        with keep_off(self._cores), suppress(Exception):  # no reason to tell anybody: only the change will take longer
            rehearse(self.program)

    @property
    def digests(self) -> bool:
        return bool(self._digests)

    def drain(self) -> None:
        """Hand digests over. A handler that fails stops the run; no worker dies of it, which others may wait for."""
        if self._digests:
            with self._draining:
                self._drain(self._digests)
                if self._publisher and (counts := export_counts(self.pipeline)):
                    self._publisher.show_exports(counts)

    def _drain(self, digests: Sequence[Digest[Any]]) -> None:
        self._drainer = threading.get_ident()
        for digest in digests:
            try:
                digest.drain()
            except Exception as error:
                self.failure = self.failure or error
                self._stop()
        self._drainer = 0

    def _finish(self, state: State) -> None:
        """Not while others drain: what a state hands on at its end goes the way of its digests, one call at a time."""
        with self._draining:
            self._drainer = threading.get_ident()
            try:
                state.finish()
            except Exception as error:
                self.failure = self.failure or error
                self._stop()
            self._drainer = 0

    def close(self) -> dict[str, Count]:
        """The workers are through, nothing can be swapped any more: what all versions dropped, by reason."""
        with self._switching:
            self.is_running = False
        if self._publisher:
            self._publisher.end()
            self._report.warnings += self._publisher.warnings
        self.drain()
        for state in self.pipeline.state:
            self._finish(state)
        self._report.exports = export_counts(self.pipeline)
        self._count(self._drops)
        self._report.edges = sum_edges([(instance.edges, self.program.edges) for instance in self._instances])
        self._report.warnings += [w for s in self.pipeline.state for w in s.warnings()]
        return self._drops


def swap(versions: Versions | None, pipeline: Pipeline) -> Swap:
    """What a run's `swap` does."""
    if versions is None:
        raise NotRunning()
    return versions.swap(pipeline)


def _digests(pipeline: Pipeline) -> list[Digest[Any]]:
    return [s for s in pipeline.state if isinstance(s, Digest)]
