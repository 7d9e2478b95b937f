"""Records that leave a flow table while packets flow: to a function of the user's, and to sinks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burstline.errors import UsageError
from burstline.export.outlet import Outlet
from burstline.export.shape import Shape
from burstline.state.address_text import load as load_texts
from burstline.state.digest import Digest
from burstline.state.flow_keys import FieldKeys

if TYPE_CHECKING:
    from burstline.state.flow_table import FlowTable


class FlowExports(Digest[Any]):
    """The digest that a table's workers put rows into: entry, cold half and reason, as they lie in memory."""

    def __init__(self, table: FlowTable[Any], capacity: int = 1 << 16) -> None:
        super().__init__(table.record, capacity)
        self._table = table
        self._rows: list[tuple[Any, ...]] = []  # interpreted
        self._has_begun = False
        self.outlets: list[Outlet] = []
        self.passed_on: set[Outlet] = set()  # those that another table goes on with
        self.waits = False  # whoever drains may be kept waiting: over a file
        self.stays_open = False  # for another run, whose records go the same way
        self._shown: tuple[Shape, Callable[[Any], Any]] | None = None
        self.ended = 0  # records that were still there at the end

    @property
    def stride(self) -> int:
        return self._table.geometry.row

    @property
    def dtype(self) -> Any:
        import numpy as np

        at = self._table.geometry
        return np.dtype([("entry", "u1", (at.stride,)), ("cold", "u1", (at.cold_stride,)), ("reason", "<u8")])

    @property
    def is_wanted(self) -> bool:
        """Whether somebody takes the records."""
        return self._handler is not None or bool(self.outlets)

    def write_to(self, spelled: str) -> None:
        """Every record that leaves goes there, too: a file or a URL (export/spelling.py). Raises UsageError for a file
        that is one of them already: two writers would spoil it."""
        made = Outlet(spelled)
        path = made.target.path
        if path and any(os.path.abspath(o.target.path) == os.path.abspath(path) for o in self.outlets if o.target.path):
            raise UsageError(f"{spelled}: records go there already", "name each file once")
        self.outlets.append(made)

    def begin(self) -> None:
        """Start what takes the records, with the calling thread's cores; not twice in a run."""
        if self.outlets and not self._has_begun:
            self._has_begun = True
            load_texts()
            for outlet in self.outlets:
                outlet.begin(self.shape)

    def show_as(self, shape: Shape, rows_of: Callable[[Any], Any]) -> None:
        """Records go to sinks as rows of another shape, which `rows_of` makes of them."""
        self._shown = shape, rows_of

    @property
    def shape(self) -> Shape:
        if self._shown is not None:
            return self._shown[0]
        table = self._table
        kinds = {slot.name: slot.type.kind for slot in table.record.layout}
        if isinstance(table.keys, FieldKeys):
            kinds |= {part.name: part.kind for part in table.keys.parts}
        dtype = table.plain_rows([], with_reasons=True).dtype
        return Shape(table.record.__name__, dtype, kinds, table.arrow, table.keys.both_ways)

    def go_on(self, old: FlowExports) -> None:
        """With the sinks of a table that this one takes over, where the rows are alike; else with a file beside its."""
        alike = self.shape.dtype == old.shape.dtype
        for place, outlet in enumerate(self.outlets):
            before = next((o for o in old.outlets if o.spelled == outlet.spelled), None)
            if before is None:
                continue
            if alike:
                self.outlets[place] = before
                old.passed_on.add(before)
            elif outlet.target.path not in ("", "-") and "rotate" not in outlet.target.options:
                self.outlets[place] = Outlet(_beside(outlet.spelled, outlet.target.path))

    def leave(self, *row: Any) -> None:
        """An interpreted record leaves: its key, whether it goes the other way, the record, the reason."""
        if self.is_wanted:
            self._rows.append(row)

    def drain(self) -> int:
        found = super().drain()
        if self._rows:
            rows, self._rows = self._rows, []
            self._hand(self._table.plain_rows(rows, with_reasons=True))
            found += len(rows)
        return found

    def _give(self, batch: Any) -> None:
        self._hand(self._table.shown(batch["entry"], batch["cold"], batch["reason"]))

    def _hand(self, rows: Any, waits: bool = False) -> None:
        self.begin()
        shown = self._shown[1](rows) if self._shown is not None and self.outlets else rows
        for outlet in self.outlets:
            outlet.put(shown, waits or self.waits)
        super()._give(rows)

    def hand_rest(self, rows: Any) -> None:
        """The run is over: what is still in the table goes the same way."""
        self.begin()
        self.drain()
        if self.is_wanted and len(rows):
            self.ended += len(rows)
            self._hand(rows, waits=True)
        if not self.stays_open:
            self.close()

    def leave_off(self) -> None:
        """Another table goes on with the records, and perhaps with their sinks."""
        self.drain()
        self.close()

    def close(self) -> None:
        """No more records come. Raises why a sink failed, after a run over a file, which may have been for its sake."""
        own = [outlet for outlet in self.outlets if outlet not in self.passed_on]
        for outlet in own:
            outlet.close()
        self._has_begun = False
        failure = next((o.failure for o in own if o.failure is not None), None)
        if self.waits and failure is not None:
            raise failure

    def status(self) -> list[dict[str, Any]]:
        """Of each sink: records exported, refused and waiting. What the rings had no room for is refused, too."""
        found = [outlet.status() for outlet in self.outlets]
        for each in found:
            each["refused"] += self.lost
        return found

    def signature(self) -> tuple[Any, ...]:
        return (self._table.geometry.row,)

    def reset(self) -> None:
        super().reset()
        self._rows, self.passed_on, self.ended = [], set(), 0
        self.waits = self._has_begun = False

    def warnings(self) -> list[str]:
        """Of records that did not go where they should."""
        found = []
        for each in self.status():
            if each["refused"]:
                why = f" ({each['trouble']})" if each["trouble"] else ""
                found.append(f"{each['refused']:,} flow records did not go to {each['to']}{why}")
        return found if self.outlets else super().warnings()


def _beside(spelled: str, path: str) -> str:
    """The spelling of another file than that of `path`."""
    place, mark, options = spelled.partition("?")
    return f"{place.removesuffix(path)}{Path(path).with_stem(f'{Path(path).stem}-next')}{mark}{options}"
