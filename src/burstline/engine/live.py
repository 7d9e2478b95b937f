"""Running a pipeline between DPDK ports with compiled code."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from burstline.engine.around_ports import PORTS_EVERY
from burstline.engine.buffer_watch import BufferWatch
from burstline.engine.burst_costs import PHASE_SIZE, PHASES
from burstline.engine.burst_size import LEAST
from burstline.engine.carry import Swap
from burstline.engine.config import Config
from burstline.engine.live_directing import LiveDirecting
from burstline.engine.live_ports import LivePorts
from burstline.engine.live_steering import LiveSteering, steering_of
from burstline.engine.program import prepare
from burstline.engine.publisher import Publisher
from burstline.engine.report import Report
from burstline.engine.tally import add_costs, add_up, add_up_directed, close_sink
from burstline.engine.threads import Team, process_age, usable_cores
from burstline.engine.versions import Versions, swap
from burstline.engine.worker import FINISHED, QUEUE_SIZE, SLACK, PortQueue, PortWorker, most_made
from burstline.errors import UsageError
from burstline.offload.twins import receive, transmit
from burstline.packet.burst import Burst
from burstline.packet.made import Made
from burstline.pipeline.needs import needs_of
from burstline.pipeline.pipeline import Pipeline
from burstline.ports.capture_file import Interface
from burstline.ports.capture_format import LINKTYPE_ETHERNET
from burstline.ports.capture_sink import CaptureSink
from burstline.ports.capture_writer import format_for
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
    ) -> None:
        self.pipeline, self.config, self.progress, self.publisher = pipeline, config, progress, publisher
        self.workers = config.engine.workers
        chosen = list(config.engine.cores) or usable_cores()
        self._cores = [chosen[k % len(chosen)] for k in range(self.workers)]
        rules = steering_of(pipeline, config)

        def steer(devices: Sequence[str], count: int) -> LiveSteering:
            return LiveSteering(devices, count, config, self._cores, rules, offloads=pipeline.offloads)

        self.ports = LivePorts(sources, out, config, self.workers, pipeline, steer=steer)
        self.steering = self.ports.steering
        self.directing = LiveDirecting(self.steering, config, self._cores)
        self.say: Callable[[str], None] | None = None  # told in a line what the run has chosen by itself
        self._begun = self._ending = False
        if self.ports.out_file and self.workers > 1:
            raise UsageError("several workers cannot write one file live", "use --workers 1")
        self.report = Report(" ".join(f"dpdk:{d}" for d in sources), "compiled", self.workers)
        self.count_edges = False  # packets on each way out of each stage, for the report
        self.count_costs = False  # and what they cost by the size of their burst
        self.explain: Callable[[str], None] | None = None  # is handed what the steering controller decides
        self.service: Service | None = None
        self._costs: list[Region] = []
        self._queues: list[Region] = []  # the PortQueues of each worker
        self._stop = Region(64)
        self._versions: Versions | None = None

    def run(self) -> Report:
        """Forward until `duration` is over or Ctrl-C. An mbuf that is not back in its pool afterwards is an error."""
        from burstline import dpdk

        dpdk.require()
        from burstline.dpdk.binding import native

        for state in self.pipeline.state:
            state.reset()
        out_file = self.ports.out_file
        compile = partial(
            prepare,
            mode="ports",
            capacity=self.config.engine.most_burst + SLACK,
            workers=1,
            dispatch=self.config.engine.dispatch,
            sink=format_for(out_file) if out_file else "",
            tunnel_ports=self.config.parser.tunnel_ports,
            edges=self.count_edges,
            costs=self.count_costs,
            moves=self.directing.moves_flows,
            watched=self.directing.is_controlled,
        )
        versions = Versions(self.pipeline, compile, self.report, self.stop, publisher=self.publisher)
        self.report.dispatch = versions.program.dispatch
        self.directing.compile(self.stop)
        self.ports.start_eal()
        reads = out_file is not None or needs_of(self.pipeline).bytes or self.directing.is_controlled
        with self.ports.opened(reads=reads) as ports, self.directing.opened(ports) as inner:
            if self.say:
                for line in self.steering.lines():
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
        return self.directing.change(edits)

    @property
    def is_running(self) -> bool:
        """Whether there is something to swap."""
        return self._versions is not None and self._versions.is_running

    def rehearse(self) -> None:
        """Get ready for a first swap while the pipeline runs: import what compiles, and lower what runs."""
        if self._versions is not None:
            self._versions.rehearse()

    def _forward(
        self, versions: Versions, ports: Sequence[Port], inner: Sequence[Port], symbols: dict[str, int]
    ) -> None:
        from burstline.dpdk.binding import native
        from burstline.dpdk.port import free

        sink = CaptureSink(self.ports.out_file) if self.ports.out_file else None
        interfaces = Region(len(ports) * Interface.layout.size)
        for number in range(len(ports)):
            at = number * Interface.layout.size + Interface.layout.offset("linktype")
            interfaces.set_i64(at, LINKTYPE_ETHERNET)
        made = [self._context(k, inner, sink, interfaces) for k in range(self.workers)]
        contexts = [context for context, _ in made]
        self.directing.begin(
            versions, contexts, ports, symbols, stop=self.stop, source=self.report.source, explain=self.explain
        )
        at_work = self.directing.at_work
        for context in [*contexts, *([at_work.context] if at_work else [])]:
            context.set(clock_start=self.ports.clock.counter, clock_ns=self.ports.clock.ns)
            context.set(clock_scale=self.ports.clock.scale)

        def work(index: int) -> None:
            if index < self.workers:
                self._work(versions, index, contexts[index])
            elif at_work:
                self._work(at_work.versions, 0, at_work.context)

        looked = time.monotonic()

        def tick() -> None:
            nonlocal looked
            versions.drain()
            self.directing.step(contexts, self._stop)
            if time.monotonic() - looked > PORTS_EVERY:
                looked = time.monotonic()
                self.report.warnings += self.ports.around.follow(ports)
            if self.progress:
                self.progress(0, None, sum(c.get("packets_in") for c in contexts))

        def period() -> float:
            return 0.002 if self.directing.is_ending else 0.02 if versions.digests else 0.1

        cores = [*self._cores, *([core] if (core := self.directing.core) is not None else [])]
        team = Team(len(cores), work, cores)
        versions.link(contexts, symbols, self._cores)
        self._versions = versions
        control = self.ports.control(BUFFERS_EVERY)
        watch = BufferWatch(
            self.ports.usage,
            period=BUFFERS_EVERY,
            act=control.act if control else None,
            show=self.publisher.show_buffers if self.publisher else None,
            interval=self.publisher.interval if self.publisher else 0,
        )
        started = time.perf_counter()
        try:
            service = self.service.working(versions, self.ports.devices) if self.service else nullcontext()
            with service, watch, self.directing.control or nullcontext():
                team.run(self.stop, tick, self.config.engine.duration, period)
            self.report.stopped = True
        finally:
            self.report.seconds = time.perf_counter() - started
            self.report.buffers = watch.usage()
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
                add_costs(self.report, self.pipeline, self._costs, native.tsc_hz())
            for number in range(len(ports)):
                at = number * QUEUE_SIZE + PortQueue.layout.offset("unstamped")
                self.ports.around.unstamped[number] = sum(queues.i64(at) for queues in self._queues)
            self.ports.close_report(self.report, ports)
            if sink:
                close_sink(self.report, sink)
        if versions.failure is not None:
            raise versions.failure

    def _work(self, versions: Versions, index: int, context: Block) -> None:
        """What a worker's thread does, or the director's."""
        from burstline.dpdk import thread

        try:
            with thread.registered():
                while versions.work(index) != FINISHED:
                    if self.report.first_packet_seconds is None:
                        self.report.first_packet_seconds = process_age()
                    context.set(budget=1 << 62)
        finally:
            versions.ended(index)

    def _context(
        self, index: int, ports: Sequence[Port], sink: CaptureSink | None, interfaces: Region
    ) -> tuple[Block, list[Region | Block]]:
        batch, adapts = self.config.engine.most_burst, self.config.engine.burst == "auto"
        queues, counts = Region(len(ports) * QUEUE_SIZE), Region(len(ports) * 8)
        outbound, unwanted = Region(len(ports) * batch * 8), Region(batch * 8)
        burst = Region(Burst(batch + SLACK).size)
        layout = PortQueue.layout
        for number, port in enumerate(ports):
            base = number * QUEUE_SIZE
            queues.set_i64(base + layout.offset("port"), port.id)
            queues.set_i64(base + layout.offset("queue"), index % port.queues)
            queues.set_i64(base + layout.offset("receives"), int(self.ports.receives(number)))
            queues.set_i64(base + layout.offset("pools"), port.table)
            twins = self.ports.around.twins(number, port, index)
            queues.set_i64(base + layout.offset("twins"), twins.address if twins else 0)
            line = self.ports.around.stamps.get(number)
            queues.set_i64(base + layout.offset("stamps"), line.address if line else 0)
        made_burst, making = Region(Burst(batch + SLACK).size), Block(Made.layout)
        costs = Region(len(PHASES) * PHASE_SIZE) if self.count_costs else None
        self._costs += [costs] if costs else []
        self._queues.append(queues)
        making.set(burst=made_burst.address, room=most_made(batch), source=ports[0].table)
        context = Block(PortWorker.layout, 128)
        if self.ports.around.has_twins:
            context.set(receive=receive.address, transmit=transmit.address)
        context.set(
            index=index, workers=1, burst=burst.address, stop=self._stop.address,
            queues=queues.address, ports=len(ports), batch=LEAST if adapts else batch,
            most=batch, adapts=int(adapts), costs=costs.address if costs else 0,
            poll=int(self.config.engine.idle == "poll"),
            out=self.ports.out, has_sink=int(sink is not None),
            sink=sink.block.address if sink else 0, interfaces=interfaces.address, outbound=outbound.address,
            counts=counts.address, unwanted=unwanted.address, budget=1, making=making.address,
        )  # fmt: skip
        return context, [queues, counts, outbound, unwanted, burst, made_burst, making]
