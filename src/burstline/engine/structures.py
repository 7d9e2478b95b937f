"""The engine's own structures: which kernels touch which of their fields, read from the kernels' source.

A field that kernels read with `load_acquire` is one that others write meanwhile, or that others wait for. It must not
lie in a line with what a kernel simply stores, or every store takes the line away from those others (false sharing:
J. Torrellas, M. S. Lam and J. L. Hennessy, "False sharing and spatial locality in multiprocessor caches", IEEE
Transactions on Computers 43(6), 1994).
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import burstline
from burstline.native.struct import LINE, Layout, Struct, declared

How = Literal["reads", "writes", "waits for", "publishes"]
When = Literal["each packet", "always", "sometimes"]  # of a kernel's calls
ROOT = Path(burstline.__file__).parent
_ATOMIC: dict[str, How] = {"load_acquire": "waits for", "store_release": "publishes", "fetch_add": "publishes"}
_PACKETS = ("i", "k")  # what loops over packets count with
_EACH_BURST = ("begin", "end", "digest_publish")  # kernels of state that loops call once a burst


@dataclass(frozen=True)
class KernelUse:
    """What a kernel does with a field; and whether for each packet, or now and then."""

    kernel: str
    how: How
    each_packet: bool


Uses = dict[tuple[str, str], list[KernelUse]]  # by structure and field


def uses_of(struct: type[Struct]) -> dict[str, list[KernelUse]]:
    """By field. A structure has its base's fields, and so its base's kernels."""
    found: dict[str, list[KernelUse]] = {name: [] for name in declared(struct)}
    for base in struct.__mro__:
        for (owner, field), uses in _kernels().items():
            if owner == base.__name__ and field in found:
                found[field] += [use for use in uses if use not in found[field]]
    return found


def shared_fields(struct: type[Struct]) -> set[str]:
    """Those that others write, or wait for."""
    return {field for field, uses in uses_of(struct).items() if any(use.how == "waits for" for use in uses)}


def stored_fields(struct: type[Struct]) -> set[str]:
    """Those that kernels store to as the only ones who look."""
    stored = {field for field, uses in uses_of(struct).items() if any(use.how == "writes" for use in uses)}
    return stored - shared_fields(struct)


def falsely_shared(struct: type[Struct]) -> list[tuple[str, str]]:
    """Pairs of a field that others wait for and one that is stored, in one line."""
    line = {slot.name: lines_of(struct.layout, slot.name)[0] for slot in struct.layout}
    stored = sorted(stored_fields(struct))
    return [(a, b) for a in sorted(shared_fields(struct)) for b in stored if line[a] == line[b]]


def lines_of(layout: Layout, field: str) -> range:
    """The lines that a field lies in."""
    slot = layout.slot(field)
    assert slot is not None
    return range(slot.offset // LINE, (slot.offset + slot.type.size - 1) // LINE + 1)


# ---- the kernels' source ----


@functools.lru_cache(maxsize=1)
def _kernels() -> Uses:
    files = [_File(path) for path in sorted(ROOT.glob("*/*_kernel.py"))]
    uses: Uses = {}
    for file in files:
        file.read()
    always = {(caller, name) for file in files for caller, name, when in file.calls if when != "sometimes"}
    called = {name for file in files for _, name, when in file.calls if when == "each packet"}
    inner = {name for file in files for _, name, _ in file.calls}
    called |= {name for file in files for name in file.asked if name not in (*inner, *_EACH_BURST)}
    while more := {name for caller, name in always if caller in called} - called:
        called |= more
    for file in files:
        for owner, field, kernel, how, when in file.found:
            use = KernelUse(kernel, how, when == "each packet" or (when == "always" and kernel in called))
            known = uses.setdefault((owner, field), [])
            if KernelUse(kernel, how, True) not in known:
                known[:] = [u for u in known if (u.kernel, u.how) != (kernel, how)] + [use]
    return uses


class _File:
    """One kernel module: names of structures' addresses and offsets, and who uses them."""

    def __init__(self, path: Path) -> None:
        self.module = f"burstline.{path.parent.name}.{path.stem}"
        self.room = path.parent.name
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.constants: dict[str, tuple[str, str]] = {}
        self.references: dict[str, str] = {}  # functions that take an address for a structure
        self.found: list[tuple[str, str, str, How, When]] = []
        self.calls: set[tuple[str, str, When]] = set()
        self.asked: set[str] = set()  # kernels of state, for one packet
        for statement in self.tree.body:
            if isinstance(statement, ast.Assign):
                for target, value in _pairs(statement):
                    self.note(target, value)

    def note(self, target: str, value: ast.expr) -> None:
        """`worker_at = reference(Worker)`, `CODE = Worker.layout.offset("code")`."""
        text = ast.unparse(value)
        if text.startswith("reference("):
            self.references[target] = text[len("reference(") : -1]
        elif ".layout.offset(" in text and isinstance(value, ast.Call) and isinstance(value.args[0], ast.Constant):
            self.constants[target] = text.partition(".")[0], str(value.args[0].value)

    def read(self) -> None:
        for statement in self.tree.body:
            if isinstance(statement, ast.ImportFrom):
                offsets = _offsets(statement.module or "")
                names = {alias.name: alias.asname or alias.name for alias in statement.names}
                self.constants |= {names[name]: place for name, place in offsets.items() if name in names}
        for statement in self.tree.body:
            if isinstance(statement, ast.FunctionDef):
                _Function(self, statement, {}).visit_body()


