"""One pipeline over the same packets, compiled and interpreted: reports, packets written, and state, to be compared."""

from __future__ import annotations

import itertools
import linecache
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import burstline as bl
from burstline.engine.interpreter import Interpreter
from burstline.engine.offline import FileRun
from burstline.engine.report import Report
from burstline.ports.capture_format import CaptureError
from burstline.ports.capture_reader import CapturedPacket, read_capture
from burstline.state.base import State
from capture_files import pcap_header, record

SECOND = 1_000_000_000
_numbers = itertools.count()


@dataclass
class Outcome:
    """What a run left behind, as plain values."""

    report: Report
    written: list[CapturedPacket]
    state: dict[str, Any]
    error: str | None = None

    @property
    def counts(self) -> dict[str, Any]:
        """The part of the report that both modes must agree on; a run's packets always add up."""
        report = self.report
        assert report.balanced
        drops = {name: (c.packets, c.bytes) for name, c in report.drops.items()}
        totals = ((c.packets, c.bytes) for c in (report.received, report.made, report.sent, report.consumed))
        return dict(zip(("received", "made", "sent", "consumed"), totals, strict=True)) | {"drops": drops}

    @property
    def compared(self) -> tuple[Any, ...]:
        return self.counts, self.written, self.state, self.error


@dataclass
class Both:
    compiled: Outcome
    interpreted: Outcome
    pipeline: bl.Pipeline = field(repr=False)

    def equal(self) -> Outcome:
        """The outcome, once both are known to be the same."""
        for a, b in zip(self.compiled.compared, self.interpreted.compared, strict=True):
            assert a == b
        return self.compiled


def function_of(source: str, **names: Any) -> Any:
    """The last function of a piece of source, which errors can quote as if it lay in a file."""
    file = f"<generated {next(_numbers)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space: dict[str, Any] = {"bl": bl, "__name__": "generated", **names}
    exec(compile(source, file, "exec"), space)
    return [v for v in space.values() if getattr(getattr(v, "__code__", None), "co_filename", "") == file][-1]


def stage_of(source: str, **names: Any) -> bl.Stage:
    """`function_of`, as a stage."""
    return bl.stage(function_of(source, **names))


def pcap_of(packets: Iterable[bytes | tuple[bytes, int]], linktype: int = 1) -> bytes:
    """A pcap file of packets, or of packets with their lengths on the wire, a microsecond apart."""
    parts = [pcap_header("<", linktype=linktype)]
    for k, each in enumerate(packets):
        data, length = each if isinstance(each, tuple) else (each, len(each))
        parts.append(record("<", 1_700_000_000 + k // 1_000_000, k % 1_000_000 * 1000, data, length))
    return b"".join(parts)


def run_both(
    stages: Sequence[bl.Stage] | bl.Pipeline,
    packets: Iterable[bytes | tuple[bytes, int]] | bytes | Path,
    *,
    linktype: int = 1,
    out: str | None = "out.pcapng",
    workers: int = 1,
    dispatch: str = "auto",
) -> Both:
    """Run a pipeline over packets, or over the bytes or the path of a capture file, in both modes."""
    pipeline = stages if isinstance(stages, bl.Pipeline) else bl.Pipeline(*stages)
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(packets, Path):
            source = packets
        else:
            source = Path(folder, "in.pcap")
            source.write_bytes(packets if isinstance(packets, bytes) else pcap_of(packets, linktype))
        sink = str(Path(folder, out)) if out else None
        compiled = outcome(
            pipeline, lambda: FileRun(pipeline, str(source), sink, workers=workers, dispatch=dispatch), sink
        )
        interpreted = outcome(pipeline, lambda: Interpreted(pipeline, source, Path(sink) if sink else None), sink)
    return Both(compiled, interpreted, pipeline)


class Interpreted:
    """A run of the interpreter with the face of a `FileRun`."""

    def __init__(self, pipeline: bl.Pipeline, path: Path, out: Path | None, duration: float | None = None) -> None:
        self._interpreter = Interpreter(pipeline, str(path))
        self.report = self._interpreter.report
        self._arguments = str(path), str(out) if out else None, duration

    def run(self) -> Report:
        return self._interpreter.run_file(*self._arguments, None)


def outcome(pipeline: bl.Pipeline, runner: Callable[[], Any], sink: str | None) -> Outcome:
    """Run, and take down all that can be seen of it."""
    digests: dict[str, list[Any]] = {}
    for name, state in named_state(pipeline):
        if isinstance(state, bl.Digest):
            batches: list[Any] = digests.setdefault(name, [])
            state.batches(lambda batch, batches=batches: batches.extend(batch.tolist()))
    made = runner()
    error = None
    try:
        made.run()
    except CaptureError as failure:
        error = str(failure)
    written = []
    if sink and (error is None or Path(sink).exists()):  # a source that cannot be opened leaves none
        with open(sink, "rb") as file:
            written = list(read_capture(file, sink))
    return Outcome(made.report, written, {n: read_out(s, digests.get(n)) for n, s in named_state(pipeline)}, error)


def named_state(pipeline: bl.Pipeline) -> list[tuple[str, State]]:
    return [(f"{type(s).__name__} {k}", s) for k, s in enumerate(pipeline.state)]


def read_out(state: State, digests: list[Any] | None) -> Any:
    if isinstance(state, bl.Counter):
        return state.value
    if isinstance(state, bl.ByteHistogram):
        return state.counts
    if isinstance(state, bl.Histogram):
        return state.counts(), state.sum
    if isinstance(state, bl.CountMin):
        return state.total, state.to_numpy().tolist()
    if isinstance(state, bl.HyperLogLog):
        return state.to_numpy().tolist()
    if isinstance(state, bl.HeavyHitters):
        return state.top()
    if isinstance(state, bl.Set):
        return state.refused, list(state)
    if isinstance(state, bl.Map):
        return state.refused, list(state.items())
    if isinstance(state, bl.Meter):
        return state.allowed, state.exceeded
    if isinstance(state, bl.FlowTable):
        flows = state.to_numpy()
        return state.refused, len(state), [plain(row) for row in flows.tolist()]
    return [plain(row) for row in digests or []]


def plain(row: Sequence[Any]) -> tuple[Any, ...]:
    """A row whose values compare by content, NaN and arrays included."""
    return tuple(v.tolist() if hasattr(v, "tolist") else repr(v) if v != v else v for v in row)
