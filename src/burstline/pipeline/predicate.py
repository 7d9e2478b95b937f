"""Predicates over a packet, as stages. One that can be worked out in vectors is, where it comes first."""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

from burstline.errors import UsageError
from burstline.pipeline.burst_stage import BurstStage, where
from burstline.pipeline.predicate_lanes import in_lanes
from burstline.pipeline.references import references
from burstline.pipeline.stage import Stage
from burstline.pipeline.stage import stage as as_stage
from burstline.pipeline.verdict import DROP

_DROP, _WHERE = "_burstline_drop", "_burstline_where"


class PredicateGroup(BurstStage):
    """A predicate over groups of packets."""


class Predicate(Stage):
    """A stage that drops, by its name, the packets for which its function is false. `group` is the same over groups of
    packets; None where the predicate has what vectors have not."""

    def __init__(self, function: FunctionType) -> None:
        tree = _tree(function)
        super().__init__(_made(function, _Returns().visit(copy.deepcopy(tree))))
        self.group: PredicateGroup | None = None
        if (masked := in_lanes(tree, dict(references(function)))) is not None:
            self.group = PredicateGroup(_made(function, masked))

    def __repr__(self) -> str:
        return f"<predicate {self.name}>"


def predicate(function: Callable[[Any], Any]) -> Predicate:
    """Decorator: make a stage of `def name(pkt): return ...`. What it is not true for is dropped and counted under its
    name."""
    return Predicate(as_stage(function).function)


def grouped_first(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """The stages of a pipeline, with those predicates in vectors that come before all stages of single packets."""
    found: list[Stage] = []
    leading = True
    for stage in stages:
        group = stage.group if isinstance(stage, Predicate) else None
        leading = leading and (group is not None or isinstance(stage, BurstStage))
        found.append(group if leading and group else stage)
    return tuple(found)


def _tree(function: FunctionType) -> ast.FunctionDef:
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        raise UsageError(
            f"the source of predicate {function.__name__} is not there to be read", "write it into a file"
        ) from None
    tree = ast.parse(textwrap.dedent("".join(lines))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    tree.decorator_list = []
    return ast.increment_lineno(tree, first - 1)


class _Returns(ast.NodeTransformer):
    """`return E` becomes `if E: return None`, then `return DROP`: a header, a number or a comparison will do."""

    def visit_Return(self, node: ast.Return) -> Any:
        dropped = ast.Return(ast.Name(_DROP, ast.Load()))
        if node.value is None:
            return ast.copy_location(ast.fix_missing_locations(dropped), node)
        goes_on = ast.Return(ast.Constant(None))
        chosen = ast.If(node.value, [goes_on], [dropped])
        return ast.fix_missing_locations(ast.copy_location(chosen, node))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        self.generic_visit(node)
        node.body.append(ast.Return(ast.Name(_DROP, ast.Load())))
        return ast.fix_missing_locations(node)


def _made(like: FunctionType, tree: ast.FunctionDef) -> FunctionType:
    """A function of another body, with the names, places and closed-over values of `like`."""
    closed = dict(zip(like.__code__.co_freevars, like.__closure__ or (), strict=True))
    cells = {**closed, _DROP: _cell(DROP), _WHERE: _cell(where)}
    outer = ast.parse(f"def outer({', '.join(cells)}):\n    pass")
    outer.body[0].body = [tree]  # type: ignore[attr-defined]
    ast.fix_missing_locations(outer)
    code = compile(outer, like.__code__.co_filename, "exec")
    for name in ("outer", tree.name):
        code = next(c for c in code.co_consts if isinstance(c, CodeType) and c.co_name == name)
    made = FunctionType(
        code, like.__globals__, like.__name__, like.__defaults__, tuple(cells[name] for name in code.co_freevars)
    )
    made.__qualname__, made.__module__, made.__doc__ = like.__qualname__, like.__module__, like.__doc__
    return made


def _cell(value: Any) -> Any:
    return (lambda: value).__closure__[0]  # type: ignore[index]
