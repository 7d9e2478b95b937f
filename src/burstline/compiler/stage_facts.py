"""What a stage does, read from its source: the verdicts it can return, what it reads and writes of a packet.

For `burstline explain`: nothing is compiled or run, and no decision of the compiler depends on it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, NamedTuple

from burstline.compiler.errors import Source
from burstline.packet.fields import HEADER, Header
from burstline.pipeline.branch import Branch
from burstline.pipeline.burst_stage import where
from burstline.pipeline.pipeline import Chain, reachable
from burstline.pipeline.predicate import Predicate, PredicateGroup
from burstline.pipeline.references import references
from burstline.pipeline.stage import Stage
from burstline.pipeline.verdict import CONSUMED, DROPPED, NEXT, SENT, Verdict, drop, send
from burstline.state.base import State
from burstline.state.flow_table import FlowTable

Meaning = str | Header | None  # of a name: "packet", a header, or something else


KINDS = ("next", "chain", "send", "consume", "drop", "unknown")


class Outcome(NamedTuple):
    """Where a stage can send a packet: `kind` is one of `KINDS`."""

    kind: str
    to: str = ""  # the drop reason, the expression for the port, the chain

    def __str__(self) -> str:
        text = {
            "next": "goes on",
            "drop": f'drop "{self.to}"',
            "consume": "consumed",
            "send": f"send to port {self.to}",
            "chain": f"to chain {self.to}",
        }
        return text.get(self.kind, f"whatever {self.to} is")


@dataclass
class StageFacts:
    """All in order of first appearance. A header among `reads` means that its presence is asked for."""

    stage: Stage
    outcomes: list[Outcome] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    state: dict[str, State] = field(default_factory=dict)  # by the name that the stage uses

    @property
    def place(self) -> tuple[str, int]:
        """File and line of the `def`."""
        source = Source(self.stage.function)
        line = source.tree.lineno if source.tree else self.stage.function.__code__.co_firstlineno
        return source.file, line


def _of_predicate(name: str) -> set[Outcome]:
    return {Outcome("next"), Outcome("drop", name)}


def facts_of(stage: Stage) -> StageFacts:
    """Read the source of a stage and of the functions that it calls."""
    facts = StageFacts(stage)
    for function in reachable(stage.function):
        facts.state.update({name: v for name, v in references(function) if isinstance(v, State)})
    is_predicate = isinstance(stage, (Predicate, PredicateGroup))
    found = _of_predicate(stage.name) if is_predicate else set(_outcomes(stage.function, stage.name, ()))
    facts.outcomes = sorted(found, key=lambda outcome: (KINDS.index(outcome.kind), outcome.to))
    tree = Source(stage.function).tree
    if tree is not None and tree.args.args:
        _Accesses(stage.function, {tree.args.args[0].arg: "packet"}, facts, set()).visit_all(tree.body)
    return facts


# ---- verdicts ----


def _outcomes(function: FunctionType, stage: str, path: tuple[FunctionType, ...]) -> Iterator[Outcome]:
    tree = Source(function).tree
    if tree is None or function in path:
        yield Outcome("unknown", function.__qualname__)
        return
    names = dict(references(function))
    for node in ast.walk(tree):
        if isinstance(node, ast.Return):
            yield from _value(node.value, tree, names, stage, (*path, function), frozenset())
    if _ends(tree.body):
        yield Outcome("next")


def _value(
    node: ast.expr | None,
    tree: ast.FunctionDef,
    names: dict[str, Any],
    stage: str,
    path: tuple[FunctionType, ...],
    followed: frozenset[str],
) -> Iterator[Outcome]:
    """The outcomes that an expression can stand for; `followed` are local names on the way to it."""

    def parts(nodes: Iterable[ast.expr], seen: frozenset[str] = followed) -> Iterator[Outcome]:
        for part in nodes:
            yield from _value(part, tree, names, stage, path, seen)

    if node is None or (isinstance(node, ast.Constant) and node.value is None):
        yield Outcome("next")
    elif isinstance(node, ast.IfExp):
        yield from parts((node.body, node.orelse))
    elif isinstance(node, ast.BoolOp):
        yield from parts(node.values)
    elif isinstance(node, (ast.Name, ast.Attribute)) and ast.unparse(node) in names:
        yield _constant(names[ast.unparse(node)], stage, ast.unparse(node))
    elif isinstance(node, ast.Name) and (values := _assigned(tree, node.id)):
        if node.id not in followed:
            yield from parts(values, followed | {node.id})
    elif isinstance(node, ast.Subscript) and isinstance(branch := names.get(ast.unparse(node.value)), Branch):
        for way in (*branch.ways.values(), branch.default):
            yield _constant(way, stage, ast.unparse(node))
    elif isinstance(node, ast.Call) and (called := names.get(ast.unparse(node.func))) is not None:
        if called is drop and node.args:
            yield Outcome("drop", str(_literal(node.args[0], names)))
        elif called is where and len(node.args) > 1:
            yield from parts(node.args[1:])
            if len(node.args) == 2:
                yield Outcome("next")
        elif called is send and node.args:
            yield Outcome("send", str(_literal(node.args[0], names)))
        elif isinstance(called, FunctionType):
            yield from _outcomes(called, stage, path)
        else:
            yield Outcome("unknown", ast.unparse(node))
    else:
        yield Outcome("unknown", ast.unparse(node))


def _constant(value: Any, stage: str, name: str) -> Outcome:
    if isinstance(value, Chain):
        return Outcome("chain", value.name)
    if value is None:
        return Outcome("next")
    if not isinstance(value, Verdict):
        return Outcome("unknown", name)
    kinds = {NEXT: "next", CONSUMED: "consume", DROPPED: "drop", SENT: "send"}
    to = str(value.argument) if value.kind in (DROPPED, SENT) else ""
    return Outcome(kinds[value.kind], stage if value == Verdict(DROPPED) else to)


def _literal(node: ast.expr, names: dict[str, Any]) -> Any:
    """A constant's value, or the text of what only the packet tells."""
    if isinstance(node, ast.Constant):
        return node.value
    text = ast.unparse(node)
    return names[text] if isinstance(names.get(text), (int, str)) else text


