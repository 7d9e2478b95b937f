"""`burstline run APP SOURCE...`: run a pipeline over a capture file or between live ports."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from burstline.cli.beside import begin, beside
from burstline.cli.core_list import cores_of
from burstline.cli.graph import check_suffix, write
from burstline.cli.metrics_beside import served_metrics
from burstline.cli.progress import ProgressLine
from burstline.cli.run_log import LOGS, RunLog
from burstline.cli.steer_live import explain_steering
from burstline.engine.app import Application
from burstline.engine.carry import Swap
from burstline.engine.config import DISPATCH, Config, load
from burstline.engine.exports import redirect
from burstline.engine.graph import graph_of
from burstline.engine.publisher import FILE_ROUNDS, LIVE_ROUNDS, Publisher
from burstline.engine.report import Report
from burstline.engine.threads import usable_cores
from burstline.errors import BurstlineError, UsageError
from burstline.pipeline.pipeline import Pipeline
from burstline.steering.control.settings import ACTS

if TYPE_CHECKING:
    from burstline.engine.service.service import Service
    from burstline.view.questions import Viewed

EPILOG = """sources and sinks:
  capture.pcap, x.pcapng.zst   a capture file, plain or compressed by gzip or zstd;  - is standard input
  follow:capture.pcapng        one that still grows; of a directory, each file when the one before it ends
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
    parser.add_argument(
        "--plan",
        metavar="PLAN",
        help="between ports: carry out a plan: auto, or a file of `burstline plan --save`; off",
    )
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
    parser.add_argument(
        "--export", action="append", metavar="SINK", help="where flow records go instead: a file or a URL; repeatable"
    )
    parser.add_argument("--steer", choices=ACTS, help="between ports: whether the steering controller runs beside")
    parser.add_argument(
        "--explain-steering", action="store_true", help="print what the controller decides, each with its reason"
    )
    parser.add_argument("--log", choices=LOGS, default="plain", help="what is said on standard error (default plain)")
    parser.add_argument("--metrics", metavar="HOST:PORT", help="serve metrics to Prometheus, by another process")
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
        service_user=args.user,
        service_state=args.keep_state,
        steering_control_act=args.steer,
        export=args.export,
        plan=False if args.plan == "off" else args.plan,
    )
    begin(config, args)
    config.engine.use_simd()
    out = contextlib.redirect_stdout(sys.stderr) if args.json or args.out == "-" else contextlib.nullcontext()
    with out:
        app = Application(args.app)
        if sinks := config.flows.export:
            app.loaded = partial(redirect, sinks=sinks)
        pipeline = app.load()
        progress = ProgressLine()
        log = RunLog(args.log == "json", progress)
        progress.enabled = progress.enabled and not log.as_json
        runner = _runner(pipeline, args, config, progress, log)
        runner.count_edges = args.graph is not None
        if args.costs:
            _count_costs(runner)
        if args.explain_steering or args.steer in ("on", "dry-run"):
            explain_steering(runner, config, log, args.explain_steering)
        failure: BurstlineError | None = None
        try:
            with (
                beside(app, runner, config, log, args),
                served_metrics(args.metrics, config.service.user) if args.metrics else contextlib.nullcontext(),
            ):
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
        log.warnings(report.warnings)
        log.ended(report)
        _show(report, args.json, failure, sys.stderr if args.out == "-" else sys.stdout)
    if failure:
        raise failure
    return 0


def _count_costs(runner: _Runner) -> None:
    from burstline.engine.live import LiveRun

    if not isinstance(runner, LiveRun):
        raise UsageError("--costs is for compiled runs between ports", "name dpdk: sources, and no --interpret")
    runner.count_costs = True


def _burst(text: str) -> int | str:
    """A number, or a word; what it may be, the settings say."""
    return int(text) if text.lstrip("-").isdecimal() else text


def _show(report: Report, as_json: bool, failure: BurstlineError | None, to: TextIO) -> None:
    if as_json:
        error = None if failure is None else failure.message
        print(json.dumps({**report.as_json(), "error": error}), file=to)
    else:
        print("\n".join(report.lines()), file=to)


def _runner(
    pipeline: Pipeline, args: argparse.Namespace, config: Config, progress: ProgressLine, log: RunLog
) -> _Runner:
    live = [s.startswith("dpdk:") for s in args.source]
    out_is_port = bool(args.out) and args.out.startswith("dpdk:")
    show = progress if progress.enabled else None
    interval = config.engine.stats_interval
    if all(live):
        from burstline.engine.live import LiveRun

        devices = [s.removeprefix("dpdk:") for s in args.source]
        if args.interpret:
            from burstline.engine.live_interpreter import LiveInterpreter

            if args.plan not in (None, "off"):
                raise UsageError("--plan is for compiled runs between ports", "leave --interpret out")

            return LiveInterpreter(pipeline, devices, args.out, config)
        publisher = Publisher(args.app, " ".join(args.source), interval, LIVE_ROUNDS) if interval else None
        run = LiveRun(pipeline, devices, args.out, config, progress=show, publisher=publisher)
        run.say = log.said
        log.follow(run.events)
        _serve(publisher, run, config)
        return run
    if any(live) or len(args.source) > 1:
        raise UsageError("a run has one capture file or any number of dpdk: ports as its source")
    if out_is_port:
        raise UsageError("packets of a capture file can be written to a file, not sent on a port", "--out OUT.pcapng")
    if args.plan not in (None, "off"):
        raise UsageError("--plan is for compiled runs between ports", "name dpdk: sources, and no --interpret")
    if args.interpret:
        return _FileInterpreter(pipeline, args.source[0], args.out, config, show)
    from burstline.engine.offline import FileRun

    engine = config.engine
    publisher = Publisher(args.app, args.source[0], interval, FILE_ROUNDS) if interval else None
    file_run = FileRun(
        pipeline, args.source[0], args.out, workers=engine.workers, cores=engine.cores,
        dispatch=engine.dispatch, tunnel_ports=config.parser.tunnel_ports, duration=engine.duration, progress=show,
        publisher=publisher, buffers=config.pools.buffers,
    )  # fmt: skip
    _serve(publisher, file_run, config)
    if publisher is not None:
        log.follow(publisher.events)
    return file_run


def _serve(publisher: Publisher | None, run: Viewed, config: Config) -> None:
    """Have the run answer questions from outside."""
    if publisher is not None and sys.platform != "win32":
        from burstline.view.question_server import QuestionServer

        publisher.questions = QuestionServer(run, config.engine.cores or usable_cores()[: config.engine.workers])


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
