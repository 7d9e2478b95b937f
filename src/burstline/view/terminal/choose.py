"""Which of several runs is to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, OptionList, Static


class Choose(App[int]):
    """Returns the place of the chosen name, None where none is chosen."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "quit", "quit")]

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = names

    def compose(self) -> ComposeResult:
        yield Static("Several pipelines are running. Which one?")
        yield OptionList(*map(Text, self._names))  # no markup: a path may have brackets
        yield Footer()

    def on_option_list_option_selected(self, chosen: OptionList.OptionSelected) -> None:
        self.exit(chosen.option_index)
