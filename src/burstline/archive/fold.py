"""The results of many captures become one: state of every kind, handlers' batches, counts of packets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burstline.engine.carry import named_state
from burstline.engine.exports import export_counts
from burstline.engine.report import Count, Report
from burstline.pipeline.pipeline import Pipeline
from burstline.state.base import State
from burstline.state.digest import Digest
from burstline.state.flow_table import FlowTable
from burstline.state.hash_table import HashTable
from burstline.state.saved.file import Contents
from burstline.state.saved.flow_join import close_idle
from burstline.state.saved.flows import Flows, still_open
from burstline.state.saved.kind import Copy, Joinable
from burstline.state.saved.kinds import kind_of
from burstline.state.saved.tables import HashTables

AT_ONCE = 32  # captures whose results are put together at a time


class Fold:
    """`add` results in the order of their captures, then `finish`: the pipeline's state is then that of all."""

    def __init__(self, pipeline: Pipeline, source: str, workers: int) -> None:
        self.pipeline = pipeline
        self.report = Report(source, "compiled", workers)
        self.states = named_state(pipeline)
        self._waiting: dict[str, list[Copy]] = {name: [] for name in self.states}
        for state in pipeline.state:
            state.reset()
            if isinstance(state, FlowTable):
                state.exports.waits = True  # as over a file: nothing is lost on its way to a sink

    def add(self, part: Contents) -> None:
        """Handlers are called with what they would have got in a run over the capture."""
        self._count(part.head)
        for name, saved in part.states.items():
            state = self.states[name]
            if isinstance(state, Digest):
                for copy in saved.copies:
                    state._give(copy["rows"])
            else:
                self._waiting[name] += saved.copies
                if len(self._waiting[name]) >= AT_ONCE:
                    self._waiting[name] = self._joined(state, self._waiting[name])

    def _count(self, head: Mapping[str, Any]) -> None:
        report = self.report
        report.received += Count(*head["received"])
        report.made += Count(*head["made"])
        report.sent += Count(*head["sent"])
        report.consumed += Count(*head["consumed"])
        report.dispatch = head["dispatch"]
        for reason, count in head["drops"].items():
            report.drops[reason] = report.drops.get(reason, Count()) + Count(*count)

    def _joined(self, state: State, copies: list[Copy]) -> list[Copy]:
        kind = kind_of(state)
        if len(copies) > 1:
            assert isinstance(kind, Joinable)  # refusals.py
            copies = kind.join(state, copies)
        if isinstance(kind, Flows) and isinstance(state, FlowTable):
            return [self._let_go(kind, state, copy) for copy in copies]
        return copies

    def _let_go(self, kind: Flows, table: FlowTable[Any], copy: Copy) -> Copy:
        """What left the table does so for good: later captures change only open records."""
        if table.exports.is_wanted and len(rows := kind.left(table, copy)):
            table.exports._hand(rows, waits=True)
        return still_open(copy)

    def finish(self) -> Report:
        """Have Python read the state of all, and call the handlers that wait for the end."""
        for name, copies in self._waiting.items():
            state, kind = self.states[name], kind_of(self.states[name])
            if kind is None or not copies:
                continue
            joined = self._joined(state, copies)
            if isinstance(kind, Flows) and isinstance(state, FlowTable):
                kind.show(state, self._let_go(kind, state, close_idle(state, joined[0])))
            elif isinstance(kind, HashTables) and isinstance(state, HashTable):
                kind.show(state, joined[0])
            else:
                state.address(0)
                kind.put(state, 0, joined)
        failure: Exception | None = None
        for state in self.pipeline.state:
            try:
                state.finish()
            except Exception as error:  # other sinks' files are closed all the same
                failure = failure or error
            self.report.warnings += state.warnings()
        if failure is not None:
            raise failure
        self.report.exports = export_counts(self.pipeline)
        return self.report
