"""What Numba, or a pass of ours, finds wrong with a stage, put into the terms of the stage language."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from burstline.compiler.check import suggest
from burstline.compiler.errors import Source
from burstline.compiler.words import LANGUAGE, NODES, OPERATORS, RETURNS, USAGE, arguments, described, operation
from burstline.native.build import Failure, WrongCall
from burstline.native.passes import Refused
from burstline.packet.fields import HEADER
from burstline.packet.protocol import Protocol
from burstline.pipeline.pipeline import Pipeline
from burstline.pipeline.stage import Stage

_ATTRIBUTE = re.compile(r"Unknown attribute '(\w+)' of type (.+)")
_SET_ATTRIBUTE = re.compile(r"Cannot resolve setattr: \((.+)\)\.(\w+) = ")
_UNIFY = re.compile(r"Cannot unify (.+?) and (.+?) for '(.+?)'")
_NAME = re.compile(r"NameError: name '(\w+)' is not defined|Untyped global name '([\w.]+)'")
_UNSET = re.compile(r"local variable '(\w+)' referenced before assignment|[Vv]ariable '(\w+)' is not defined")
_RETURN = re.compile(r"No conversion from (.+?) to Verdict(?:s\(\w+\))? for")
_METHOD = re.compile(r"Invalid use of BoundFunction\(([\w.]+) for .*?\) with parameters \((.*)\)")
_INTRINSIC = re.compile(r"Invalid use of (\w+) with parameters \((.*)\)")
_MISSING = re.compile(r">>> (\S*?)\((.*)\)\s*$", re.MULTILINE)
_LINE = re.compile(r"File \"([^\"]+)\", line (\d+)|\bat ([^\"\n]+) \((\d+)\)$", re.MULTILINE)
_LOWERED = re.compile(r"No definition for lowering <built-in function (\w+)>\((.*)\) ->")
Finding = tuple[ast.AST | int | None, str, str]  # where, what, what to write instead


@contextmanager
def explained(stage: Stage | Protocol, pipeline: Pipeline) -> Iterator[None]:
    """Failures of the compiler's, raised as `CompileError`."""
    try:
        yield
    except Failure as failure:
        source = Source(failure.function)
        where, problem, hint = _finding(source, failure.error, pipeline)
        raise source.error(stage.name, where, problem, hint) from failure.error


def _finding(source: Source, error: Exception, pipeline: Pipeline) -> Finding:
    if isinstance(error, Refused):
        problem = re.sub(r"\{(.+)\}", lambda m: described(m.group(1)), error.problem)
        where = source.find(ast.Attribute, {error.name}, error.line) or source.find(ast.Name, {error.name}, error.line)
        return where or error.line, problem, error.hint
    if isinstance(error, WrongCall):
        name = error.function.__name__
        return source.find(ast.Call, {name}), f"`{name}` is called wrongly: {error.problem}", "give it what it takes"
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    line = _line(source, text, error)
    for look in (_unified, _attribute, _unknown_name, _returned, _called, _no_operation):
        if found := look(source, text, line, pipeline):
            return found
    said = [t.strip() for t in text.splitlines() if t.strip() and not t.startswith(("Failed in", "During:"))]
    detail = said[0] if said else type(error).__name__
    return line, f"it is beyond what is compiled: {detail}", LANGUAGE


def _line(source: Source, text: str, error: Exception) -> int | None:
    """The last line of this function that the message names."""
    code = source.function.__code__
    last = max((n for *_, n in code.co_lines() if n), default=code.co_firstlineno)
    for file, line, other, number in reversed(_LINE.findall(text)):
        at = int(line or number)
        if code.co_filename.endswith((file or other).lstrip("./")) and code.co_firstlineno <= at <= last:
            return at
    at = getattr(getattr(error, "loc", None), "line", 0)
    return at if code.co_firstlineno <= at <= last else None


def _unified(source: Source, text: str, line: int | None, pipeline: Pipeline) -> Finding | None:
    if not (found := _UNIFY.search(text)):
        return None
    a, b, name = found.groups()
    name = re.sub(r"\.\d+$", "", name)
    hint = "give a name one type on every path; start it with a value of that type"
    where = source.find_binding(name, line) or line
    if name.startswith("$"):
        name, hint = "the value", "both sides of `and`, `or`, `if ... else` need one type; wrap headers in bool(...)"
    return where, f"{name} is {described(a)} on one way and {described(b)} on another", hint


