"""The flow table of a run in a terminal: the largest flows, searched and sorted."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import DataTable, Input, Static

from burstline.engine.report import in_units
from burstline.errors import BurstlineError
from burstline.view.attached import Attached
from burstline.view.flow_words import shown_value

ROWS = 100
AMOUNTS = ("packets", "bytes", "octets")


class FlowPane(Vertical):
    """`refresh_rows` asks the run, in another thread."""

    DEFAULT_CSS = """
    FlowPane Input { height: 1; border: none; padding: 0 1; background: $surface; }
    FlowPane #flows-said { height: 1; padding: 0 1; color: $text-muted; }
    FlowPane DataTable { height: 1fr; }
    """

    def __init__(self, run: Attached, *, id: str) -> None:
        super().__init__(id=id)
        self._run, self._sort, self._columns = run, "", list[str]()

    def compose(self) -> ComposeResult:
        yield Input(placeholder="search: 10.0.0.0/8 tcp 443 bytes>1000", id="flow-search")
        yield Static(id="flows-said")
        yield DataTable(cursor_type="row", zebra_stripes=True)

    def on_mount(self) -> None:
        self.query_one(DataTable).can_focus = True

    def refresh_rows(self) -> None:
        self._ask(self.query_one(Input).value, self._sort)

    def sort_by_next(self) -> None:
        """Sort by the column behind the one that flows are sorted by."""
        if self._columns:
            at = self._columns.index(self._sort) if self._sort in self._columns else -1
            self._sort = self._columns[(at + 1) % len(self._columns)]
            self.refresh_rows()

    @on(Input.Submitted)
    def _searched(self) -> None:
        self.query_one(DataTable).focus()
        self.refresh_rows()

    @on(Input.Changed)
    def _changed(self) -> None:
        self.refresh_rows()

    @work(thread=True, exclusive=True, group="flows")
    def _ask(self, search: str, sort: str) -> None:
        try:
            found = self._run.ask("flows", search=search, sort=sort, limit=ROWS)
        except BurstlineError as error:
            self.app.call_from_thread(self._failed, error.message)
            return
        self.app.call_from_thread(self._show, found)

    def _failed(self, why: str) -> None:
        self._say(Text(why, "yellow"))

    def _say(self, what: str | Text) -> bool:
        """False where the pane is gone: the answer came when the program was about to end."""
        said = self.query("#flows-said")
        for each in said.results(Static):
            each.update(what)
        return bool(said)

    def _show(self, found: dict[str, Any]) -> None:
        if not found["tables"]:
            self._say("The pipeline has no flow table.")
            return
        self._sort = found["sort"]
        if not self._say(f"{found['matched']:,} of {found['total']:,} flows, sorted by {self._sort}"):
            return
        table: DataTable[Any] = self.query_one(DataTable)
        names = [column["name"] for column in found["columns"]]
        order = _order(names)
        if names != self._columns:
            self._columns = names
            table.clear(columns=True)
            for k in order:
                table.add_column(names[k])
        at = table.cursor_coordinate
        table.clear()
        for row in found["rows"]:
            cells = [_short(names[k], row[k]) for k in order]
            right = [found["columns"][k]["kind"] == "number" for k in order]
            table.add_row(*(Text(c, justify="right" if r else "left") for c, r in zip(cells, right, strict=True)))
        table.move_cursor(row=min(at.row, max(0, len(found["rows"]) - 1)), animate=False)


def _order(names: list[str]) -> list[int]:
    """Amounts before addresses, and a port behind its address: at 80 columns the first ones are seen."""
    wanted = ("packets", "bytes", "octets", "protocol", "src", "sport", "dst", "dport")
    first = [names.index(name) for name in wanted if name in names]
    return first + [k for k in range(len(names)) if k not in first]


def _short(name: str, value: Any) -> str:
    """Large amounts in three digits."""
    if name in AMOUNTS and value is not None and value >= 10_000:
        return in_units(value, "").rstrip()
    return shown_value(name, value)
