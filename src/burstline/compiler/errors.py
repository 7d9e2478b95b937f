"""Why a stage cannot be compiled: file, line, caret, the rule, and what to write instead."""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType

from burstline.errors import BurstlineError


class CompileError(BurstlineError):
    """A stage that cannot be compiled, refused before any packet flows."""

    def __init__(self, place: str, stage: str, problem: str, excerpt: str, hint: str) -> None:
        super().__init__(f"{place}: stage `{stage}` cannot be compiled: {problem}{excerpt}", hint)
        self.place = place
        self.problem = problem


@dataclass(frozen=True)
class Source:
    """The text of a function, with positions as they are in its file."""

    function: FunctionType

    @property
    def file(self) -> str:
        return self.function.__code__.co_filename

    @cached_property
    def _lines(self) -> tuple[list[str], int]:
        try:
            return inspect.getsourcelines(self.function)
        except (OSError, TypeError):
            return [], self.function.__code__.co_firstlineno

    @cached_property
    def tree(self) -> ast.FunctionDef | None:
        """The function's syntax tree, lines and columns counted as in the file; None when there is no source."""
        lines, first = self._lines
        text = "".join(lines)
        if not text:
            return None
        try:
            module = ast.parse(textwrap.dedent(text))
        except SyntaxError:
            return None
        indent = len(lines[0]) - len(lines[0].lstrip())
        for node in ast.walk(module):
            for name in ("lineno", "end_lineno", "col_offset", "end_col_offset"):
                if hasattr(node, name):
                    setattr(node, name, getattr(node, name) + (first - 1 if name.endswith("lineno") else indent))
        definition = module.body[0]
        return definition if isinstance(definition, ast.FunctionDef) else None

    def line(self, number: int) -> str:
        lines, first = self._lines
        return lines[number - first].rstrip("\n") if 0 <= number - first < len(lines) else ""

    def error(self, stage: str, node: ast.AST | int | None, problem: str, hint: str) -> CompileError:
        """The error at a node, or at a line when there is no better place."""
        if isinstance(node, (ast.expr, ast.stmt)):
            line, column, end = node.lineno, node.col_offset, getattr(node, "end_col_offset", None)
            if getattr(node, "end_lineno", line) != line:
                end = None
        else:
            line = node if isinstance(node, int) else self.function.__code__.co_firstlineno
            column, end = len(self.line(line)) - len(self.line(line).lstrip()), None
        text = self.line(line)
        width = max(1, (end or len(text)) - column)
        excerpt = (
            f"\n    {text.strip()}\n    {' ' * (column - (len(text) - len(text.lstrip())))}{'^' * width}"
            if text
            else ""
        )
        return CompileError(f"{self.file}:{line}:{column + 1}", stage, problem, excerpt, hint)
