"""Running the stages as plain Python between DPDK ports: what `--interpret` does with `dpdk:` sources."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

from burstline.engine.around_ports import PORTS_EVERY
from burstline.engine.carry import Swap
from burstline.engine.config import Config
from burstline.engine.interpreter import Interpreter, send_target
from burstline.engine.interrupts import Interrupts
from burstline.engine.live_ports import LivePorts
from burstline.engine.live_steering import LiveSteering, RssFacts, steering_of
from burstline.engine.mbuf_marks import read_marks, write_marks
from burstline.engine.report import Count, Report
from burstline.engine.threads import process_age
from burstline.engine.worker import ENGINE_REASONS, SINK_FAILED
from burstline.errors import BurstlineError
from burstline.packet.made import ANYWHERE
from burstline.packet.packet import MadePacket, Packet, came, came_as, data_of, leaves_by, made_of
from burstline.packet.parser import LINK_ETHERNET
from burstline.pipeline.needs import needs_of
from burstline.pipeline.pipeline import Pipeline
from burstline.pipeline.verdict import CONSUMED, DROPPED, NEXT, Verdict
from burstline.ports.capture_writer import CaptureWriter, create_capture
from burstline.state.steering_table import SteeringTable
from burstline.steering.direct_stage import DROPPED as DROPPED_BY_RULE
from burstline.steering.director import SoftwareDirector

if TYPE_CHECKING:
    from burstline.dpdk.port import Port
    from burstline.engine.port_twins import PortTwins
    from burstline.engine.service.service import Service

_, NO_SUCH_PORT, SEND_FAILED, NO_BUFFER, BAD_CHECKSUM, _ = ENGINE_REASONS
SEND_TRIES = 4  # as port_queue_kernel: a port whose ring is full gets this many chances a burst
PATIENCE = 64  # rounds without a packet before an adaptive loop sleeps
NAP = 0.0001  # seconds
DRAIN_EVERY = 0.02  # seconds between batches of digests


class Leaving(NamedTuple):
    """A packet that a port is to send."""

    mbuf: int
    verdict: Verdict
    length: int


class LiveInterpreter:
    """One interpreted run between ports, on the calling thread alone: breakpoints stop everything.

    Ctrl-C ends it at the next burst, and a second one at once. `--workers N` opens N queues of each port, all of which
    this thread polls.
    """

    def __init__(self, pipeline: Pipeline, devices: Sequence[str], out: str | None, config: Config) -> None:
        rules, workers = steering_of(pipeline, config), config.engine.workers
        cores = list(config.engine.cores)[:workers] or range(workers)
        self.config = config
        self.ports = LivePorts(
            devices, out, config, workers, pipeline, gathers=True,
            steer=lambda devices, count: LiveSteering(
                devices, count, config, cores, rules, offloads=pipeline.offloads, software=True
            ),
        )  # fmt: skip
        self.steering = self.ports.steering
        self._table: SteeringTable | None = None
        if rules is not None:
            self._table = SteeringTable(workers, symmetric=self.steering.symmetric)
            director = SoftwareDirector(self._table, self.steering.core_queue)
            self.steering.direct_by(director, RssFacts(self._table.key, tuple(self._table.reta())))
        self._shares = [0] * workers  # packets of the worker that each would come to
        self.service: Service | None = None  # only compiled runs have one
        self.count_edges = True
        self._interpreter = Interpreter(pipeline, " ".join(f"dpdk:{d}" for d in devices), config.parser.tunnel_ports)
        self.report = self._interpreter.report
        self._stop, self._interrupts = threading.Event(), Interrupts()
        self._failure: BurstlineError | None = None
        self._writer: CaptureWriter | None = None
        self._asked: Pipeline | None = None  # whose stages read bytes, or do not: the answer
        self._answer = False
        self._kept = Count()  # of what was sent, what surely is in the file
        self._twins: dict[tuple[int, int], PortTwins] = {}  # by port and queue, where software works around it

    @property
    def pipeline(self) -> Pipeline:
        """The one that runs."""
        return self._interpreter.pipeline

    @property
    def is_running(self) -> bool:
        return self._interpreter.is_running

    def swap(self, pipeline: Pipeline) -> Swap:
        """Go on with another pipeline from the next burst on. Any thread may call it."""
        self.ports.admit(pipeline)
        with self.steering.steer_as(steering_of(pipeline, self.config) or []):
            return self._interpreter.swap(pipeline)

    def stop(self) -> None:
        """End the run at the next burst. Any thread may call it."""
        self._stop.set()

    def run(self) -> Report:
        """Forward until `duration` is over, Ctrl-C or `stop`. An mbuf that is not back in its pool is an error."""
        from burstline import dpdk

        dpdk.require()
        from burstline.dpdk import thread

        self.ports.start_eal()
        reads = self.ports.out_file is not None or needs_of(self.pipeline).bytes
        with (
            nullcontext() if thread.lcore() is not None else thread.registered(),
            self.ports.opened(reads=reads) as ports,
        ):
            self._writer = create_capture(self.ports.out_file) if self.ports.out_file else None
            started = time.perf_counter()
            self._interpreter.begin()
            try:
                with self._interrupts.taken(), self._interrupts.whole():
                    self._forward(ports, started)
            except KeyboardInterrupt:
                pass
            finally:
                self.report.stopped = True
                self._interpreter.finish(started)
                self.report.steering = self.steering.as_json(self._shares)
                self.ports.close_report(self.report, ports)
                self._close_writer()
        if self._failure is not None:
            raise self._failure
        return self.report

    @property
    def _ends(self) -> bool:
        return self._stop.is_set() or self._interrupts.asked or self._failure is not None

    def _forward(self, ports: Sequence[Port], started: float) -> None:
        engine = self.config.engine
        deadline = started + engine.duration if engine.duration is not None else float("inf")
        drained, looked, idle = started, started, 0
        for number, port in enumerate(ports):
            for queue in range(port.queues):
                if (twins := self.ports.around.twins(number, port, queue)) is not None:
                    self._twins[number, queue] = twins
        while not self._ends and (now := time.perf_counter()) < deadline:
            found = 0
            for number, port in enumerate(ports):
                for queue in range(port.queues if self.ports.receives(number) else 0):
                    burst = self._receive(number, port, queue)
                    if burst:
                        found += len(burst)
                        with self._interpreter.turn():
                            self._burst(ports, number, queue, burst)
            if now - drained > DRAIN_EVERY:
                drained = now
                self._interpreter.drain(time.time_ns())
            if now - looked > PORTS_EVERY:
                looked = now
                self.report.warnings += self.ports.around.follow(ports)
            idle = 0 if found else idle + 1
            if idle > PATIENCE and engine.idle == "adaptive":
                time.sleep(NAP)
        for number, port in enumerate(ports):
            for queue in range(port.queues if self.ports.receives(number) else 0):
                while burst := self._receive(number, port, queue, ending=True):
                    with self._interpreter.turn():
                        self._burst(ports, number, queue, burst)

    def _receive(self, number: int, port: Port, queue: int, *, ending: bool = False) -> list[tuple[int, memoryview]]:
        """What came on a queue, through the software that stands before it; or at the end what that still holds."""
        twins = self._twins.get((number, queue))
        if twins is None:
            return [] if ending else port.receive(queue, self.config.engine.most_burst)
        mbufs, bad = twins.receive(ending=ending)
        self._interpreter.count_dropped(BAD_CHECKSUM, bad)
        return port.views(mbufs)

    def _burst(self, ports: Sequence[Port], number: int, queue: int, burst: list[tuple[int, memoryview]]) -> None:
        """Run the stages over a burst, send and free: every packet is counted, every mbuf given away, once."""
        from burstline.dpdk.binding import native
        from burstline.dpdk.port import free

        time_ns = time.time_ns()
        held = {mbuf for mbuf, _ in burst}
        leaving: dict[int, list[Leaving]] = {}
        made: list[MadePacket] = []
        try:
            for mbuf, view in burst:
                length = len(view)
                if native.mbuf_segments(mbuf) != 1:  # no buffer was there to gather it into
                    length = len(native.mbuf_bytes(mbuf))
                    if self._reads():
                        self._interpreter.count(Verdict(DROPPED, NO_BUFFER), length, has_sink=False)
                        continue
                # A copy, so that what a stage keeps of a packet while it is debugged stays readable.
                data = bytearray(view)
                came_at = self._time_of(number, mbuf, time_ns)
                packet = self._interpreter.packet(data, length, came_at, number, LINK_ETHERNET)
                said = read_marks(mbuf, data, length)
                came_as(packet, said)
                if not self._steered(packet):
                    self._interpreter.count(DROPPED_BY_RULE, length, has_sink=False)
                    continue
                verdict = self._interpreter.verdict(packet)
                made += made_of(packet)
                view[:] = data
                if packet.segment_size != said.segment_size:
                    write_marks(mbuf, packet.segment_size, said.partial)
                target = self._target(verdict)
                if target >= len(ports):
                    verdict, target = Verdict(DROPPED, NO_SUCH_PORT), -1
                if target >= 0:
                    leaving.setdefault(target, []).append(Leaving(mbuf, verdict, length))
                    continue
                if self._writer is not None and verdict.kind not in (DROPPED, CONSUMED):
                    self._write(self._writer, verdict, data, length, came_at, number)
                else:
                    self._interpreter.count(verdict, length, has_sink=False)
            for target, packets in leaving.items():
                self._send(ports, target, queue, packets, held)
            self._send_made(ports, queue, made, held)
        finally:
            free(list(held))
        if self.report.first_packet_seconds is None:
            self.report.first_packet_seconds = process_age()

    def _steered(self, packet: Packet) -> bool:
        """Whether rules let a packet through; it has their mark then. One thread is all workers."""
        if self._table is None:
            return True
        self._table.look_ahead(packet)
        queue = self._table.queue(packet)
        if queue >= 0:
            packet.mark = self._table.mark(packet)  # type: ignore[misc]  # as stages set it
            self._shares[queue] += 1
        return queue >= 0

    def _time_of(self, number: int, mbuf: int, now: int) -> int:
        """When a packet came: as its port stamped it, or now."""
        line = self.ports.around.stamps.get(number)
        if line is None:
            return now
        time_ns = line.time_of(mbuf)
        self.ports.around.unstamped[number] += time_ns == 0
        return time_ns or now

    def _send_made(self, ports: Sequence[Port], queue: int, made: Sequence[MadePacket], held: set[int]) -> None:
        """What stages made leaves behind the burst, port by port."""
        from burstline.dpdk.binding import native

        leaving: dict[int, list[Leaving]] = {}
        for packet in made:
            length, target = packet.captured, leaves_by(packet)
            target = self.ports.out if target == ANYWHERE else target
            self._interpreter.count_made(packet)
            if self._writer is not None:
                data = bytearray(data_of(packet))
                self._write(self._writer, Verdict(NEXT), data, length, packet.time, packet.port, made=True)
            elif target < 0:
                self._interpreter.count(Verdict(NEXT), length, has_sink=False, made=True)
            elif target >= len(ports):
                self._interpreter.count(Verdict(DROPPED, NO_SUCH_PORT), length, has_sink=False, made=True)
            elif mbuf := native.mbuf_copy(ports[0].table, bytearray(data_of(packet))):
                held.add(mbuf)
                size, twins = packet.segment_size, self._twins.get((target, queue % ports[target].queues))
                if twins is not None and size == 0:
                    size = twins.size_to_fit(bytearray(data_of(packet)))
                write_marks(mbuf, size, came(packet).partial)
                leaving.setdefault(target, []).append(Leaving(mbuf, Verdict(NEXT), length))
            else:
                self._interpreter.count(Verdict(DROPPED, NO_BUFFER), length, has_sink=False, made=True)
        for target, packets in leaving.items():
            self._send(ports, target, queue, packets, held, made=True)

    def _reads(self) -> bool:
        """Whether a packet has to be whole: for its stages, or for the file that it is written to."""
        pipeline = self._interpreter.pipeline
        if self._asked is not pipeline:
            self._asked, self._answer = pipeline, needs_of(pipeline).bytes
        return self._answer or self._writer is not None

    def _target(self, verdict: Verdict) -> int:
        """The number of the port that a packet leaves by, or -1. As compiled, a number has 16 bits."""
        if verdict.kind in (DROPPED, CONSUMED) or self._writer is not None:
            return -1
        target = send_target(verdict, self.ports.out)
        return target if verdict.kind == NEXT else target & 0xFFFF

    def _write(
        self,
        writer: CaptureWriter,
        verdict: Verdict,
        data: bytearray,
        length: int,
        time_ns: int,
        number: int,
        made: bool = False,
    ) -> None:
        """Write a packet to the file, and count it. The first failure ends the run."""
        if self._failure is None:
            try:
                writer.write(data, length, time_ns, number)
            except BurstlineError as error:
                self._failure = error
        if self._failure is not None:
            verdict = Verdict(DROPPED, SINK_FAILED)
        self._interpreter.count(verdict, length, has_sink=True, made=made)
        if writer.packets == self.report.sent.packets:  # it has just been flushed
            self._kept = self.report.sent

    def _send(
        self, ports: Sequence[Port], target: int, queue: int, packets: list[Leaving], held: set[int], made: bool = False
    ) -> None:
        """Send on a port and count; what it does not take stays in `held`."""
        port, mbufs = ports[target], [p.mbuf for p in packets]
        queue %= port.queues
        if (twins := self._twins.get((target, queue))) is not None:
            held.difference_update(mbufs)
            for packet in packets:
                self._interpreter.count(packet.verdict, packet.length, has_sink=True, made=made)
            self._interpreter.count_unsent(SEND_FAILED, twins.transmit(mbufs))
            return
        sent = 0
        for _ in range(SEND_TRIES):
            taken = port.transmit(queue, mbufs[sent:])
            held.difference_update(mbufs[sent : sent + taken])
            sent += taken
            if sent == len(mbufs):
                break
        for place, packet in enumerate(packets):
            verdict = packet.verdict if place < sent else Verdict(DROPPED, SEND_FAILED)
            self._interpreter.count(verdict, packet.length, has_sink=True, made=made)

    def _close_writer(self) -> None:
        """Close the file. What did not get into it counts as dropped, as in a compiled run."""
        if self._writer is None:
            return
        try:
            self._writer.close()
        except BurstlineError as error:
            self._failure = self._failure or error
        if self._failure is not None and self.report.sent != self._kept:
            sent = self.report.sent
            lost = Count(sent.packets - self._kept.packets, sent.bytes - self._kept.bytes)
            self.report.sent = self._kept
            self.report.drops[SINK_FAILED] = self.report.drops.get(SINK_FAILED, Count()) + lost
