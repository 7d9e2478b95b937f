"""The parser's states as instructions of the program: packet/states/*.py, translated statement by statement.

So the program finds the headers that stages see, by the same clauses. The states are plain functions over numbers; what
is translated here is what they are written in, and anything else is refused when the program is made.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from burstline.packet.parser_state import ABSENT
from burstline.steering.xdp.code import I1, Code, number
from burstline.steering.xdp.layout import WINDOW

SIZES = {"be8": 1, "be16": 2, "be32": 4}
OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.BitAnd: "and_", ast.BitOr: "or_", ast.LShift: "shl",
    ast.RShift: "lshr",
}  # fmt: skip
COMPARES: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
Found = Callable[[ir.Value, ir.Value, ir.Value], None]


@functools.cache
def _body(function: Any) -> tuple[list[str], list[ast.stmt]]:
    made = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(made, ast.FunctionDef)
    return [a.arg for a in made.args.args], made.body


class State:
    """One state of the parser, written into `code`. `found` goes on where the header is there, with its selector, where
    what follows starts, and the end; where it is absent, execution goes to `absent`.

    `only_there`: nothing behind this header is wanted, and `found` need not know more than that it is there.
    """

    def __init__(self, code: Code, window: ir.Value, found: Found, absent: ir.Block, *, only_there: bool) -> None:
        self.code, self.b, self.window = code, code.b, window
        self.found, self.absent, self.only_there = found, absent, only_there
        self.names: dict[str, Any] = {}  # of the function that is being written: its module's, and its own
        self.locals: dict[str, ir.Value] = {}

    def write(self, function: Any, *args: ir.Value | int) -> None:
        """The body of a state, or of what a state returns the result of; `args` are those after the packet's data."""
        names, body = _body(function)
        values = {name: number(a) if isinstance(a, int) else a for name, a in zip(names[1:], args, strict=True)}
        outer = self.names, self.locals
        self.names, self.locals = function.__globals__, {}
        for name, value in values.items():
            self._assign(name, value)
        self._statements(body)
        self.names, self.locals = outer

    def _statements(self, body: list[ast.stmt]) -> None:
        for k, statement in enumerate(body):
            if self.only_there and not any(_says_absent(rest) for rest in body[k:]):
                self.found(number(0), number(0), number(0))
                return
            match statement:
                case ast.Expr(value=ast.Constant()):  # its documentation
                    continue
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self._assign(name, self._value(value))
                case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                    self._assign(name, self._operate(op, self.b.load(self.locals[name]), self._value(value)))
                case ast.If():
                    self._if(statement)
                case ast.Return(value=value) if value is not None:
                    self._return(value)
                    return
                case _:
                    raise _untranslatable(statement)

    def _if(self, statement: ast.If) -> None:
        condition = self._condition(statement.test)
        yes, after = self.code.block("yes"), self.code.block("after")
        no = self.code.block("no") if statement.orelse else after
        self.b.cbranch(condition, yes, no)
        for block, body in ((yes, statement.body), (no, statement.orelse)):
            if body:
                self.b.position_at_end(block)
                self._statements(body)
                if not self.b.block.is_terminated:
                    self.b.branch(after)
        self.b.position_at_end(after)

    def _return(self, value: ast.expr) -> None:
        match value:
            case ast.Call(func=ast.Name(id=name), args=[ast.Name(id="data"), *args]):
                self.write(self.names[name], *[self._value(a) for a in args])
            case ast.Tuple(elts=[ast.Name(id="ABSENT"), _, _]):
                self.b.branch(self.absent)
            case ast.Tuple(elts=elements):
                selector, after, end = (self._value(e) for e in elements)
                self.found(selector, after, end)
            case _:
                raise _untranslatable(value)

    def _assign(self, name: str, value: ir.Value) -> None:
        if name not in self.locals:
            with self.b.goto_entry_block():
                self.locals[name] = self.b.alloca(value.type, name=name)
        self.b.store(value, self.locals[name])

    def _value(self, node: ast.expr) -> ir.Value:
        match node:
            case ast.Constant(value=int(value)):
                return number(value)
            case ast.Name(id=name) if name in self.locals:
                return self.b.load(self.locals[name])
            case ast.Name(id=name) if isinstance(self.names.get(name), int):
                return number(self.names[name])
            case ast.BinOp(left=left, op=op, right=right):
                return self._operate(op, self._value(left), self._value(right))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.b.select(self._condition(test), self._value(body), self._value(orelse))
            case ast.Call(func=ast.Name(id=name), args=[ast.Name(id="data"), at]) if name in SIZES:
                return self.code.big_endian(self._place(at), SIZES[name])
            case ast.Call(func=ast.Name(id="min" | "max" as name), args=[x, y]):
                one, other = self._value(x), self._value(y)
                order = self.b.icmp_unsigned("<" if name == "min" else ">", one, other)
                return self.b.select(order, one, other)
            case ast.Compare() | ast.BoolOp():
                return self.b.zext(self._condition(node), number(0).type)
        raise _untranslatable(node)

    def _operate(self, op: ast.operator, left: ir.Value, right: ir.Value) -> ir.Value:
        return getattr(self.b, OPERATORS[type(op)])(left, right)

    def _condition(self, node: ast.expr) -> ir.Value:
        match node:
            case ast.BoolOp(op=op, values=values):
                first, *others = (self._condition(v) for v in values)
                join = self.b.and_ if isinstance(op, ast.And) else self.b.or_
                return functools.reduce(join, others, first)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self.b.xor(self._condition(operand), I1(1))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self.b.icmp_unsigned(COMPARES[type(op)], self._value(left), self._value(right))
        return self.b.icmp_unsigned("!=", self._value(node), number(0))

    def _place(self, at: ast.expr) -> ir.Value:
        """An address in the window; a small number that is added goes behind the mask, where one access can have it."""
        match at:
            case ast.BinOp(left=left, op=ast.Add(), right=ast.Constant(value=int(added))) if added < 16:
                return self.code.beside(self._place(left), added)
        return self.code.beside(self.window, self.b.and_(self._value(at), number(WINDOW - 1)))


def _says_absent(statement: ast.stmt) -> bool:
    assert ABSENT == -1
    return any(isinstance(node, ast.Name) and node.id == "ABSENT" for node in ast.walk(statement))


def _untranslatable(node: ast.AST) -> TypeError:
    """A state of the parser was written with something new: an error of burstline's own, which its tests find."""
    return TypeError(f"`{ast.unparse(node)}` in a state of the parser has no translation for BPF: write it here")
