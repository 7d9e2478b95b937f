"""What the flow tables of a pipeline export, for reports and statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from burstline.errors import UsageError
from burstline.pipeline.pipeline import Pipeline
from burstline.state.flow_exports import FlowExports
from burstline.state.flow_table import FlowTable


def exports_of(pipeline: Pipeline) -> list[FlowExports]:
    """Of those tables that have sinks."""
    return [state for state in pipeline.state if isinstance(state, FlowExports) and state.outlets]


def exports_wait(pipeline: Pipeline) -> None:
    """Over a file, whoever hands records over can wait for their sinks."""
    for each in exports_of(pipeline):
        each.waits = True


def export_counts(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Of each sink, in records; `table` is the class of the records."""
    return [{"table": each.record.__name__, **one} for each in exports_of(pipeline) for one in each.status()]


def redirect(pipeline: Pipeline, sinks: Sequence[str]) -> None:
    """Let the records of its flow tables go there. Raises UsageError where several tables would write one file."""
    tables = [state for state in pipeline.state if isinstance(state, FlowTable)]
    if not tables:
        raise UsageError("the application has no flow table to export", "leave --export and [flows] export out")
    for table in tables:
        table.exports.outlets = []
        for spelled in sinks:
            table.exports.write_to(spelled)
    files = [o.spelled for table in tables for o in table.exports.outlets if o.target.path]
    if len(files) > len(set(files)):
        raise UsageError(f"{len(tables)} flow tables cannot all go to {files[0]}", "name a sink= for each in the app")
