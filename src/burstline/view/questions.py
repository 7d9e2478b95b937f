"""What a running engine is asked, and its answers, as JSON has them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from burstline.engine.graph import graph_of
from burstline.engine.layout_report import layout_report
from burstline.engine.report import Report
from burstline.errors import UsageError
from burstline.pipeline.accesses import accesses_of
from burstline.pipeline.needs import needs_of
from burstline.pipeline.pipeline import Pipeline
from burstline.state.flow_table import FlowTable
from burstline.view.flow_query import FlowQuery, select

if TYPE_CHECKING:
    from burstline.engine.live_view import LiveView

REST = 5.0  # a table that took so long to read is read again when five times as much has passed
FRESH = 0.5  # seconds; sooner, the flows that were read last are looked through


class Viewed(Protocol):
    """A run that can be asked. `view` is None over a file."""

    view: LiveView | None

    @property
    def running(self) -> Pipeline: ...


class Questions:
    """Of one run."""

    def __init__(self, run: Viewed) -> None:
        self._run = run
        self._read: dict[int, tuple[float, float, Any]] = {}  # by table: when, what it took, rows
        self._reading = threading.Lock()
        self._answers: dict[str, Callable[[dict[str, Any]], Any]] = {
            "flows": self._flows,
            "graph": self._graph,
            "layout": self._layout,
            "drops": self._drops,
            "measure": self._measure,
            "move": self._move,
        }

    def answer(self, asked: dict[str, Any]) -> Any:
        """Raises BurstlineError; TypeError, ValueError and KeyError for what is not understood."""
        about = self._answers.get(str(asked.get("ask")))
        if about is None:
            raise UsageError(f"no question is called {asked.get('ask')!r}", f"ask {', '.join(self._answers)}")
        return about(asked)

    def _flows(self, asked: dict[str, Any]) -> dict[str, Any]:
        tables = [state for state in self._run.running.state if isinstance(state, FlowTable)]
        names = [table.record.__name__ for table in tables]
        if not tables:
            return {"tables": [], "columns": [], "rows": [], "total": 0, "matched": 0}
        number = int(asked.get("table", 0))
        if not 0 <= number < len(tables):
            raise UsageError(f"there is no flow table {number}", f"the pipeline has {len(tables)}")
        rows, age = self._rows(tables[number])
        query = FlowQuery(
            search=str(asked.get("search", "")), sort=str(asked.get("sort", "")),
            descending=bool(asked.get("descending", True)),
            limit=int(asked.get("limit", 50)), offset=int(asked.get("offset", 0)),
        )  # fmt: skip
        return {"tables": names, "table": number, "age": age, **select(tables[number], rows, query)}

    def _rows(self, table: FlowTable[Any]) -> tuple[Any, float]:
        """All flows, and for how long that has been so. Reading a large table takes memory bandwidth, so it is not done
        much more often than it takes."""
        with self._reading:
            known = self._read.get(id(table))
            now = time.monotonic()
            if known is not None and now - known[0] < max(FRESH, REST * known[1]):
                return known[2], now - known[0]
            rows = table.to_numpy()
            self._read = {id(table): (now, time.monotonic() - now, rows)}
            return rows, 0.0

    def _graph(self, _: dict[str, Any]) -> dict[str, Any]:
        measured = self._run.view.last if self._run.view else None
        if measured is None:
            return {"measured": None, **asdict(graph_of(self._run.running))}
        report = Report("", "", edges={tuple(edge[:4]): edge[4] for edge in measured["edges"]}, swaps=[0.0])
        seconds = measured["until"] - measured["since"]
        about = {"until": measured["until"], "seconds": seconds, "costs": measured["costs"], "hz": measured["hz"]}
        return {"measured": about, **asdict(graph_of(self._run.running, report))}

    def _layout(self, _: dict[str, Any]) -> dict[str, Any]:
        pipeline = self._run.running
        accesses = accesses_of(pipeline, pipeline.profile)
        return layout_report(accesses, needs_of(pipeline), "ports" if self._run.view else "pcap")

    def _drops(self, _: dict[str, Any]) -> list[dict[str, Any]]:
        if self._run.view is None:
            raise UsageError("dropped packets are sampled between ports only", "over a file, run it with --interpret")
        return [{**asdict(sample), "data": sample.data.hex()} for sample in self._run.view.samples.read()]

    def _measure(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self._run.view is None:
            raise UsageError("edges and cycles are measured between ports only", "over a file, give --graph FILE")
        return self._run.view.measure(float(asked.get("seconds", 1.0)))

    def _move(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self._run.view is None:
            raise UsageError("workers move between ports only", "over a file, give --cores to the run")
        done = self._run.view.move(int(asked["worker"]), int(asked["cpu"]))
        return {**done.as_json(), "text": done.text}
