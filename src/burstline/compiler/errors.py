"""Why a stage cannot be compiled: file, line, caret, the rule, and what to write instead."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType

from burstline.errors import BurstlineError
from burstline.pipeline.references import Position


class CompileError(BurstlineError):
    """A stage that cannot be compiled, refused before any packet flows."""

    def __init__(self, file: str, position: Position, stage: str, problem: str, excerpt: str, hint: str) -> None:
        place = f"{file}:{position.line}:{position.column + 1}"
        super().__init__(f"{place}: stage `{stage}` cannot be compiled: {problem}{excerpt}", hint)
        self.position = position
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
        try:
            module = ast.parse("if 1:\n" + "".join(lines) if lines and lines[0][:1].isspace() else "".join(lines))
        except SyntaxError:
            return None
        body = module.body[0].body if module.body and isinstance(module.body[0], ast.If) else module.body
        definition = body[0] if body else None
        if not isinstance(definition, ast.FunctionDef):
            return None
        ast.increment_lineno(definition, first - (2 if body is not module.body else 1))
        return definition

    def line(self, number: int) -> str:
        lines, first = self._lines
        return lines[number - first].rstrip("\n") if 0 <= number - first < len(lines) else ""

    def find(
        self, kind: type[ast.AST] | tuple[type[ast.AST], ...], names: Collection[str], line: int | None = None
    ) -> ast.AST | None:
        """The first node of a kind that is spelled as one of `names`, on that line if there is one there."""
        if self.tree is None:
            return None
        nodes = [n for n in ast.walk(self.tree) if isinstance(n, kind) and set(names) & _spellings(n)]
        nodes.sort(key=lambda n: (n.lineno != line, n.lineno, n.col_offset))  # type: ignore[attr-defined]
        return nodes[0] if nodes else None

    def find_binding(self, name: str, line: int | None) -> ast.AST | None:
        """The last place up to that line where the name is assigned to."""
        names = [n for n in ast.walk(self.tree) if isinstance(n, ast.Name)] if self.tree else []
        stores = [n for n in names if n.id == name and isinstance(n.ctx, ast.Store) and n.lineno <= (line or n.lineno)]
        return max(stores, key=lambda n: (n.lineno, n.col_offset), default=None)

    def error(self, stage: str, where: ast.AST | Position | int | None, problem: str, hint: str) -> CompileError:
        """The error at a node, or at a line when there is no better place, or at the function."""
        position = self._position(where)
        text = self.line(position.line)
        margin = len(text) - len(text.lstrip())
        width = max(1, position.end - position.column)
        excerpt = f"\n    {text.strip()}\n    {' ' * (position.column - margin)}{'^' * width}" if text else ""
        return CompileError(self.file, position, stage, problem, excerpt, hint)

    def _position(self, where: ast.AST | Position | int | None) -> Position:
        if isinstance(where, (ast.expr, ast.stmt, ast.arg, ast.keyword)):
            line, text = where.lineno, self.line(where.lineno)
            # columns of syntax trees count bytes
            column = len(text.encode()[: where.col_offset].decode(errors="ignore"))
            end = where.end_col_offset if where.end_lineno == line else None
            shown = len(text) if end is None else len(text.encode()[:end].decode(errors="ignore"))
            return Position(line, column, shown)
        if isinstance(where, Position):
            return where
        line = where if isinstance(where, int) else self.function.__code__.co_firstlineno
        text = self.line(line)
        return Position(line, len(text) - len(text.lstrip()), len(text))


def _spellings(node: ast.AST) -> set[str]:
    """What a node may be called: an attribute by its last part and as a whole, a call by its function."""
    if isinstance(node, ast.Attribute):
        return {node.attr, ast.unparse(node)}
    if isinstance(node, ast.Call):
        return _spellings(node.func)
    return {getattr(node, "id", getattr(node, "arg", ""))}
