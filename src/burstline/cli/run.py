"""`burstline run APP SOURCE...`: run a pipeline over a capture file or between live ports."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from burstline.cli.core_list import cores_of
from burstline.cli.graph import check_suffix, graph_of, write
from burstline.cli.progress import ProgressLine
from burstline.cli.reload import is_service, reload_on_hangup
from burstline.cli.steer_live import explain_steering
from burstline.engine.app import Application
from burstline.engine.carry import Swap
from burstline.engine.config import DISPATCH, Config, load
from burstline.engine.publisher import FILE_ROUNDS, LIVE_ROUNDS, Publisher
from burstline.engine.report import Report
from burstline.errors import BurstlineError, UsageError
from burstline.pipeline.pipeline import Pipeline
from burstline.steering.control.settings import ACTS

if TYPE_CHECKING:
    from burstline.engine.service.service import Service
    from burstline.engine.watch import Watch

EPILOG = """sources and sinks:
  capture.pcap, x.pcapng.zst   a capture file, plain or compressed by gzip or zstd;  - is standard input
  gen:packets=1e6,flows=1e4    generated traffic
  dpdk:0000:3b:00.0            a port by its PCI address
  dpdk:net_af_xdp,iface=eth1   a port by its DPDK driver and arguments, as DPDK spells them
  dpdk:xdp,iface=eth1          an interface of the kernel, with a queue for each worker by XDP
