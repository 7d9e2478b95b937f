"""`burstline flows CAPTURE...`: the flows of captures, or of live ports, as a table."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from burstline.cli.progress import ProgressLine
from burstline.engine.config import load
from burstline.engine.exports import export_counts
from burstline.engine.publisher import LIVE_ROUNDS, Publisher
from burstline.engine.report import Count, in_units
from burstline.errors import BurstlineError, UsageError
from burstline.export.counts import export_lines
from burstline.flows.records import MOST_PAYLOAD, Settings

if TYPE_CHECKING:
    from burstline.engine.report import Report
    from burstline.flows.meter import Meter
    from burstline.flows.output import FlowOutput

SUFFIXES = (".pcap", ".pcapng", ".cap", ".dmp")  # of captures in a directory, also with .gz or .zst behind
EPILOG = """Where flows go (-o, repeatable) is a file by its name or a URL, each with options after a question mark:
  flows.parquet  flows.csv  flows.jsonl  flows.arrows      csv:- and json:- are standard output
  "flows/%Y%m%d-%H%M%S.parquet?rotate=60s,1GB"
  ipfix+udp://collector:4739  arrow+tcp://host:port  kafka://broker:9092/topic

  burstline flows capture.pcapng -o flows.parquet
  burstline flows captures/ --filter "tcp port 443" -o csv:- | sort -t, -k14
  burstline flows dpdk:0000:3b:00.0 -o ipfix+udp://collector:4739"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "source", metavar="CAPTURE", nargs="+", help="captures, directories of them, - for stdin, or dpdk:... ports"
    )
    parser.add_argument("--out", "-o", metavar="SINK", action="append", help="where flows go (default: csv:-)")
    parser.add_argument(
        "--filter", "-f", metavar="EXPRESSION", default="", help="only packets that match a pcap filter"
    )
    parser.add_argument("--idle", type=float, default=Settings.idle, metavar="SECONDS",
                        help="a flow ends after this time without a packet (default: 120)")  # fmt: skip
    parser.add_argument("--active", type=float, default=Settings.active, metavar="SECONDS",
                        help="a record ends at this age, and its flow begins another (default: 1800)")  # fmt: skip
    parser.add_argument("--one-way", action="store_true", help="each direction is a flow of its own")
    parser.add_argument("--tunnels", action="store_true", help="flows inside of VXLAN, Geneve, GTP-U, GRE and IP")
    parser.add_argument("--payload", type=int, default=0, metavar="N", help="keep the first N bytes of each direction")
    parser.add_argument("--no-names", action="store_true", help="do not read payloads: no SNI, JA4 and names of DNS")
    parser.add_argument("--capacity", type=int, default=Settings.capacity, metavar="N",
                        help="flows at a time for each worker (default: 1,000,000)")  # fmt: skip
    parser.add_argument("--workers", "-w", type=int, default=1, metavar="N", help="worker threads, one core each")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="stop after this time")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not 0 <= args.payload <= MOST_PAYLOAD:
        raise UsageError(f"--payload {args.payload} is out of range", f"give 0 to {MOST_PAYLOAD} bytes")
    if args.workers < 1:
        raise UsageError(f"--workers {args.workers} is no number of workers", "give 1 or more")
    from burstline.flows.meter import Meter
    from burstline.flows.output import FlowOutput

    settings = Settings(
        idle=args.idle, active=args.active, capacity=args.capacity, both_ways=not args.one_way,
        tunnels=args.tunnels, names=not args.no_names, payload=args.payload, filter=args.filter,
    )  # fmt: skip
    live = [source.startswith("dpdk:") for source in args.source]
    if any(live) and not all(live):
        raise UsageError("flows are of captures or of ports, not of both", "run it once for each")
    captures = [] if any(live) else captures_of(args.source)
    sinks = args.out or ["csv:-"]
    meter = Meter(settings)
    output = FlowOutput(meter, sinks, several=len(captures) > 1, workers=args.workers)
    metering = _Metering(meter, output, args)
    failure = metering.live() if any(live) else metering.files(captures)
    to = (
        sys.stderr
        if any(sink.partition("?")[0] in ("-", "csv:-", "json:-", "arrow:-") for sink in sinks)
        else sys.stdout
    )
    with contextlib.suppress(BrokenPipeError):
        metering.show(to, failure)
    if failure is not None:
        raise failure
    return 0