def _attribute(source: Source, text: str, line: int | None, pipeline: Pipeline) -> Finding | None:
    if found := _ATTRIBUTE.search(text):
        name, kind = found.groups()
    elif found := _SET_ATTRIBUTE.search(text):
        kind, name = found.groups()
    else:
        return None
    where = source.find(ast.Attribute, {name}, line) or line
    return where, f"{described(kind)} has no {name!r}", _attributes_of(kind, name, pipeline)


def _attributes_of(kind: str, name: str, pipeline: Pipeline) -> str:
    """What there is instead."""
    if found := re.match(r"StructRef\((\w+)", kind):
        for state in pipeline.state:
            record: Any = getattr(state, "record", None)
            if record is not None and record.layout.name == found.group(1):
                return suggest(name, tuple(s.name for s in record.layout))
    if found := re.match(r"Header\((\w+)", kind):
        own = {protocol.fields.name: protocol.fields for protocol in pipeline.protocols}
        header = own.get(found.group(1)) or HEADER[found.group(1)]
        return suggest(name, header.field_names)
    if kind.startswith("IPv"):
        return "compare addresses, take int(address) of an IPv4 one, or look it up in a PrefixMap"
    if kind == "BytesView":
        return "there are: len(view), view[i], view[a:b], ==, view.startswith(b'...'), view.be16(i), view.be32(i)"
    if kind == "BytesView":
        return "there are: len(view), view[i], view[a:b], ==, view.startswith(b'...'), view.be16(i), view.be32(i)"
    methods = [u for u in USAGE if u.startswith(re.split(r"\W", kind)[0] + ".")]
    return "; ".join(USAGE[m] for m in methods) or LANGUAGE


def _unknown_name(source: Source, text: str, line: int | None, pipeline: Pipeline) -> Finding | None:
    if found := _UNSET.search(text):
        name = found.group(1) or found.group(2)
        if "Untyped" not in text and name in source.function.__code__.co_varnames:
            hint = "a name that is assigned to in a function is its own; objects outside are changed by their methods"
            return source.find(ast.Name, {name}, line) or line, f"{name!r} has no value yet", hint
    if found := _NAME.search(text):
        name = found.group(1) or found.group(2)
        hint = "define it at the top of the file; a stage uses what it finds there by name"
        return source.find(ast.Name, {name}, line) or line, f"{name!r} is not defined", hint
    return None


def _returned(source: Source, text: str, line: int | None, pipeline: Pipeline) -> Finding | None:
    if not (found := _RETURN.search(text)):
        return None
    where = source.find(ast.Return, {""}, line) or line
    return where, f"a stage returns a verdict, not {described(found.group(1))}", RETURNS


def _called(source: Source, text: str, line: int | None, pipeline: Pipeline) -> Finding | None:
    if not (found := _METHOD.search(text)):
        return None
    name, given = found.groups()
    short = name.rpartition(".")[2]
    listed = ", ".join(described(g) for g in arguments(given)) or "nothing"
    where = source.find(ast.Call, {short}, line) or line
    return where, f"{name} is not called with {listed}", USAGE.get(name, LANGUAGE)


def _no_operation(source: Source, text: str, line: int | None, pipeline: Pipeline) -> Finding | None:
    found = _MISSING.search(text) or _INTRINSIC.search(text) or _LOWERED.search(text)
    if not found:
        return None
    name = found.group(1).rpartition(".")[2]
    problem, hint = operation(name, arguments(found.group(2)))
    return _operation_at(source, name, line) or line, problem, hint


def _operation_at(source: Source, name: str, line: int | None) -> ast.AST | None:
    """The one place, on the line if it is known, where the operation can be meant; None when there are several."""
    if source.tree is None:
        return None
    kinds = NODES.get(OPERATORS.get(name, name), (ast.Call,) if name not in OPERATORS else (ast.BinOp, ast.AugAssign))
    nodes = [n for n in ast.walk(source.tree) if isinstance(n, kinds) and (line or n.lineno) == n.lineno]  # type: ignore[attr-defined]
    if kinds == (ast.Call,):
        nodes = [n for n in nodes if name in ast.unparse(n.func)]  # type: ignore[attr-defined]
    return nodes[0] if len(nodes) == 1 else None