def _assigned(tree: ast.FunctionDef, name: str) -> list[ast.expr]:
    """Every expression that is assigned to a local name."""
    found: list[ast.expr] = []
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if isinstance(value, ast.expr) and any(isinstance(t, ast.Name) and t.id == name for t in targets):
            found.append(value)
    return found


def _ends(body: list[ast.stmt]) -> bool:
    """Whether control can come to the end of these statements."""
    return all(_passes(statement) for statement in body)


def _passes(statement: ast.stmt) -> bool:
    if isinstance(statement, (ast.Return, ast.Raise)):
        return False
    if isinstance(statement, ast.If):
        return _ends(statement.body) or _ends(statement.orelse)
    if isinstance(statement, ast.While) and isinstance(statement.test, ast.Constant) and statement.test.value:
        return any(isinstance(node, ast.Break) for node in ast.walk(statement))
    return True


# ---- what is read and written of packets ----


class _Accesses(ast.NodeVisitor):
    """Follows the packet and its headers through local names and into functions that are given them."""

    def __init__(
        self, function: FunctionType, names: dict[str, Meaning], facts: StageFacts, seen: set[tuple[Any, ...]]
    ) -> None:
        self.space = dict(references(function))
        self.names, self.facts, self.seen = names, facts, seen

    def visit_all(self, body: Iterable[ast.stmt]) -> None:
        for statement in body:
            self.visit(statement)

    def visit_Assign(self, node: ast.Assign) -> None:
        meaning = self._meaning(node.value)
        if meaning is None:
            self.visit(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.names[target.id] = meaning
            else:
                self.visit(target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        if isinstance(node.target, ast.Attribute):
            self._attribute(node.target, reads=True, writes=True)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        stored = isinstance(node.ctx, ast.Store)
        if not self._attribute(node, reads=not stored, writes=stored):
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        meaning = self.names.get(node.id)
        if isinstance(meaning, Header) and isinstance(node.ctx, ast.Load):
            _add(self.facts.reads, meaning.name)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        asked = self.space.get(ast.unparse(node.value))
        if isinstance(asked, FlowTable) and self._meaning(node.slice) == "packet":
            _add(self.facts.reads, "flow key")
        for header in asked.headers if isinstance(asked, Branch) else ():
            _add(self.facts.reads, header)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = self.space.get(ast.unparse(node.func))
        meanings = [self._meaning(argument) for argument in node.args]
        if isinstance(called, FunctionType) and any(m is not None for m in meanings):
            self._enter(called, meanings)
            for argument, meaning in zip(node.args, meanings, strict=True):
                if meaning is None:
                    self.visit(argument)
        else:
            self.generic_visit(node)

    def _enter(self, function: FunctionType, meanings: list[Meaning]) -> None:
        tree = Source(function).tree
        key = (function, *(getattr(m, "name", m) for m in meanings))
        if tree is not None and key not in self.seen:
            self.seen.add(key)
            names = {a.arg: m for a, m in zip(tree.args.args, meanings, strict=False)}
            _Accesses(function, names, self.facts, self.seen).visit_all(tree.body)

    def _meaning(self, node: ast.AST) -> Meaning:
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if isinstance(node, ast.Attribute) and self._meaning(node.value) == "packet":
            return HEADER.get(node.attr)
        return None

    def _attribute(self, node: ast.Attribute, *, reads: bool, writes: bool) -> bool:
        """Note it if it is the packet's or a header's; True then."""
        owner = self._meaning(node.value)
        if owner is None:
            return False
        if isinstance(owner, Header):
            if node.attr == "fix_checksum":
                _add(self.facts.writes, f"{owner.name}.checksum")
                return True
            name = f"{owner.name}.{node.attr}"
        elif node.attr == "fix_checksums":
            _add(self.facts.writes, "checksums")
            return True
        else:
            name = node.attr
        if reads:
            _add(self.facts.reads, name)
        if writes:
            _add(self.facts.writes, name)
        return True


def _add(to: list[str], name: str) -> None:
    if name not in to:
        to.append(name)
