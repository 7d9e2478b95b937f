"""Running a pipeline between DPDK ports with compiled code."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from burstline.engine.around_ports import PORTS_EVERY
from burstline.engine.buffer_watch import BufferWatch
from burstline.engine.carry import Swap
from burstline.engine.config import Config
from burstline.engine.events import Events
from burstline.engine.live_capture import LiveCapture
from burstline.engine.live_directing import LiveDirecting
from burstline.engine.live_ports import LivePorts
from burstline.engine.live_steering import LiveSteering, steering_of
from burstline.engine.live_view import LiveView
from burstline.engine.placement.live_placement import LivePlacement
from burstline.engine.placement.planned import with_plan
from burstline.engine.placement.ports_at import buffers_at, ports_at
from burstline.engine.placement.worker_move import WorkerMove
from burstline.engine.port_context import PortContext, port_context
from burstline.engine.program import Program, prepare
from burstline.engine.publisher import Publisher
from burstline.engine.report import Report
from burstline.engine.tally import add_costs, add_up, add_up_directed
from burstline.engine.threads import Team, process_age, usable_cores
from burstline.engine.versions import Versions, swap
from burstline.engine.worker import FINISHED, QUEUE_SIZE, SLACK, PortQueue
from burstline.pipeline.needs import needs_of
from burstline.pipeline.pipeline import Pipeline
from burstline.ports.capture_files import CaptureOptions
from burstline.state.region import Block, Region
from burstline.steering.edit import Done, Edit

if TYPE_CHECKING:
    from burstline.dpdk.port import Port
    from burstline.engine.service.service import Service

BUFFERS_EVERY = 0.02  # seconds between two looks at the pools
Progress = Callable[[int, "int | None", int], None]


class LiveRun:
    """One run between ports: EAL, pool, ports, threads, result. Devices are written as after `dpdk:`."""

    def __init__(
        self,
        pipeline: Pipeline,
        sources: Sequence[str],
        out: str | None,
        config: Config,
        *,
        progress: Progress | None = None,
        publisher: Publisher | None = None,
        capture: CaptureOptions | None = None,
    ) -> None:
        config, planned = with_plan(config, pipeline, sources, out)
        self.pipeline, self.config, self.progress, self.publisher = pipeline, config, progress, publisher
        self.workers = config.engine.workers
        chosen = list(config.engine.cores) or usable_cores()
        self._cores = [chosen[k % len(chosen)] for k in range(self.workers)]
        self.placement = LivePlacement(planned, config, self._cores)
        rules = steering_of(pipeline, config)

        def steer(devices: Sequence[str], count: int) -> LiveSteering:
            return LiveSteering(devices, count, config, self._cores, rules, offloads=pipeline.offloads)

        self.ports = LivePorts(sources, out, config, self.workers, pipeline, steer=steer, placement=planned)
        self.capture = LiveCapture(self.ports.out_file, self.ports.devices, capture)
        self.steering = self.ports.steering
        self.directing = LiveDirecting(self.steering, config, self._cores)
        self.say: Callable[[str], None] | None = None  # told in a line what the run has chosen by itself
        self._begun = self._ending = False
        self.report = Report(" ".join(f"dpdk:{d}" for d in sources), "compiled", self.workers)
        self.count_edges = False  # packets on each way out of each stage, for the report
        self.count_costs = False  # and what they cost by the size of their burst
        self.explain: Callable[[str], None] | None = None  # is handed what the steering controller decides
        self.service: Service | None = None
        self.events = publisher.events if publisher else Events()
        self.view: LiveView | None = None  # from when packets flow, where they are published
        self.counts_for_now = False  # as `count_edges` and `count_costs`, of what is compiled next
        self.costs: list[Region] = []  # of each worker: what its phases took
        self._stop = Region(64)
        self._versions: Versions | None = None

    def run(self) -> Report:
        """Forward until `duration` is over or Ctrl-C. An mbuf that is not back in its pool afterwards is an error."""
        from burstline import dpdk

        dpdk.require()
        from burstline.dpdk.binding import native

        for state in self.pipeline.state:
            state.reset()
        versions = Versions(self.pipeline, self._compiled, self.report, self.stop, publisher=self.publisher)
        self.report.dispatch = versions.program.dispatch
        self.directing.compile(self.stop)
        self.ports.start_eal()
        reads = self.ports.out_file is not None or needs_of(self.pipeline).bytes or self.directing.is_controlled
        with self.ports.opened(reads=reads) as ports, self.directing.opened(ports) as inner:
            for line in (*self.placement.lines(), *self.steering.lines()):
                self.events.tell("start", line)
                if self.say:
                    self.say(line)
            self._begun = True
            if self._ending:
                self.stop()
            self._forward(versions, ports, inner, native.SYMBOLS)
        return self.report

    def stop(self) -> None:
        """End the run at the next burst. Any thread may call it."""
        self._ending = True
        if not self._begun:
            return  # it ends as soon as it begins
        if not self.directing.end():
            self._stop.set_i64(0, 1)

    def swap(self, pipeline: Pipeline) -> Swap:
        """Go on with another pipeline, compiled in the calling thread: each worker goes over between two bursts, and no
        packet is lost. Returns when all have; raises what compiling raises, and then the old one runs on."""
        self.ports.admit(pipeline)
        rules = steering_of(pipeline, self.config) or []
        with self.directing.swapping(pipeline, rules):
            return swap(self._versions, pipeline)

    def swap_stage(self, name: str, function: Callable[[Any], Any]) -> Swap:
        """Go on with another function for the stage of this name; as `swap`."""
        return self.swap(self.pipeline.replace(name, function))

    def steer(self, edits: Sequence[Edit]) -> list[Done]:
        """Change the rules and buckets of the ports that packets come from, each or not, while packets flow: flows that
        go to another worker take their records along. Returns when they have. Raises UsageError for a run that is not
        steered or has not begun."""
        done = self.directing.change(edits)
        refused = sum(each.error is not None for each in done)
        self.events.tell("rules", f"{len(done) - refused} edits of rules and buckets carried out, {refused} refused")
        return done

    def move_worker(self, worker: int, cpu: int) -> WorkerMove:
        """Have a worker go on on another CPU while packets flow, with its tables, memory and code; returns when they
        are there. Raises UsageError."""
        done = self.placement.move(worker, cpu)
        self.events.tell("move", done.text)
        if self.publisher:
            self.publisher.show_placement(self.placement.as_json(), self._cores)
        return done

    @property
    def is_running(self) -> bool:
        """Whether there is something to swap."""
        return self._versions is not None and self._versions.is_running

    @property
    def running(self) -> Pipeline:
        """The pipeline that packets go through now."""
        return self._versions.pipeline if self._versions is not None else self.pipeline

    def rehearse(self) -> None:
        """Get ready for a first swap while the pipeline runs: import what compiles, and lower what runs."""
        if self._versions is not None:
            self._versions.rehearse()

    def _compiled(self, pipeline: Pipeline) -> Program:
        config = self.config
        return prepare(
            pipeline, mode="ports", capacity=config.engine.most_burst + SLACK, workers=1,
            dispatch=config.engine.dispatch, sink=self.capture.format,
            tunnel_ports=config.parser.tunnel_ports, edges=self.count_edges or self.counts_for_now,
            costs=self.count_costs or self.counts_for_now, moves=self.directing.moves_flows,
            watched=self.directing.is_controlled,
        )  # fmt: skip

    def _forward(
        self, versions: Versions, ports: Sequence[Port], inner: Sequence[Port], symbols: dict[str, int]
    ) -> None:
        from burstline.dpdk.binding import native
        from burstline.dpdk.port import free

        self.capture.begin(ports, self.workers, self.stop)
        made = [self._context(k, inner) for k in range(self.workers)]
        contexts = [each.block for each in made]
        self.costs = [each.costs for each in made]
        self.directing.begin(
            versions, contexts, ports, symbols, stop=self.stop, source=self.report.source, explain=self.explain,
            holds=self.ports.around.holds,
        )  # fmt: skip
        at_work = self.directing.at_work
        for context in [*contexts, *([at_work.context] if at_work else [])]:
            context.set(clock_start=self.ports.clock.counter, clock_ns=self.ports.clock.ns)
            context.set(clock_scale=self.ports.clock.scale)

        def work(index: int) -> None:
            if index < self.workers:
                self._work(versions, index, contexts[index], index)
            elif at_work:
                self._work(at_work.versions, 0, at_work.context, self.workers)

        looked = time.monotonic()

        def tick() -> None:
            nonlocal looked
            versions.drain()
            self.directing.step(contexts, self._stop)
            if time.monotonic() - looked > PORTS_EVERY:
                looked = time.monotonic()
                self.report.warnings += self.ports.around.follow(ports)
            if self.placement.step() and self.publisher:
                self.publisher.show_placement(self.placement.as_json(), self._cores)
            if self.progress:
                self.progress(0, None, sum(c.get("packets_in") for c in contexts))

        def period() -> float:
            return 0.002 if self.directing.is_ending else 0.02 if versions.digests else 0.1

        cores = [*self._cores, *([core] if (core := self.directing.core) is not None else [])]
        team = Team(len(cores), work, cores)
        versions.instance = self.placement.instance
        versions.link(contexts, symbols, self._cores)
        self._versions = versions
        control = self.ports.control(BUFFERS_EVERY)
        self.view = LiveView(self, versions, contexts, ports, native.tsc_hz()) if self.publisher else None
        watch = BufferWatch(
            self.ports.usage,
            period=BUFFERS_EVERY,
            act=control.act if control else None,
            show=self.view.show if self.view else None,
            interval=self.publisher.interval if self.publisher else 0,
            cores=self._cores,
        )
        started = time.perf_counter()
        try:
            service = self.service.working(versions, self.ports.devices) if self.service else nullcontext()
            held = self.placement.carried_out(
                lambda: buffers_at(self.ports), ports_at(self.ports), cores[self.workers :]
            )
            with service, watch, self.directing.control or nullcontext(), held, self.capture.writing():
                team.run(self.stop, tick, self.config.engine.duration, period)
            self.report.stopped = True
        finally:
            self.report.seconds = time.perf_counter() - started
            self.report.buffers = watch.usage()
            self.report.placement = self.placement.as_json()
            self.report.warnings += self.placement.warnings()
            self.report.warnings += watch.warnings
            if at_work:
                dropped, passed = at_work.versions.close(), at_work.by.passed()
                add_up_directed(self.report, at_work.context, contexts, versions.close(), dropped, passed)
            else:
                add_up(self.report, contexts, versions.close())
            self.report.steering = self.directing.as_json(contexts)
            self.report.warnings += self.directing.warnings()
            free(self.directing.left_over())
            self.pipeline = versions.pipeline
            if self.count_costs:
                add_costs(self.report, self.pipeline, self.costs, native.tsc_hz())
            for number in range(len(ports)):
                at = number * QUEUE_SIZE + PortQueue.layout.offset("unstamped")
                self.ports.around.unstamped[number] = sum(each.queues.i64(at) for each in made)
            self.ports.close_report(self.report, ports)
            self.capture.close_report(self.report)
        if versions.failure is not None:
            raise versions.failure

    def _context(self, worker: int, inner: Sequence[Port]) -> PortContext:
        with self.placement.worker(worker):
            tape = self.capture.tape(worker)
            return port_context(worker, inner, self.ports, self.config.engine, stop=self._stop, tape=tape)

    def _work(self, versions: Versions, index: int, context: Block, number: int) -> None:
        """What a worker's thread does, or the director's, whose `number` is behind theirs."""
        from burstline.dpdk import thread

        self.placement.began(number)
        try:
            with thread.registered():
                while versions.work(index) != FINISHED:
                    if self.report.first_packet_seconds is None:
                        self.report.first_packet_seconds = process_age()
                    context.set(budget=1 << 62)
        finally:
            versions.ended(index)
