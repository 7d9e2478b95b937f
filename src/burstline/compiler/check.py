"""The stage language, checked before Numba sees the code; and the proof on what came out."""

from __future__ import annotations

import ast
import builtins
import difflib
from types import FunctionType, ModuleType
from typing import Any

from burstline.compiler.errors import CompileError, Source
from burstline.compiler.names import BUILTINS, function_refused, is_constant, value_refused
from burstline.compiler.rules import INTEGERS, TOO_LARGE, parameters_refused, refusal
from burstline.packet.fields import (
    HEADER,
    HEADER_METHODS,
    LEVELS,
    OF_INNER,
    PACKET_FIELDS,
    PACKET_METHODS,
    WRITABLE,
    Header,
)
from burstline.packet.group_fields import HEADERS_OF_GROUPS, OF_GROUPS, lane_bits
from burstline.packet.protocol import Protocol
from burstline.pipeline.branch import Branch
from burstline.pipeline.burst_stage import BurstStage
from burstline.pipeline.pipeline import Chain, reachable
from burstline.pipeline.references import constants, references
from burstline.pipeline.stage import Stage
from burstline.state.base import State

PACKET_NAMES = (*HEADER, *LEVELS, *PACKET_FIELDS, *PACKET_METHODS)
INNER_NAMES = (*HEADER, *OF_INNER)
GROUP_NAMES = (*HEADERS_OF_GROUPS, *OF_GROUPS)
_UNKNOWN = object()


def check_stage(stage: Stage | Protocol) -> None:
    """Raise `CompileError` for what the stage language does not have: the first finding in the source."""
    functions = reachable(stage.function)
    for function in functions:
        checker = _Checker(stage, Source(function), is_stage=stage.function is function and isinstance(stage, Stage))
        checker.check()
        if checker.found:
            raise min(checker.found, key=lambda error: error.position)
    _refuse_recursion(stage, functions)


def _refuse_recursion(stage: Stage | Protocol, functions: list[FunctionType]) -> None:
    calls = {f: [v for _, v in references(f) if isinstance(v, FunctionType) and v in functions] for f in functions}
    for function in functions:
        reached, waiting = set[FunctionType](), list(calls[function])
        while waiting:
            current = waiting.pop()
            if current not in reached:
                reached.add(current)
                waiting += calls[current]
        if function in reached:
            source = Source(function)
            raise source.error(
                stage.name, source.find(ast.Name, {f.__name__ for f in reached}),
                f"`{function.__name__}` calls itself: recursion is not compiled", "write a loop",
            )  # fmt: skip


