"""Running the very same stages as plain Python: breakpoints, print and pdb work; for files and for live ports."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from bdb import BdbQuit
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from burstline.engine.carry import NotRunning, Swap, carry_over
from burstline.engine.exports import export_counts, exports_of, exports_wait
from burstline.engine.interrupts import Interrupts
from burstline.engine.report import Count, Report
from burstline.engine.threads import process_age
from burstline.engine.worker import SINK_FAILED
from burstline.errors import BurstlineError
from burstline.packet.machine import USUAL_PORTS, Machine, TunnelPorts
from burstline.packet.packet import Packet, data_of, made_of
from burstline.pipeline.pipeline import Chain, Pipeline
from burstline.pipeline.verdict import CONSUMED, DROPPED, NEXT, SENT, Verdict
from burstline.ports.capture_reader import CapturedPacket, read_capture
from burstline.ports.capture_writer import CaptureWriter, create_capture
from burstline.ports.link_layer import link_of
from burstline.ports.output import check_output
from burstline.state.base import LookAhead
from burstline.state.digest import Digest
from burstline.state.flow_table import FlowTable

DRAIN_EVERY = 256  # packets
EDGE_PORTS = 64  # ports that edges tell apart, as in compiler/chain.py
Progress = Callable[[int, "int | None", int], None]


class Interpreter:
    """Runs stages over packets one by one and counts what becomes of them, exactly as compiled code does."""

    def __init__(self, pipeline: Pipeline, source: str, tunnel_ports: TunnelPorts = USUAL_PORTS) -> None:
        self.pipeline = pipeline
        self._tunnel_ports = tunnel_ports
        self._machine = Machine(True, tunnel_ports, pipeline.protocols)
        self.report = Report(source, "interpreted")
        self._turn = threading.RLock()  # held while packets are processed
        self._waiting = False  # a swap, for its turn
        self.is_running = False
        self._digests = [s for s in pipeline.state if isinstance(s, Digest)]
        self._ahead = [s for s in pipeline.state if isinstance(s, LookAhead)]
        self._tables = [s for s in pipeline.state if isinstance(s, FlowTable)]
        self._failed: set[str] = set()

    def packet(self, data: bytearray, length: int, time: int, port: int, link: int) -> Packet:
        """A packet, parsed; `link` is the LINK_ number of what it begins with."""
        return Packet(data, length, time, port, self._machine.parse(memoryview(data), len(data), link), link)

    def verdict(self, packet: Packet) -> Verdict:
        """Where a packet goes: `NEXT` when it came through to the end of its chain."""
        for state in self._ahead:
            state.look_ahead(packet)
        number = 0
        while True:
            following = -1
            for place, stage in enumerate(self.pipeline.chains[number].stages):
                try:
                    said = stage(packet)
                    if not (said is None or isinstance(said, (Chain, Verdict))):
                        raise TypeError(f"stage {stage.name} returned {said!r}, which is no verdict")
                except BdbQuit:
                    raise KeyboardInterrupt from None  # `q` in pdb ends the run, as Ctrl-C does
                except Exception as error:
                    self._explain(stage.name, error)
                    self._count_edge(number, place, "error")
                    return Verdict(DROPPED, f"{stage.name}: error")
                if isinstance(said, Chain):
                    following = self.pipeline.chains.index(said)
                    self._count_edge(number, place, "chain", str(following))
                    break
                if said is None or said.kind == NEXT:
                    self._count_edge(number, place, "next")
                    continue
                if said == Verdict(DROPPED):
                    said = Verdict(DROPPED, stage.name)
                self._count_verdict(number, place, said)
                return said
            if following < 0:
                return Verdict(NEXT)
            number = following

    def _count_verdict(self, chain: int, place: int, said: Verdict) -> None:
        if said.kind == SENT:
            self._count_edge(chain, place, "send", str(min(int(said.argument) & 0xFFFF, EDGE_PORTS - 1)))
        elif said.kind == CONSUMED:
            self._count_edge(chain, place, "consume")
        else:
            self._count_edge(chain, place, "drop", str(said.argument))

    def _count_edge(self, chain: int, place: int, kind: str, to: str = "") -> None:
        edge = (chain, place, kind, to)
        self.report.edges[edge] = self.report.edges.get(edge, 0) + 1

    def _explain(self, stage: str, error: Exception) -> None:
        """Once per stage: what went wrong, where."""
        if stage not in self._failed:
            self._failed.add(stage)
            traceback.print_exception(error, file=sys.stderr)
            self.report.warnings.append(f"stage {stage} raised {type(error).__name__}: {error}; such packets drop")

    def count_made(self, packet: Packet) -> None:
        """Count a packet that a stage made; what becomes of it is counted as of others."""
        self.report.made += Count(1, packet.length)

    def count(self, verdict: Verdict, length: int, has_sink: bool, made: bool = False) -> bool:
        """Count what becomes of a packet, and that it came where it was not `made` here; True when it is to be sent."""
        report, one = self.report, Count(1, length)
        if not made:
            report.received += one
        if verdict.kind == DROPPED:
            reason = str(verdict.argument)
            report.drops[reason] = report.drops.get(reason, Count()) + one
            return False
        if verdict.kind == CONSUMED or not has_sink:
            report.consumed += one
            return False
        report.sent += one
        return True

    def count_dropped(self, reason: str, count: Count) -> None:
        """Packets that came, and were dropped before any stage."""
        if count.packets:
            self.report.received += count
            self.report.drops[reason] = self.report.drops.get(reason, Count()) + count

    def count_unsent(self, reason: str, count: Count) -> None:
        """Packets that were counted as sent, and were not."""
        if count.packets:
            sent = self.report.sent
            self.report.sent = Count(sent.packets - count.packets, sent.bytes - count.bytes)
            self.report.drops[reason] = self.report.drops.get(reason, Count()) + count

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Around the processing of a packet, or a burst: the pipeline stays what it is meanwhile."""
        while self._waiting:
            time.sleep(0.0005)
        with self._turn:
            yield

    def drain(self, now: int | None = None) -> None:
        """Hand digests over; where there is a clock, in ns, records that are over their time leave before."""
        with self._turn:
            if now is not None:
                for table in self._tables:
                    table.sweep(now)
            for digest in self._digests:
                digest.drain()

    def swap(self, pipeline: Pipeline) -> Swap:
        """Go on with another pipeline from the next packet (live: burst) on. Any thread may call it."""
        waiting = time.perf_counter()
        self._waiting = True
        with self._turn:
            self._waiting = False
            if not self.is_running:
                raise NotRunning()
            self.drain()
            machine = Machine(True, self._tunnel_ports, pipeline.protocols)
            carried = carry_over(self.pipeline, pipeline)
            if any(each.waits for each in exports_of(self.pipeline)):
                exports_wait(pipeline)
            for state in self.pipeline.state:
                if state not in pipeline.state:
                    state.finish()
            self.pipeline, self._machine = pipeline, machine
            self.report.edges.clear()
            self._digests = [s for s in pipeline.state if isinstance(s, Digest)]
            self._ahead = [s for s in pipeline.state if isinstance(s, LookAhead)]
            self._tables = [s for s in pipeline.state if isinstance(s, FlowTable)]
            self._failed.clear()
            self.report.swaps.append(time.time())
        return Swap(carried, 0.0, time.perf_counter() - waiting)

    def begin(self) -> None:
        """Before the first packet."""
        for state in self.pipeline.state:
            state.reset()
        self.is_running = True

    def finish(self, started: float) -> None:
        with self._turn:
            self.is_running = False
        self.report.seconds = time.perf_counter() - started
        self.drain()
        for state in self.pipeline.state:
            state.finish()
        self.report.exports = export_counts(self.pipeline)
        self.report.warnings += [w for s in self.pipeline.state for w in s.warnings()]

    def run_file(self, path: str, out: str | None, duration: float | None, progress: Progress | None) -> Report:
        """Over a capture file; what was processed before a fault stays counted and written."""
        from burstline.ports.source import open_stream

        check_output(out, path)
        self.begin()
        exports_wait(self.pipeline)
        started = time.perf_counter()
        deadline = started + duration if duration is not None else None
        interrupts = Interrupts()
        with ExitStack() as stack:
            stack.enter_context(interrupts.taken())
            stream = stack.enter_context(open_stream(path))
            output = _Output(self, create_capture(out)) if out else None
            if output:
                stack.callback(output.close)
            try:
                for captured in read_capture(stream, "standard input" if path == "-" else path):
                    with interrupts.whole(), self.turn():
                        self._packet(captured, output)
                    if self.report.received.packets % DRAIN_EVERY == 0:
                        with interrupts.whole():
                            self.drain()
                        if progress:
                            progress(0, None, self.report.received.packets)
                        if deadline is not None and time.perf_counter() > deadline:
                            self.report.stopped = True
                            break
            except KeyboardInterrupt:
                self.report.stopped = True
            finally:
                self.finish(started)
        return self.report

    def _packet(self, captured: CapturedPacket, output: _Output | None) -> None:
        data, length, moment, interface, linktype = captured
        packet = self.packet(data, length, moment, interface, link_of(linktype))
        verdict = self.verdict(packet)
        if output and verdict.kind not in (DROPPED, CONSUMED):
            output.write(captured, verdict)
        else:
            self.count(verdict, captured.length, has_sink=False)
        for made in made_of(packet):
            self.count_made(made)
            if output:
                output.write(
                    captured._replace(data=bytearray(data_of(made)), length=made.length), Verdict(NEXT), made=True
                )
            else:
                self.count(Verdict(NEXT), made.length, has_sink=False, made=True)
        if self.report.first_packet_seconds is None:
            self.report.first_packet_seconds = process_age()


