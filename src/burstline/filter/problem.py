"""What is wrong with a filter expression, with the place marked."""

from __future__ import annotations

from burstline.errors import UsageError

LANGUAGE = "the language is that of tcpdump: see pcap-filter(7)"


class FilterError(UsageError):
    """A filter that cannot be used; `column` counts characters of `expression` from 0."""

    def __init__(self, expression: str, column: int, problem: str, hint: str | None = None) -> None:
        line = "".join(" " if character.isspace() else character for character in expression)
        super().__init__(
            f"filter: {problem}, at column {column + 1}\n    {line}\n    {' ' * column}^", hint or LANGUAGE
        )
        self.problem = problem
        self.column = column


class Refused(Exception):
    """A primitive that has no meaning here; whoever knows its place makes a `FilterError` of it."""

    def __init__(self, problem: str, hint: str | None = None) -> None:
        super().__init__(problem)
        self.problem, self.hint = problem, hint
