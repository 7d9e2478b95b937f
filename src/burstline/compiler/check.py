"""The stage language, checked before Numba sees the code; and Numba's own findings put into its terms."""

from __future__ import annotations

import ast
import builtins
import difflib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType
from typing import Any

from numba.core.errors import NumbaError

from burstline.compiler.errors import Source
from burstline.errors import BurstlineError
from burstline.native.build import C_LIBRARY, FORBIDDEN
from burstline.native.memory import LOWERED
from burstline.packet.fields import HEADER, HEADER_METHODS, PACKET_FIELDS, PACKET_METHODS, Header
from burstline.pipeline.pipeline import Pipeline, reachable
from burstline.pipeline.references import references
from burstline.pipeline.stage import Stage

ALLOWED_BUILTINS = frozenset({"abs", "bool", "float", "int", "len", "max", "min", "range", "round"})
PACKET_NAMES = (*HEADER, *PACKET_FIELDS, *PACKET_METHODS, "vlan_depth")

_ALLOCATES = "it allocates memory, which nothing on the data path may"
REFUSED: dict[type[ast.AST], tuple[str, str]] = {
    ast.List: (f"a list: {_ALLOCATES}", "write a tuple, e.g. `port in (80, 443)`, or keep state in a FlowTable"),
    ast.ListComp: (f"a list comprehension: {_ALLOCATES}", "write a `for` loop over `range(...)`"),
    ast.Set: (f"a set: {_ALLOCATES}", "write a tuple, e.g. `port in (80, 443)`"),
    ast.SetComp: (f"a set comprehension: {_ALLOCATES}", "write a `for` loop over `range(...)`"),
    ast.Dict: (f"a dict: {_ALLOCATES}", "keep values per flow in a FlowTable, per prefix in a PrefixMap"),
    ast.DictComp: (f"a dict comprehension: {_ALLOCATES}", "keep values per flow in a FlowTable"),
    ast.GeneratorExp: ("a generator expression: generators are not compiled", "write a `for` loop"),
    ast.JoinedStr: (f"an f-string: {_ALLOCATES}", "hand the values to Python in a Digest and format them there"),
    ast.Lambda: ("a lambda: functions inside of stages are not compiled", "define a function beside the stage"),
    ast.FunctionDef: ("a function inside of a stage is not compiled", "define it beside the stage and call it"),
    ast.ClassDef: ("a class inside of a stage is not compiled", "define it outside"),
    ast.Try: ("`try`: a stage cannot catch exceptions", "check first; an exception drops the packet and is counted"),
    ast.With: ("`with`: context managers are not compiled", "do it outside of the stage"),
    ast.Yield: ("`yield`: generators are not compiled", "return a verdict"),
    ast.YieldFrom: ("`yield from`: generators are not compiled", "return a verdict"),
    ast.Await: ("`await`: coroutines are not compiled", "hand the work to Python in a Digest"),
    ast.Global: ("`global`: a stage cannot rebind names of the module", "use a Counter or a FlowTable"),
    ast.Nonlocal: ("`nonlocal`: a stage cannot rebind outer names", "use a Counter or a FlowTable"),
    ast.Import: ("`import` inside of a stage", "import at the top of the file"),
    ast.ImportFrom: ("`import` inside of a stage", "import at the top of the file"),
    ast.Delete: ("`del`: there is nothing to delete", "leave it out"),
    ast.Starred: ("`*`: arguments and tuples of unknown length are not compiled", "write them out"),
}


def check_stage(stage: Stage) -> None:
    """Raise `CompileError` for what the stage language does not have."""
    for function in reachable(stage.function):
        source = Source(function)
        if source.tree is not None:
            _Checker(stage, source, packet=function is stage.function).check()


