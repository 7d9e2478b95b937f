"""In a run over one capture: what would go to the application's handlers is kept, for when it is their turn."""

from __future__ import annotations

from typing import Any

from burstline.engine.carry import named_state
from burstline.pipeline.pipeline import Pipeline
from burstline.state.digest import Digest
from burstline.state.flow_table import FlowTable
from burstline.state.saved.file import Saved
from burstline.state.saved.flows import Left
from burstline.state.saved.kinds import kind_of


class Gathering:
    """Takes the place of all handlers of a pipeline, inside of a `with`."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.states = named_state(pipeline)
        self._left: dict[str, Left] = {}
        self._batches: dict[str, list[Any]] = {}
        self._handlers: list[tuple[Digest[Any], Any]] = []

    def __enter__(self) -> Gathering:
        for name, state in self.states.items():
            if isinstance(state, FlowTable):
                self._left[name] = Left(state)
            elif isinstance(state, Digest):
                self._handlers.append((state, state._handler))
                batches = self._batches[name] = []
                state._handler = batches.append if state._handler is not None else None
        return self

    def __exit__(self, *_: object) -> None:
        for left in self._left.values():
            left.undo()
        for digest, handler in self._handlers:
            digest._handler = handler

    def saved(self) -> dict[str, Saved]:
        """After a run, by name: all state, and what was for handlers."""
        import numpy as np

        found = {}
        for name, state in self.states.items():
            kind = kind_of(state)
            if isinstance(state, Digest):
                batches, self._batches[name][:] = list(self._batches[name]), []
                found[name] = Saved("Digest", [], [{"rows": np.concatenate(batches)}] if batches else [])
            elif kind is not None:
                copies = kind.save(state)
                if name in self._left:
                    copies = [self._left[name].taken(copy) for copy in copies]
                found[name] = Saved(type(state).__name__, kind.parameters(state), copies)
        return found