def captures_of(sources: Sequence[str]) -> list[str]:
    """The files, those of directories in the order of their names. Raises UsageError for a directory without any."""
    found: list[str] = []
    for source in sources:
        if not Path(source).is_dir():
            found.append(source)
            continue
        inside = sorted(path for path in Path(source).rglob("*") if _is_capture(path))
        if not inside:
            raise UsageError(f"there are no captures in {source}", f"their names end in {', '.join(SUFFIXES)}")
        found += map(str, inside)
    return found


def _is_capture(path: Path) -> bool:
    suffixes = [s for s in path.suffixes[-2:] if s not in (".gz", ".zst")]
    return bool(suffixes) and suffixes[-1] in SUFFIXES and path.is_file()


class _Metering:
    """Runs over captures, one after the other, or between ports; and what they came to."""

    def __init__(self, meter: Meter, output: FlowOutput, args: argparse.Namespace) -> None:
        self._meter, self._output, self._args = meter, output, args
        self._progress = ProgressLine()
        self._captures, self._seconds = 0, 0.0
        self._received, self._dropped = Count(), Count()
        self._warnings: list[str] = []

    def files(self, captures: Sequence[str]) -> BurstlineError | None:
        """What went wrong; of several captures, each is told that could not be read to its end, and the others are read
        all the same."""
        from burstline.engine.offline import FileRun

        failure: BurstlineError | None = None
        failed = 0
        exports = self._output.exports
        exports.stays_open = True
        for capture in captures:
            self._output.capture = capture
            run = FileRun(
                self._meter.pipeline, capture, None, workers=self._args.workers, duration=self._args.duration,
                progress=self._progress if self._progress.enabled else None,
            )  # fmt: skip
            try:
                run.run()
            except BurstlineError as error:
                self._progress.clear()
                failure, failed = error, failed + 1
                if len(captures) > 1:
                    print(f"burstline: {error.message}", file=sys.stderr)
                    failure = BurstlineError(f"{failed} of {len(captures)} captures could not be read to their end")
            self._add(run.report)
            if run.report.stopped or any(outlet.failure for outlet in exports.outlets):
                break
        self._progress.clear()
        try:
            exports.begin()  # of a run that came to nothing
            exports.close()
        except BurstlineError as error:
            failure = failure or error
        return failure

    def live(self) -> BurstlineError | None:
        from burstline.engine.live import LiveRun

        config = load(None, None).with_overrides(workers=self._args.workers, duration=self._args.duration)
        devices = [source.removeprefix("dpdk:") for source in self._args.source]
        interval = config.engine.stats_interval
        publisher = Publisher("flows", " ".join(self._args.source), interval, LIVE_ROUNDS) if interval else None
        run = LiveRun(
            self._meter.pipeline, devices, None, config, publisher=publisher,
            progress=self._progress if self._progress.enabled else None,
        )  # fmt: skip
        failure: BurstlineError | None = None
        try:
            run.run()
        except BurstlineError as error:
            failure = error
        self._progress.clear()
        self._add(run.report)
        return failure

    def _add(self, report: Report) -> None:
        self._captures += 1
        self._seconds += report.seconds
        self._received += report.received
        self._dropped += report.dropped
        self._warnings += [w for w in report.warnings if "flow records" not in w]

    def show(self, to: TextIO, failure: BurstlineError | None) -> None:
        """The report: packets, flows, and where they went."""
        exports = export_counts(self._meter.pipeline)
        for warning in dict.fromkeys([*self._warnings, *self._output.exports.warnings()]):
            print(f"burstline: warning: {warning}", file=sys.stderr)
        if self._args.json:
            report = {
                "captures": self._captures, "packets": self._received.packets, "bytes": self._received.bytes,
                "filtered": self._dropped.packets, "flows": self._output.flows, "seconds": self._seconds,
                "exports": exports, "error": None if failure is None else failure.message,
            }  # fmt: skip
            print(json.dumps(report), file=to)
            return
        rate = in_units(self._received.packets / self._seconds if self._seconds else 0, "packets/s")
        filtered = f", {self._dropped.packets:,} filtered out" if self._dropped.packets else ""
        print(
            f"{self._output.flows:,} flows of {self._received.packets:,} packets{filtered}, "
            f"{self._received.bytes:,} bytes, in {self._seconds:.3f} s ({rate})",
            file=to,
        )
        print("\n".join(export_lines(exports)), file=to)