class _Checker:
    def __init__(self, stage: Stage | Protocol, source: Source, is_stage: bool) -> None:
        self.stage, self.source = stage, source
        self.space = dict(references(source.function))
        self.found: list[CompileError] = []
        # What simple names stand for: "packet", a header, or anything else. A helper's parameters are not known.
        self.names: dict[str, Any] = {}
        tree = source.tree
        if tree is not None:
            self._learn(tree, "" if not is_stage else "group" if isinstance(stage, BurstStage) else "packet")

    def check(self) -> None:
        tree = self.source.tree
        for name, value in self.space.items():
            if isinstance(self.stage, Protocol) and isinstance(value, (State, Branch, Chain, Protocol)):
                where = self.source.find(ast.Attribute if "." in name else ast.Name, {name})
                self.fail(where, f"a protocol looks at its bytes alone, not at `{name}`", "use it in a stage")
            elif said := value_refused(name, value):
                self.fail(self.source.find(ast.Attribute if "." in name else ast.Name, {name}), *said)
        for value, position in constants(self.source.function):
            if type(value) is int and value not in INTEGERS:
                self.fail(position, TOO_LARGE, "mask with 0x7FFF_FFFF_FFFF_FFFF at most")
        for value in self.source.function.__defaults__ or ():
            if not is_constant(value):
                where = tree.args.defaults[0] if tree and tree.args.defaults else None
                self.fail(where, "the default of a parameter is no plain value", "hand it over in the call")
        if tree is None:
            return
        if said_of := parameters_refused(tree.args):
            self.fail(*said_of)
        for statement in tree.body:
            for node in ast.walk(statement):
                self._node(node)

    def fail(self, node: Any, problem: str, hint: str) -> None:
        self.found.append(self.source.error(self.stage.name, node, problem, hint))

    def _learn(self, tree: ast.FunctionDef, first: str) -> None:
        """Names that stand for one thing in the whole function; one that is bound twice is nothing known. `first` is
        what its first parameter is: a packet, a group of them, or nothing known."""
        parameters = [a.arg for a in (*tree.args.posonlyargs, *tree.args.args)]
        self.names = {name: first if first and k == 0 else _UNKNOWN for k, name in enumerate(parameters)}
        assigned: dict[str, list[ast.expr | None]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                assigned.setdefault(node.targets[0].id, []).append(node.value)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                assigned.setdefault(node.id, []).append(None)
        for name, values in assigned.items():  # each plain assignment is found twice: as itself, and by its target
            one = [v for v in values if v is not None]
            known = name not in parameters and len(one) == 1 and len(values) == 2
            self.names[name] = one[0] if known else _UNKNOWN

    def _meaning(self, node: ast.AST | None, depth: int = 0) -> Any:
        if isinstance(node, ast.Name):
            value = self.names.get(node.id, _UNKNOWN)
            return self._meaning(value, depth + 1) if isinstance(value, ast.AST) and depth < 9 else value
        if isinstance(node, ast.Attribute) and (owner := self._meaning(node.value, depth + 1)) in ("packet", "inner"):
            if owner == "packet" and node.attr in LEVELS:
                return "packet" if node.attr == "outer" else "inner"
            return HEADER.get(node.attr, _UNKNOWN)
        if isinstance(node, ast.Attribute) and self._meaning(node.value, depth + 1) == "group":
            if node.attr == "inner":
                return "group"
            return ("header of a group", HEADER[node.attr]) if node.attr in HEADERS_OF_GROUPS else _UNKNOWN
        return _UNKNOWN

    def _node(self, node: ast.AST) -> None:
        if said := refusal(node):
            self.fail(node, *said)
        elif isinstance(node, ast.Attribute):
            self._attribute(node)
        elif isinstance(node, ast.Call):
            self._call(node)

    def _attribute(self, node: ast.Attribute) -> None:
        module = self.space.get(ast.unparse(node.value))
        if isinstance(module, ModuleType) and not hasattr(module, node.attr):
            names = tuple(n for n in dir(module) if not n.startswith("_"))
            self.fail(node, f"the module {module.__name__} has no {node.attr!r}", suggest(node.attr, names))
        owner = self._meaning(node.value)
        if owner == "group" or (isinstance(owner, tuple) and owner[0] == "header of a group"):
            self._group_attribute(node, owner)
            return
        stored = isinstance(node.ctx, ast.Store)
        if owner in ("packet", "inner"):
            names = PACKET_NAMES if owner == "packet" else INNER_NAMES
            if node.attr not in names:
                what = "a packet" if owner == "packet" else "an inner packet"
                self.fail(node, f"{what} has no {node.attr!r}", suggest(node.attr, names))
            elif stored and not (owner == "packet" and node.attr in WRITABLE):
                self.fail(node, f"`pkt.{node.attr}` cannot be assigned to", "assign to the fields of a header")
        elif isinstance(owner, Header):
            field = owner.field(node.attr)
            extra = [m for m, headers in HEADER_METHODS.items() if owner.name in headers]
            extra += ["options"] if owner.options else []
            if field is None and node.attr not in extra:
                names = (*owner.field_names, *extra)
                self.fail(node, f"{owner.name} has no field {node.attr!r}", suggest(node.attr, names))
            elif stored and (field is None or not field.writable):
                self.fail(node, f"`{owner.name}.{node.attr}` is read-only", "it decides where other headers lie")

    def _group_attribute(self, node: ast.Attribute, owner: Any) -> None:
        names: tuple[str, ...] = GROUP_NAMES
        what = "a group of packets"
        if owner != "group":
            header = owner[1]
            names, what = (*(f.name for f in header.fields if lane_bits(f)), "here"), f"{header.name} of a group"
        if owner == "group" and node.attr == "clone":
            self.fail(node, "burst stages make no packets", "clone in a stage that takes one packet")
        elif node.attr not in names:
            self.fail(node, f"{what} has no {node.attr!r}", suggest(node.attr, names))
        elif isinstance(node.ctx, ast.Store):
            self.fail(node, "a burst stage does not write to packets", "do it in a stage that takes one packet")

    def _call(self, node: ast.Call) -> None:
        """Calls of builtins and of classes; what other names stand for was looked at by itself."""
        function = node.func
        if ast.unparse(function) == "round" and len(node.args) + len(node.keywords) > 1:
            self.fail(node, "`round` to digits comes out otherwise when compiled", "write round(x * 100) / 100")
        name = ast.unparse(function)
        if name in self.space:
            value = self.space[name]
            if said := (None if value_refused(name, value) else function_refused(name, value)):
                self.fail(node, *said)
        elif isinstance(function, ast.Name) and function.id not in (*self.names, *BUILTINS):
            value = getattr(builtins, function.id, None)
            if value is not None and (said := function_refused(name, value)):
                self.fail(node, *said)


def suggest(name: str, names: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, names, 1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names)}"
