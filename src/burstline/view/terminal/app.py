"""`burstline top`: a run's views by key, in a terminal of 80 columns and 24 lines or more."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import ClassVar

from rich.console import RenderableType
from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import ContentSwitcher, Footer, Input, Sparkline, Static

from burstline.engine.report import in_units
from burstline.errors import BurstlineError
from burstline.view.attached import Attached
from burstline.view.snapshot import Snapshot
from burstline.view.terminal import panes
from burstline.view.terminal.flows import FlowPane

PERIOD = 1.0  # seconds
KEPT = 300  # rates that the line of the past shows at most
SECONDS = 1.0  # of a measurement
VIEWS: dict[str, Callable[[Snapshot], RenderableType]] = {
    "overview": panes.overview,
    "stages": panes.stages,
    "cores": panes.queues,
    "pools": panes.pools,
    "steering": panes.steering,
    "events": panes.events,
}
ORDER = ("overview", "stages", "cores", "pools", "flows", "steering", "events")


class Top(App[None]):
    """Of one run. `period` is in seconds."""

    CSS = """
    #head { height: 1; background: $primary-darken-2; color: $text; padding: 0 1; }
    #tabs { height: 1; padding: 0 1; }
    #past { height: 2; margin: 0 1; }
    #said { height: 1; padding: 0 1; color: $warning; display: none; }
    Screen { overflow: hidden; }
    ContentSwitcher { height: 1fr; }
    VerticalScroll { padding: 1 1 0 1; scrollbar-size-vertical: 1; }
    """
    TITLE = "burstline top"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(k), f"view('{name}')", name, show=False) for k, name in enumerate(ORDER, 1)),
        Binding("tab", "step(1)", "view", priority=True),
        Binding("shift+tab", "step(-1)", "view before", show=False, priority=True),
        Binding("m", "measure", "measure"),
        Binding("slash", "search", "search"),
        Binding("s", "sort", "sort"),
        Binding("p", "pause", "pause"),
        Binding("q", "quit", "quit"),
    ]

    def __init__(self, run: Attached, period: float = PERIOD) -> None:
        super().__init__()
        self.run_of, self._period = run, period
        self.snap: Snapshot | None = None
        self.current = ORDER[0]
        self._past: deque[float] = deque([0.0], maxlen=KEPT)
        self._paused = False

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        yield Static(id="tabs")
        yield Sparkline(list(self._past), summary_function=max, id="past")
        yield Static(id="said")
        with ContentSwitcher(initial=self.current):
            for name in ORDER:
                if name == "flows":
                    yield FlowPane(self.run_of, id=name)
                else:
                    with VerticalScroll(id=name):
                        yield Static(id=f"{name}-text")
        yield Footer()

    def on_mount(self) -> None:
        self._tick()
        self.set_interval(self._period, self._tick)
        self.action_view(self.current)

    # ---- what is shown ----

    def _tick(self) -> None:
        if self._paused or not self.query("#past"):  # it is gone when the program is about to end
            return
        try:
            self.snap = self.run_of.snapshot()
        except BurstlineError as error:
            self.tell(error.message)
            return
        self._past.append(self.snap.totals["received"].pps)
        self.query_one("#past", Sparkline).data = list(self._past)
        self._show()
        if self.current == "flows":
            self.query_one(FlowPane).refresh_rows()

    def _show(self) -> None:
        if self.snap is None:
            return
        self.query_one("#head", Static).update(self._head(self.snap))
        if self.current in VIEWS:
            self.query_one(f"#{self.current}-text", Static).update(VIEWS[self.current](self.snap))

    def _head(self, snap: Snapshot) -> Text:
        load = panes.busiest(snap.workers)
        state = self.run_of.over or ("paused" if self._paused else f"up {_duration(snap.time - snap.started)}")
        name = snap.app.rpartition("/")[2]
        parts = [f"{name} ({snap.pid})", state, in_units(snap.totals["received"].pps, "pps")]
        parts.append(in_units(snap.totals["received"].bps, "bit/s"))
        if load is not None:
            parts.append(f"load {100 * load:.0f} %")
        return Text("  ".join(parts), no_wrap=True, overflow="ellipsis")

    def tell(self, what: str) -> None:
        """A line that stays until there is another one, or none."""
        for said in self.query("#said").results(Static):  # none when the program is about to end
            said.update(Text(what, no_wrap=True, overflow="ellipsis"))
            said.display = bool(what)

    # ---- keys ----

    def action_view(self, name: str) -> None:
        if name != self.current:
            self.tell("")
        self.current = name
        self.query_one(ContentSwitcher).current = name
        words = [(f" {k} {each} ", "reverse bold" if each == name else "") for k, each in enumerate(ORDER, 1)]
        self.query_one("#tabs", Static).update(Text.assemble(*words, no_wrap=True))
        self._show()
        if name == "flows":
            self.query_one(FlowPane).refresh_rows()

    def action_step(self, by: int) -> None:
        self.action_view(ORDER[(ORDER.index(self.current) + by) % len(ORDER)])

    def action_search(self) -> None:
        self.action_view("flows")
        self.query_one(Input).focus()

    def action_sort(self) -> None:
        self.action_view("flows")
        self.query_one(FlowPane).sort_by_next()

    def action_pause(self) -> None:
        self._paused = not self._paused
        self._show()

    def action_measure(self) -> None:
        self.tell("measuring for a second; the first time, code is compiled before")
        self._measure()

    @work(thread=True, exclusive=True, group="measure")
    def _measure(self) -> None:
        try:
            self.run_of.ask("measure", seconds=SECONDS)
            said = f"measured at {time.strftime('%H:%M:%S')}"
        except BurstlineError as error:
            said = error.message
        self.call_from_thread(self.tell, said)


def _duration(seconds: float) -> str:
    whole = int(max(0.0, seconds))
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    return f"{days} d {hours:02}:{minutes:02}" if days else f"{hours:02}:{minutes:02}:{whole % 60:02}"