Several dpdk: sources are ports 0, 1, ... of the pipeline; a new port after --out gets the next number."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("app", metavar="APP", help="a Python file with a pipeline; FILE:NAME picks one of several")
    parser.add_argument("source", metavar="SOURCE", nargs="+", help="a capture file, gen:... or dpdk:...")
    parser.add_argument("--out", "-o", metavar="SINK", help="where packets go that come through: a file, - or dpdk:...")
    parser.add_argument("--workers", "-w", type=int, metavar="N", help="worker threads, one core each (default 1)")
    parser.add_argument("--interpret", action="store_true", help="run the stages as plain Python, for print and pdb")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="stop after this time")
    parser.add_argument("--idle", choices=("poll", "adaptive"), help="what a worker without packets does")
    parser.add_argument(
        "--burst", type=_burst, metavar="N", help="packets to receive at once from a port: 1 to 256, or auto"
    )
    parser.add_argument("--dispatch", choices=DISPATCH, help="how a stage hands a packet to the next")
    parser.add_argument("--cores", metavar="LIST", help="cores for the workers, e.g. 2,3")
    parser.add_argument("--no-huge", action="store_true", help="keep packet buffers out of huge pages")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: burstline.toml beside the app)")
    parser.add_argument("--watch", action="store_true", help="when APP is saved, swap the pipeline while it runs")
    parser.add_argument(
        "--keep-state", metavar="DIR", help="go on with counters and tables of the last run, from there"
    )
    parser.add_argument("--user", metavar="NAME", help="between ports: become this user when they are open")
    parser.add_argument(
        "--graph", type=Path, metavar="FILE", help="draw the graph with its packets: .svg .dot .txt .json"
    )
    parser.add_argument(
        "--costs", action="store_true", help="between ports: what stages cost, by the size of bursts (slows them down)"
    )
    parser.add_argument("--steer", choices=ACTS, help="between ports: whether the steering controller runs beside")
    parser.add_argument(
        "--explain-steering", action="store_true", help="print what the controller decides, each with its reason"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON; the app prints to stderr")


def run(args: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: stop, flush, report
    check_suffix(args.graph)
    config = load(args.config, Path(args.app.partition(":")[0]))
    config = config.with_overrides(
        workers=args.workers,
        duration=args.duration,
        idle=args.idle,
        burst=args.burst,
        dispatch=args.dispatch,
        cores=cores_of(args.cores),
        hugepages=False if args.no_huge else None,
        act=args.steer,
        service_user=args.user,
        service_state=args.keep_state,
    )
    config.engine.use_simd()
    out = contextlib.redirect_stdout(sys.stderr) if args.json or args.out == "-" else contextlib.nullcontext()
    with out:
        app = Application(args.app)
        pipeline = app.load()
        progress = ProgressLine()
        runner = _runner(pipeline, args, config, progress)
        runner.count_edges = args.graph is not None
        if args.costs:
            _count_costs(runner)
        if args.explain_steering or args.steer in ("on", "dry-run"):
            explain_steering(runner, config, progress, args.explain_steering)
        failure: BurstlineError | None = None
        try:
            with _beside(app, runner, config, progress, args):
                runner.run()
        except BurstlineError as error:
            failure = error
        progress.clear()
        report: Report = runner.report
        if failure is None or report.received.packets:
            try:
                runner.pipeline.finish(report)
            except BurstlineError as error:
                failure = failure or error
    if args.graph and (failure is None or report.received.packets):
        write(graph_of(runner.pipeline, report), args.graph)
    if failure is None or report.received.packets:
        _show(report, args.json, failure, sys.stderr if args.out == "-" else sys.stdout)
    if failure:
        raise failure
    return 0


def _beside(
    app: Application, runner: _Runner, config: Config, progress: ProgressLine, args: argparse.Namespace
) -> contextlib.AbstractContextManager[object]:
    """What goes on while packets flow: keeping state, looking at the application's files, being told to."""
    settings, live = config.service, all(s.startswith("dpdk:") for s in args.source)
    if settings.user and not live:
        raise UsageError("a run over a file needs no privileges to give up", "start it as the user that it is to be")
    hangup = is_service() and not Path(args.source[0]).is_file()
    watch = _watch(app, runner, progress, args.debug, args.watch) if args.watch or hangup else None
    if watch and hangup:
        reload_on_hangup(watch)
    if args.interpret:
        if settings.user or settings.state:
            raise UsageError("interpreted runs keep no state, and stay the user that they are", "leave --interpret out")
        return watch or contextlib.nullcontext()
    if watch or settings.user or settings.state or "NOTIFY_SOCKET" in os.environ:
        from burstline.engine.service.service import Service

        runner.service = Service(settings, _say)
        if watch:
            runner.service.beside.append(lambda: watch)
    return contextlib.nullcontext()


def _watch(app: Application, runner: _Runner, progress: ProgressLine, debug: bool, looks: bool) -> Watch:
    from burstline.cli.main import internal
    from burstline.cli.main import report as show
    from burstline.engine.service import notify
    from burstline.engine.watch import Watch

    def said(line: str) -> None:
        progress.clear()
        _say(line)
        notify.ready(line)

    def failed(error: Exception) -> None:
        progress.clear()
        if isinstance(error, BurstlineError):
            show(error.message, error.hint, error.exit_code, debug)
        else:
            internal(error, debug)
        _say("the pipeline runs on as it was")
        notify.ready("the application could not be loaded again")

    return Watch(app, runner, said, failed, getattr(runner, "rehearse", lambda: None), looks=looks)


def _count_costs(runner: _Runner) -> None:
    from burstline.engine.live import LiveRun

    if not isinstance(runner, LiveRun):
        raise UsageError("--costs is for compiled runs between ports", "name dpdk: sources, and no --interpret")
    runner.count_costs = True


def _burst(text: str) -> int | str:
    """A number, or a word; what it may be, the settings say."""
    return int(text) if text.lstrip("-").isdecimal() else text


def _show(report: Report, as_json: bool, failure: BurstlineError | None, to: TextIO) -> None:
    for warning in report.warnings:
        print(f"burstline: warning: {warning}", file=sys.stderr)
    if as_json:
        error = None if failure is None else failure.message
        print(json.dumps({**report.as_json(), "error": error}), file=to)
    else:
        print("\n".join(report.lines()), file=to)


def _runner(pipeline: Pipeline, args: argparse.Namespace, config: Config, progress: ProgressLine) -> _Runner:
    live = [s.startswith("dpdk:") for s in args.source]
    out_is_port = bool(args.out) and args.out.startswith("dpdk:")
    show = progress if progress.enabled else None
    interval = config.engine.stats_interval
    if all(live):
        from burstline.engine.live import LiveRun

        devices = [s.removeprefix("dpdk:") for s in args.source]
        if args.interpret:
            from burstline.engine.live_interpreter import LiveInterpreter

            return LiveInterpreter(pipeline, devices, args.out, config)
        publisher = Publisher(args.app, " ".join(args.source), interval, LIVE_ROUNDS) if interval else None
        run = LiveRun(pipeline, devices, args.out, config, progress=show, publisher=publisher)
        run.say = _say
        return run
    if any(live) or len(args.source) > 1:
        raise UsageError("a run has one capture file or any number of dpdk: ports as its source")
    if out_is_port:
        raise UsageError("packets of a capture file can be written to a file, not sent on a port", "--out OUT.pcapng")
    if args.interpret:
        return _FileInterpreter(pipeline, args.source[0], args.out, config, show)
    from burstline.engine.offline import FileRun

    engine = config.engine
    publisher = Publisher(args.app, args.source[0], interval, FILE_ROUNDS) if interval else None
    return FileRun(
        pipeline, args.source[0], args.out, workers=engine.workers, cores=engine.cores,
        dispatch=engine.dispatch, tunnel_ports=config.parser.tunnel_ports, duration=engine.duration, progress=show,
        publisher=publisher, buffers=config.pools.buffers,
    )  # fmt: skip


def _say(line: str) -> None:
    print(f"burstline: {line}", file=sys.stderr, flush=True)


class _Runner(Protocol):
    """What all kinds of runs have: a report that is filled in whatever happens."""

    report: Report
    count_edges: bool
    service: Service | None  # of compiled ones

    @property
    def pipeline(self) -> Pipeline: ...

    @property
    def is_running(self) -> bool: ...

    def run(self) -> Report: ...

    def swap(self, pipeline: Pipeline) -> Swap: ...


class _FileInterpreter:
    count_edges = True
    service: Service | None = None

    def __init__(
        self, pipeline: Pipeline, path: str, out: str | None, config: Config, progress: ProgressLine | None
    ) -> None:
        from burstline.engine.interpreter import Interpreter

        self._interpreter = Interpreter(pipeline, path, config.parser.tunnel_ports)
        self.report = self._interpreter.report
        self._arguments = (path, out, config.engine.duration, progress)

    @property
    def pipeline(self) -> Pipeline:
        return self._interpreter.pipeline

    @property
    def is_running(self) -> bool:
        return self._interpreter.is_running

    def run(self) -> Report:
        return self._interpreter.run_file(*self._arguments)

    def swap(self, pipeline: Pipeline) -> Swap:
        return self._interpreter.swap(pipeline)