@functools.cache
def _offsets(module: str) -> dict[str, tuple[str, str]]:
    """The offsets of fields that a module of the package names."""
    path = ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py")
    if (
        not module.startswith("burstline.")
        or not path.is_file()
        or ".layout.offset(" not in path.read_text(encoding="utf-8")
    ):
        return {}
    return _File(path).constants


def _pairs(statement: ast.Assign) -> Iterator[tuple[str, ast.expr]]:
    """Names and what they are assigned, in `a = x` and `a, b = x, y`."""
    for target in statement.targets:
        if isinstance(target, ast.Name):
            yield target.id, statement.value
        elif isinstance(target, ast.Tuple) and isinstance(statement.value, ast.Tuple):
            for name, value in zip(target.elts, statement.value.elts, strict=True):
                if isinstance(name, ast.Name):
                    yield name.id, value


class _Function(ast.NodeVisitor):
    """One kernel: variables that hold structures, by their annotations or what they are assigned."""

    def __init__(self, file: _File, tree: ast.FunctionDef, around: dict[str, str]) -> None:
        self.file, self.tree = file, tree
        arguments = [(a.arg, ast.unparse(a.annotation)) for a in tree.args.args if a.annotation is not None]
        self.kinds = {**around, **dict(arguments)}
        self.is_walk = any(kind == "BurstColumns" for _, kind in arguments)  # there are packets in all its loops
        self.when: When = "always"
        if file.room == "state" and not self.is_walk:
            file.asked.add(tree.name)

    def visit_body(self) -> None:
        for statement in self.tree.body:
            self.visit(statement)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        _Function(self.file, node, self.kinds).visit_body()

    def visit_For(self, node: ast.For) -> None:
        over_packets = isinstance(node.target, ast.Name) and node.target.id in _PACKETS
        self.visit(node.iter)
        self.block(node.body, "each packet" if over_packets else self.when)

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        self.block(node.body, "each packet" if self.is_walk else self.when)

    def visit_If(self, node: ast.If) -> None:
        """What is done only when something is so, and nothing else otherwise, is not done for each packet."""
        if node.orelse:
            self.generic_visit(node)
            return
        self.visit(node.test)
        self.block(node.body, "sometimes")

    def block(self, body: list[ast.stmt], when: When) -> None:
        before, self.when = self.when, when
        for statement in body:
            self.visit(statement)
        self.when = before

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for name, value in _pairs(node):
            if isinstance(value, ast.Call) and ast.unparse(value.func) in self.file.references:
                self.kinds[name] = self.file.references[ast.unparse(value.func)]

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.generic_visit(node)
        if isinstance(node.target, ast.Attribute) and (kind := self.kind(node.target.value)):
            self.use(kind, node.target.attr, "reads")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        if kind := self.kind(node.value):
            self.use(kind, node.attr, "writes" if isinstance(node.ctx, ast.Store) else "reads")

    def visit_Call(self, node: ast.Call) -> None:
        name = ast.unparse(node.func)
        self.file.calls.add((self.tree.name, name, self.when))
        how = _ATOMIC.get(name)
        places = (
            [self.file.constants.get(n.id) for n in ast.walk(node.args[0]) if isinstance(n, ast.Name)] if how else []
        )
        if how and any(places):
            for place in filter(None, places):
                self.use(*place, how)
            for argument in node.args:
                self.visit_without_constants(argument)
        else:
            self.generic_visit(node)

    def visit_without_constants(self, node: ast.expr) -> None:
        for each in ast.walk(node):
            if isinstance(each, ast.Attribute):
                self.visit_Attribute(each)

    def visit_Name(self, node: ast.Name) -> None:
        """An address that is worked out here, and waited for below."""
        if node.id in self.file.constants and isinstance(node.ctx, ast.Load):
            self.use(*self.file.constants[node.id], "waits for")

    def kind(self, node: ast.expr) -> str | None:
        """Of the structure that an expression stands for."""
        if isinstance(node, ast.Name):
            return self.kinds.get(node.id)
        if isinstance(node, ast.Call):
            return self.file.references.get(ast.unparse(node.func))
        return None

    def use(self, kind: str, field: str, how: How) -> None:
        self.file.found.append((kind, field, self.tree.name, how, self.when))