class _Checker:
    def __init__(self, stage: Stage, source: Source, packet: bool) -> None:
        self.stage, self.source = stage, source
        self.space = dict(references(source.function))
        tree = source.tree
        assert tree is not None
        self.tree = tree
        # What simple names stand for: "packet", or a header. A helper's parameters are not known.
        self.names: dict[str, str | Header] = {tree.args.args[0].arg: "packet"} if packet and tree.args.args else {}

    def check(self) -> None:
        for statement in self.tree.body:
            for node in ast.walk(statement):
                self._node(node)

    def fail(self, node: ast.AST, problem: str, hint: str) -> None:
        raise self.source.error(self.stage.name, node, problem, hint)

    def _node(self, node: ast.AST) -> None:
        if type(node) in REFUSED:
            if isinstance(node, ast.List) and isinstance(node.ctx, ast.Store):
                return
            self.fail(node, *REFUSED[type(node)])
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            meaning = self._meaning(node.value)
            if meaning is not None:
                self.names[node.targets[0].id] = meaning
            else:
                self.names.pop(node.targets[0].id, None)
        elif isinstance(node, ast.Attribute):
            self._attribute(node)
        elif isinstance(node, ast.Call):
            self._call(node)

    def _meaning(self, node: ast.AST) -> str | Header | None:
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if isinstance(node, ast.Attribute) and self._meaning(node.value) == "packet":
            return HEADER.get(node.attr)
        return None

    def _attribute(self, node: ast.Attribute) -> None:
        owner = self._meaning(node.value)
        stored = isinstance(node.ctx, ast.Store)
        if owner == "packet":
            if node.attr not in PACKET_NAMES:
                self.fail(node, f"a packet has no {node.attr!r}", _suggest(node.attr, PACKET_NAMES))
            if stored:
                self.fail(node, f"`pkt.{node.attr}` cannot be assigned to", "assign to the fields of a header")
        elif isinstance(owner, Header):
            field = owner.field(node.attr)
            extra = [m for m, headers in HEADER_METHODS.items() if owner.name in headers]
            extra += ["options"] if owner.options else []
            if field is None and node.attr not in extra:
                names = (*owner.field_names, *extra)
                self.fail(node, f"{owner.name} has no field {node.attr!r}", _suggest(node.attr, names))
            if stored and (field is None or not field.writable):
                self.fail(node, f"`{owner.name}.{node.attr}` is read-only", "it decides where other headers lie")

    def _call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Name):
            value = self.space.get(function.id, getattr(builtins, function.id, None))
            if function.id in ALLOWED_BUILTINS and value is getattr(builtins, function.id):
                return
            self._callable(node, function.id, value)
        elif isinstance(function, ast.Attribute):
            dotted = ast.unparse(function)
            if dotted in self.space:
                self._callable(node, dotted, self.space[dotted])

    def _callable(self, node: ast.Call, name: str, value: Any) -> None:
        if value is None or isinstance(value, FunctionType):
            if isinstance(value, FunctionType) and value not in LOWERED and _is_foreign(value):
                self.fail(node, f"`{name}` is a call into Python", _INTO_PYTHON)
            return
        if isinstance(value, Stage):
            self.fail(node, f"`{name}` is a stage; a stage is not called by another", f"put {name} into the pipeline")
        module = getattr(value, "__module__", None) or ""
        if module.startswith("numpy"):
            self.fail(node, f"`{name}(...)` makes an array: {_ALLOCATES}", "keep state in a FlowTable or a Counter")
        if module == "math" and isinstance(value, BuiltinFunctionType):
            return
        if value in LOWERED:
            return
        self.fail(node, f"`{name}` is a call into Python", _INTO_PYTHON)


_INTO_PYTHON = "a stage calls stages' methods, math and your own plain functions; hand data to Python in a bl.Digest"


def _is_foreign(function: FunctionType) -> bool:
    """Functions of installed packages are not for compiling; the user's own are."""
    return "site-packages" in function.__code__.co_filename or "/lib/python" in function.__code__.co_filename


def _suggest(name: str, names: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, names, 1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names)}"


_ATTRIBUTE = re.compile(r"Unknown attribute '(\w+)' of type (.+)")
_UNIFY = re.compile(r"Cannot unify (.+?) and (.+?) for '(.+?)'")
_NAME = re.compile(r"NameError: name '(\w+)' is not defined|Untyped global name '(\w+)'")


