"""A predicate over one packet, rewritten over sixteen: `and`, `or`, `not` and comparisons become those of masks.

Only what means the same in lanes of 32 or 64 unsigned bits is: fields, constants, comparisons, bit operations. Sums
and products are not, since a stage's numbers have 64 bits and a sign.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any

from burstline.packet.fields import HEADER
from burstline.packet.group_fields import HEADERS_OF_GROUPS, NUMBERS, lane_bits

_OF_INNER = ("proto", "vlan_depth", "mpls_depth")
_BITS = (ast.BitAnd, ast.BitOr, ast.BitXor)


class _NotInLanes(Exception):
    pass


class _Address(ast.Constant):
    """The number of an IPv4 address."""


def in_lanes(tree: ast.FunctionDef, names: Mapping[str, Any]) -> ast.FunctionDef | None:
    """The same function over a group, which returns verdicts; None for one that is more than `return` of an expression
    that vectors can work out. `names` are the values that its free names stand for."""
    body = [s for s in tree.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    if len(body) != 1 or not isinstance(body[0], ast.Return) or body[0].value is None or not tree.args.args:
        return None
    try:
        mask = _Predicate(tree.args.args[0].arg, names).mask(body[0].value)
    except _NotInLanes:
        return None
    said = ast.Call(
        ast.Name("_burstline_where", ast.Load()),
        [ast.UnaryOp(ast.Invert(), mask), ast.Name("_burstline_drop", ast.Load())],
        [],
    )
    made = ast.FunctionDef(tree.name, tree.args, [ast.copy_location(ast.Return(said), body[0])], [], None)
    return ast.fix_missing_locations(ast.copy_location(made, tree))


class _Predicate:
    def __init__(self, packet: str, names: Mapping[str, Any]) -> None:
        self.packet, self.names = packet, names

    def mask(self, node: ast.expr) -> ast.expr:
        """A truth of each packet."""
        if isinstance(node, ast.BoolOp):
            masks = [self.mask(value) for value in node.values]
            return _joined(ast.BitAnd() if isinstance(node.op, ast.And) else ast.BitOr(), masks)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ast.UnaryOp(ast.Invert(), self.mask(node.operand))
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            pairs = zip(sides, node.ops, sides[1:], strict=False)
            return _joined(ast.BitAnd(), [self._compared(a, op, b) for a, op, b in pairs])
        path = self._path(node)
        if path and (path == ("inner",) or path[-1] in HEADERS_OF_GROUPS):
            return ast.Attribute(node, "here", ast.Load())
        if path and self._bits(path) == 1:
            return node
        value, bits = self.number(node)
        if bits == 0:
            raise _NotInLanes
        return ast.Compare(value, [ast.NotEq()], [ast.Constant(0)])

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> ast.expr:
        if isinstance(op, (ast.In, ast.NotIn)):
            values = self._constants(right)
            found = _joined(ast.BitOr(), [self._compared(left, ast.Eq(), v) for v in values])
            return found if isinstance(op, ast.In) else ast.UnaryOp(ast.Invert(), found)
        if not isinstance(op, (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)):
            raise _NotInLanes
        if self._is_address(left) != self._is_address(right):
            raise _NotInLanes  # as for a single packet: it is refused there
        (a, one), (b, other) = self.number(left), self.number(right)
        if max(one, other) == 0 or (one and other and one != other):
            raise _NotInLanes
        _refuse_too_large((a, b), max(one, other))
        return ast.Compare(a, [op], [b])

    def _constants(self, node: ast.expr) -> list[ast.expr]:
        if isinstance(node, ast.Tuple) and node.elts:
            return list(node.elts)
        value = self.names.get(ast.unparse(node))
        if isinstance(value, tuple) and value and all(isinstance(v, (int, IPv4Address)) for v in value):
            return [_Address(int(v)) if isinstance(v, IPv4Address) else ast.Constant(v) for v in value]
        raise _NotInLanes

    def number(self, node: ast.expr) -> tuple[ast.expr, int]:
        """A number of each packet and the bits of its lanes; 0 for a constant."""
        path = self._path(node)
        if path:
            bits = self._bits(path)
            if bits in (32, 64):
                return node, bits
            raise _NotInLanes
        if isinstance(node, ast.BinOp) and isinstance(node.op, _BITS):
            if self._is_address(node.left) or self._is_address(node.right):
                raise _NotInLanes
            (a, one), (b, other) = self.number(node.left), self.number(node.right)
            if one and other and one != other:
                raise _NotInLanes
            _refuse_too_large((a, b), max(one, other) or 64)
            return ast.BinOp(a, node.op, b), max(one, other)
        value: Any = node.value if isinstance(node, ast.Constant) else self.names.get(ast.unparse(node))
        if isinstance(value, IPv4Address):
            return _Address(int(value)), 0
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
            raise _NotInLanes
        return ast.Constant(int(value)), 0

    def _is_address(self, node: ast.expr) -> bool:
        path = self._path(node)
        if path:
            field = HEADER[path[-2]].field(path[-1]) if len(path) > 1 and path[-2] in HEADER else None
            return field is not None and field.kind == "ipv4"
        return isinstance(node, _Address) or isinstance(self.names.get(ast.unparse(node)), IPv4Address)

    def _path(self, node: ast.expr) -> tuple[str, ...]:
        """The attributes that are taken of the packet; none where it is something else."""
        found: list[str] = []
        while isinstance(node, ast.Attribute):
            found.insert(0, node.attr)
            node = node.value
        is_packet = isinstance(node, ast.Name) and node.id == self.packet
        return tuple(found) if is_packet else ()

    def _bits(self, path: tuple[str, ...]) -> int:
        """Of the lanes that a field of the packet is read into; 1 for a truth, 0 for what groups have not."""
        inner, rest = path[0] == "inner", path[1:] if path[0] == "inner" else path
        if len(rest) == 1:
            known = rest[0] in (_OF_INNER if inner else NUMBERS)
            return 32 if known else 64 if rest == ("time",) and not inner else 1 if rest == ("is_fragment",) else 0
        if len(rest) != 2 or rest[0] not in HEADERS_OF_GROUPS:
            return 0
        field = HEADER[rest[0]].field(rest[1])
        return lane_bits(field) if field else 0


def _refuse_too_large(sides: tuple[ast.expr, ast.expr], bits: int) -> None:
    """A constant that lanes of so many bits cannot hold."""
    for side in sides:
        if isinstance(side, ast.Constant) and isinstance(side.value, int) and side.value >= 1 << bits:
            raise _NotInLanes


def _joined(op: ast.operator, masks: list[ast.expr]) -> ast.expr:
    whole = masks[0]
    for mask in masks[1:]:
        whole = ast.BinOp(whole, op, mask)
    return whole
