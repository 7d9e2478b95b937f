"""What an archive cannot do is said before anything runs."""

from __future__ import annotations

from burstline.engine.carry import named_state
from burstline.errors import UsageError
from burstline.pipeline.pipeline import Pipeline
from burstline.state.flow_table import FlowTable
from burstline.state.meter import Meter
from burstline.state.saved.kinds import GIVEN, kind_of


def check_mergeable(pipeline: Pipeline, captures: int) -> None:
    """Raises UsageError for state of which several captures' results cannot become one, or that cannot be handed on."""
    for name, state in named_state(pipeline).items():
        shown = name.rpartition(":")[2]
        if kind_of(state) is None and not isinstance(state, GIVEN):
            raise UsageError(
                f"{shown} is a {type(state).__name__}, of which results of captures cannot be put together",
                "leave it out, or run the captures one by one: burstline run",
            )
        if captures < 2:
            continue
        if isinstance(state, Meter):
            raise UsageError(
                f"{shown} is a Meter: what it lets pass depends on all packets before, which lie in other captures",
                "leave it out, or run the captures one by one: burstline run",
            )
        if isinstance(state, FlowTable) and state.merge is None:
            rules = ", ".join(f'"{slot.name}": "add"' for slot in state.layout)
            raise UsageError(
                f"{shown} does not say what becomes of a flow that has a record of each of several captures",
                f"FlowTable({state.record.__name__}, merge={{{rules}}}) adds them up; "
                'others are "min", "max", "or", "first", "last"; merge="apart" leaves them as they are',
            )