@contextmanager
def explained(stage: Stage) -> Iterator[None]:
    """Numba's errors, raised as `CompileError` in the words of the stage language."""
    try:
        yield
    except BurstlineError:
        raise
    except NumbaError as error:
        raise _translated(stage, error) from error


def _translated(stage: Stage, error: NumbaError) -> BurstlineError:
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    where, line = _place(stage, text, error)
    source = Source(where)
    if found := _UNIFY.search(text):
        a, b, name = found.groups()
        name = re.sub(r"\.\d+$", "", name)
        if name.startswith("$"):
            name = "the value"
        return source.error(
            stage.name,
            _find(source, line, ast.Name, name) or line,
            f"{name} is {_type(a)} on one way and {_type(b)} on another",
            "give a name one type on every path; start it with a value of that type",
        )
    if found := _ATTRIBUTE.search(text):
        name, kind = found.groups()
        return source.error(
            stage.name, _find(source, line, ast.Attribute, name) or line, f"{_type(kind)} has no {name!r}",
            "see the stage language in the documentation for what each object has",
        )  # fmt: skip
    if found := _NAME.search(text):
        name = found.group(1) or found.group(2)
        return source.error(
            stage.name, _find(source, line, ast.Name, name) or line, f"{name!r} is not something a stage can use",
            "a stage uses numbers, addresses, FlowTable, Counter, Digest, PrefixSet, PrefixMap, chains and functions",
        )  # fmt: skip
    detail = next((t.strip() for t in text.splitlines() if t.strip() and "Failed in nopython" not in t), text)
    if ">>>" in text:
        detail = "no such operation: " + text.split(">>>")[1].splitlines()[0].strip().replace("<unknown function>", "")
    return source.error(
        stage.name, line, detail, "see the stage language in the documentation; --debug shows all that Numba says"
    )


def _place(stage: Stage, text: str, error: NumbaError) -> tuple[FunctionType, int]:
    """The innermost of the user's functions that the message names, and the line there."""
    functions = reachable(stage.function)
    for found in reversed(re.findall(r"File \"([^\"]+)\", line (\d+)", text)):
        line = int(found[1])
        for function in functions:
            code = function.__code__
            last = max((n for *_, n in code.co_lines() if n), default=code.co_firstlineno)
            if code.co_filename.endswith(found[0].lstrip("./")) and code.co_firstlineno <= line <= last:
                return function, line
    return stage.function, getattr(getattr(error, "loc", None), "line", stage.function.__code__.co_firstlineno)


def _find(source: Source, line: int, kind: type[ast.AST], name: str) -> ast.AST | None:
    """The node of this kind and name on a line, or on the first line that has one."""
    if source.tree is None:
        return None
    nodes = [
        n for n in ast.walk(source.tree) if isinstance(n, kind) and getattr(n, "attr", getattr(n, "id", None)) == name
    ]
    return next((n for n in nodes if n.lineno == line), nodes[0] if nodes else None)  # type: ignore[attr-defined]


def _type(text: str) -> str:
    text = text.strip().rstrip(".")
    if text.startswith("Packet("):
        return "a packet"
    if found := re.match(r"Header\((\w+)", text):
        return f"the {found.group(1)} header"
    if found := re.match(r"StructRef\((\w+)", text):
        return f"a record {found.group(1)}"
    words = {"int64": "a number", "float64": "a fractional number", "boolean": "true or false", "none": "None"}
    literal = re.match(r"Literal\[\w+\]\((.*)\)", text)
    return words.get(text, literal.group(1) if literal else text)


def forbidden(symbols: set[str], known: set[str], pipeline: Pipeline) -> None:
    """The proof on the linked code: nothing of Python, of Numba's runtime or of the heap is left in it."""
    for symbol in sorted(symbols - known - C_LIBRARY):
        if FORBIDDEN.match(symbol):
            names = ", ".join(s.name for c in pipeline.chains for s in c.stages)
            what = "allocates memory" if symbol.startswith("NRT_") else "calls into Python"
            raise BurstlineError(
                f"the compiled stages ({names}) would do what the data path may not: one {what} ({symbol})",
                "leave out strings, arrays and printing; hand data to Python in a bl.Digest",
            )
