"""The layouts of a pipeline's records: worked out from what its stages touch."""

from __future__ import annotations

from typing import Any

from burstline.native.struct import LINE, Layout, declared
from burstline.pipeline.accesses import Accesses, accesses_of
from burstline.pipeline.pipeline import Pipeline
from burstline.state.arrangement import arrange
from burstline.state.flow_table import FlowTable


def room_of(table: FlowTable[Any]) -> int:
    """Bytes that key and times leave in the line of an entry in which the record begins."""
    return -table.geometry.record_at % LINE


def lay_out_records(pipeline: Pipeline) -> None:
    """Give the pipeline's flow tables the layouts that its stages, and its profile, ask for; those that hold records
    already, since another pipeline runs, keep theirs."""
    tables = [s for s in pipeline.state if isinstance(s, FlowTable)]
    if all(table.addresses() for table in tables):
        return
    for number, layout in layouts_of(accesses_of(pipeline)).items():
        table = pipeline.state[number]
        if isinstance(table, FlowTable) and not table.addresses():
            table.layout = layout


def layouts_of(accesses: Accesses) -> dict[int, Layout]:
    """Of each flow table, by its number in `Pipeline.state`. Records of digests are written as a whole, one behind the
    other: they stay packed. Raises UsageError for lines of the user's that cannot be made."""
    return {
        number: arrange(state.record.__name__, declared(state.record), accesses.uses_of(number), room_of(state))
        for number, state in enumerate(accesses.state)
        if isinstance(state, FlowTable)
    }