class _Output:
    """The file that a run writes. What it does not take is not sent but dropped by name, as in a compiled run."""

    def __init__(self, interpreter: Interpreter, writer: CaptureWriter) -> None:
        self._interpreter, self._writer = interpreter, writer
        self._kept = Count()  # of what was sent, what surely is in the file

    def write(self, captured: CapturedPacket, verdict: Verdict, made: bool = False) -> None:
        """Write a packet and count it; raises when the file takes no more."""
        data, length, time, interface, linktype = captured
        try:
            self._writer.write(data, length, time, interface, linktype)
        except BurstlineError:
            self._interpreter.count(Verdict(DROPPED, SINK_FAILED), length, has_sink=True, made=made)
            raise
        self._interpreter.count(verdict, length, has_sink=True, made=made)
        if self._writer.packets == self._interpreter.report.sent.packets:  # it has just been flushed
            self._kept = self._interpreter.report.sent

    def close(self) -> None:
        report = self._interpreter.report
        try:
            self._writer.close()
        finally:
            lost = Count(report.sent.packets - self._writer.packets, report.sent.bytes - self._kept.bytes)
            if lost.packets:
                report.sent = self._kept
                report.drops[SINK_FAILED] = report.drops.get(SINK_FAILED, Count()) + lost


def send_target(verdict: Verdict, default: int) -> int:
    """The number of the port that a packet leaves by, or -1."""
    return int(verdict.argument) if verdict.kind == SENT else default
