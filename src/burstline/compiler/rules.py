"""What Python has and the stage language has not: syntax, with what to write instead."""

from __future__ import annotations

import ast

ALLOCATES = "it allocates memory, which nothing on the data path may"
_TUPLE = "write a tuple, e.g. `port in (80, 443)`"
_LOOP = "write a `for` loop over `range(...)`"
_STATE = "use a Counter, or a field of a record in a FlowTable"
_BESIDE = "define it beside the stage and call it by its name"

REFUSED: dict[type[ast.AST], tuple[str, str]] = {
    ast.List: (f"a list: {ALLOCATES}", f"{_TUPLE}, or keep state in a FlowTable"),
    ast.ListComp: (f"a list comprehension: {ALLOCATES}", _LOOP),
    ast.Set: (f"a set: {ALLOCATES}", _TUPLE),
    ast.SetComp: (f"a set comprehension: {ALLOCATES}", _LOOP),
    ast.Dict: (f"a dict: {ALLOCATES}", "keep values per flow in a FlowTable, per prefix in a PrefixMap"),
    ast.DictComp: (f"a dict comprehension: {ALLOCATES}", "keep values per flow in a FlowTable"),
    ast.GeneratorExp: ("a generator expression: generators are not compiled", _LOOP),
    ast.JoinedStr: (f"an f-string: {ALLOCATES}", "hand the values to Python in a Digest and format them there"),
    ast.NamedExpr: ("`:=`: an assignment inside of an expression is not compiled", "assign in a line of its own"),
    ast.Lambda: ("a lambda: functions inside of stages are not compiled", _BESIDE),
    ast.FunctionDef: ("a function inside of a stage is not compiled", _BESIDE),
    ast.AsyncFunctionDef: ("a function inside of a stage is not compiled", _BESIDE),
    ast.ClassDef: ("a class inside of a stage is not compiled", "define it outside"),
    ast.Raise: ("`raise`: a stage says what becomes of a packet by its verdict", 'write `return bl.drop("why")`'),
    ast.Try: ("`try`: a stage cannot catch exceptions", "check first; an exception drops the packet and is counted"),
    ast.With: ("`with`: context managers are not compiled", "do it outside of the stage"),
    ast.AsyncWith: ("`async with`: context managers are not compiled", "do it outside of the stage"),
    ast.AsyncFor: ("`async for`: coroutines are not compiled", _LOOP),
    ast.Yield: ("`yield`: generators are not compiled", "return a verdict"),
    ast.YieldFrom: ("`yield from`: generators are not compiled", "return a verdict"),
    ast.Await: ("`await`: coroutines are not compiled", "hand the work to Python in a Digest"),
    ast.Global: ("`global`: a stage cannot rebind names of the module", _STATE),
    ast.Nonlocal: ("`nonlocal`: a stage cannot rebind outer names", _STATE),
    ast.Import: ("`import` inside of a stage", "import at the top of the file"),
    ast.ImportFrom: ("`import` inside of a stage", "import at the top of the file"),
    ast.Delete: ("`del`: there is nothing to delete", "leave it out"),
    ast.Starred: ("`*`: arguments and tuples of unknown length are not compiled", "write them out"),
    ast.MatMult: ("`@`: matrices are not compiled", "multiply numbers by `*`"),
}
if hasattr(ast, "TryStar"):
    REFUSED[ast.TryStar] = REFUSED[ast.Try]

INTEGERS = range(-(1 << 63), 1 << 63)
TOO_LARGE = "a number of more than 63 bits: stages count in 64 bits with a sign, and would take it for another one"
POWER = "`**` by anything but a whole number that stands there"


def refusal(node: ast.AST) -> tuple[str, str] | None:
    """The rule that a piece of syntax breaks, and what to write instead."""
    if type(node) in REFUSED:
        is_target = isinstance(node, ast.List) and isinstance(node.ctx, ast.Store)
        return None if is_target else REFUSED[type(node)]
    if isinstance(node, ast.Constant) and type(node.value) is int and node.value not in INTEGERS:
        return TOO_LARGE, "mask with 0x7FFF_FFFF_FFFF_FFFF at most, or write the negative number of the same bits"
    if isinstance(node, ast.Constant) and isinstance(node.value, complex):
        return "a complex number", "stages compute with integers and fractions"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        power = node.right.value if isinstance(node.right, ast.Constant) else None
        if type(power) is not int or power < 0:
            return POWER, "write `1 << n` for a power of two, math.sqrt or math.pow for fractions"
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Pow):
        return POWER, "write it as a product"
    if isinstance(node, ast.Assert) and not isinstance(node.msg, (ast.Constant, type(None))):
        return "`assert` with a message that is worked out", "write a text, or nothing: the report names the stage"
    if isinstance(node, ast.keyword) and node.arg is None:
        return "`**`: arguments of unknown names are not compiled", "write them out"
    if isinstance(node, ast.Slice) and node.step is not None:
        return "a slice with a step", "write [a:b], and a `for` loop over range(0, len(view), step)"
    return None


def parameters_refused(arguments: ast.arguments) -> tuple[ast.AST, str, str] | None:
    """A helper's parameters that a call from compiled code cannot fill."""
    if arguments.vararg or arguments.kwarg:
        node = arguments.vararg or arguments.kwarg
        assert node is not None
        return node, "a function with any number of parameters is not compiled", "name each parameter"
    if arguments.kwonlyargs:
        return arguments.kwonlyargs[0], "keyword-only parameters are not compiled", "leave out the `*` before them"
    return None
