"""The layouts of a pipeline's records: worked out from what its stages touch."""

from __future__ import annotations

from burstline.native.struct import LINE, Layout, declared
from burstline.pipeline.accesses import Accesses
from burstline.state.arrangement import arrange
from burstline.state.flow_table import FlowTable


def room_of(table: FlowTable) -> int:  # type: ignore[type-arg]
    """Bytes that key and times leave in the line of an entry in which the record begins."""
    return -table.geometry.record_at % LINE


def layouts_of(accesses: Accesses) -> dict[int, Layout]:
    """Of each flow table, by its number in `Pipeline.state`. Records of digests are written as a whole, one behind the
    other: they stay packed. Raises UsageError for lines of the user's that cannot be made."""
    return {
        number: arrange(state.record.__name__, declared(state.record), accesses.uses_of(number), room_of(state))
        for number, state in enumerate(accesses.state)
        if isinstance(state, FlowTable)
    }
