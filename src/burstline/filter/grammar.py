"""From an expression to its meaning on a link layer: pcap-filter(7), read from left to right.

`and` and `or` bind alike and to the left. An address without qualifiers has those of the primitive before it. Among
arithmetic operators, % and ^ take all that follows them, as in libpcap's grammar, where they have no precedence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address

from burstline.filter import encapsulations, names, primitives
from burstline.filter import layers as layer
from burstline.filter.cursor import Cursor
from burstline.filter.layers import Layers, layers_of
from burstline.filter.lexer import ADDRESS, ADDRESS6, ARCNET, END, FOREIGN, MAC, NAME, NUMBER, PROTOCOLS, Token
from burstline.filter.predicate import (
    WORD,
    And,
    Arithmetic,
    Compare,
    Condition,
    Constant,
    Expression,
    Length,
    Not,
    Number,
    Or,
    both,
)
from burstline.filter.primitives import Qualifiers
from burstline.filter.problem import FilterError, Refused

DIRECTIONS = ("src", "dst", "addr1", "addr2", "addr3", "addr4", "ra", "ta")
KINDS = ("host", "net", "port", "portrange")
RELATIONS = {">": ">", ">=": ">=", "=": "==", "<=": "<=", "<": "<", "!=": "!="}
PRECEDENCE = {"|": 1, "&": 2, "<<": 3, ">>": 3, "+": 4, "-": 4, "*": 5, "/": 5, "%": 0, "^": 0}  # 0: none
UNARY = 6
Inherited = Qualifiers | None  # None: there is nothing to inherit


@dataclass(frozen=True)
class Part:
    """A piece of the expression; `address` tells that it is one or several addresses without qualifiers."""

    condition: Condition
    qualifiers: Inherited
    address: bool = False


@dataclass(frozen=True)
class Term:
    """An arithmetic term: what must hold before it is worked out, and its value."""

    value: Expression
    guard: Condition | None = None


def meaning(expression: str, link: int) -> Condition:
    """What the expression says of packets of a link layer (LINK_...). Raises `FilterError`."""
    return _Reader(expression, link).all()


class _Reader(Cursor):
    def __init__(self, expression: str, link: int) -> None:
        super().__init__(expression)
        self.layers: Layers = layers_of(link)

    def all(self) -> Condition:
        if self.token.kind == END:
            return Constant(True)
        found = self.joined(None, addresses=False)
        if self.token.kind != END:
            self.unexpected("'and', 'or' or the end")
        return found.condition

    def joined(self, inherited: Inherited, addresses: bool, primitives: bool = True) -> Part:
        """Parts with `and` and `or` between them."""
        found = self.part(inherited, addresses, primitives)
        while operator := self.accept("and", "or"):
            other = self.part(found.qualifiers, True, not found.address)
            join = And if operator.kind == "and" else Or
            found = Part(join(found.condition, other.condition), other.qualifiers, found.address)
        return found

    def part(self, inherited: Inherited, addresses: bool, primitives: bool) -> Part:
        """`addresses`: it may be an address by itself; `primitives`: it may be a whole primitive."""
        token = self.token
        if token.kind == "!":
            self.take()
            found = self.part(inherited, addresses, primitives)
            return Part(Not(found.condition), found.qualifiers, found.address)
        if primitives and (relation := self.relation()):
            return Part(relation, None)
        if token.kind == "(":
            if addresses and (number := self.number()):
                return Part(self.address(number, inherited), inherited, True)
            self.take()
            found = self.joined(inherited, addresses, primitives)
            self.expect(")", "')'")
            return found if found.address else Part(found.condition, inherited)
        if token.kind in (NAME, NUMBER, ADDRESS, ADDRESS6, MAC, ARCNET):
            if not addresses:
                self.unexpected("a primitive, such as 'tcp' or 'host ...'")
            return Part(self.address(self.take(), inherited), inherited, True)
        if not primitives:
            self.unexpected("an address, a name or a number")
        return self.primitive()

    def number(self) -> Token | None:
        """A number in any number of parentheses; None, with nothing taken, when there is none."""
        start, depth = self.at, 0
        while self.accept("("):
            depth += 1
        found = self.accept(NUMBER)
        if found and all(self.accept(")") for _ in range(depth)):
            return found
        self.at = start
        return None

    def primitive(self) -> Part:
        token, at = self.token, self.layers
        if token.kind in FOREIGN:
            raise FilterError(self.expression, token.column, f"{token.text!r} is for link types that are not supported")
        if self.accept("less", "greater"):
            size = Number(self.expect(NUMBER, "a number").value)
            return Part(Compare("<=" if token.kind == "less" else ">=", Length(), size), None)
        if self.accept("byte"):
            return Part(self.byte(), None)
        if self.accept("inbound", "outbound"):
            return Part(self.meant(token, lambda: primitives.inbound(at, token.kind == "outbound")), None)
        if self.accept("vlan", "mpls", "pppoes", "geneve"):
            number = self.number()
            make = {"vlan": encapsulations.vlan, "mpls": encapsulations.mpls, "pppoes": encapsulations.pppoes}
            wrap = make.get(token.kind, encapsulations.geneve)
            return Part(self.meant(number or token, lambda: wrap(at, number.value if number else None)), None)
        if self.accept("pppoed"):
            return Part(self.meant(token, lambda: at.type_is(layer.PPPOED)), None)
        if self.accept("llc"):
            kind = self.accept(NAME, "rnr")
            return Part(self.meant(kind or token, lambda: primitives.llc(at, kind.text if kind else "")), None)
        return self.qualified()

    def byte(self) -> Condition:
        where = self.expect(NUMBER, "the number of a byte")
        operator = self.token
        if not self.accept("=", "<", ">"):
            if operator.kind in ("&", "|"):
                problem = "libpcap never loads the byte for this operator"
                hint = f"write `ether[{where.text}] {operator.text} N != 0`"
                raise FilterError(self.expression, operator.column, problem, hint)
            self.unexpected("one of = < >")
        value = self.expect(NUMBER, "a number").value
        return Compare(RELATIONS[operator.kind], self.layers.header.load(1, where.value), Number(value))

    def qualified(self) -> Part:
        """A protocol by itself, or qualifiers with what they stand before."""
        start = self.token
        protocol = start.kind if self.accept(*PROTOCOLS) else ""
        token = self.token
        if token.kind in FOREIGN and protocol:
            raise FilterError(self.expression, token.column, f"{token.text!r} is for link types that are not supported")
        if self.accept("broadcast"):
            return Part(self.meant(start, lambda: primitives.broadcast(self.layers, protocol)), None)
        if self.accept("multicast"):
            return Part(self.meant(start, lambda: primitives.multicast(self.layers, protocol)), None)
        direction = self.direction()
        if direction:
            kind = word.kind if (word := self.accept(*KINDS)) else ""
        else:
            kind = word.kind if (word := self.accept(*KINDS, "proto", "protochain", "gateway")) else ""
        if not direction and not kind:
            if not protocol:
                self.unexpected("a primitive, such as 'tcp' or 'host ...'")
            return Part(self.meant(start, lambda: primitives.protocol_named(self.layers, protocol)), None)
        found = self.part(Qualifiers(protocol, direction, kind), True, False)
        return Part(found.condition, found.qualifiers)

    def direction(self) -> str:
        first = self.accept(*DIRECTIONS)
        if first is None:
            return ""
        if first.kind in ("src", "dst") and (join := self.accept("and", "or")):
            other = "dst" if first.kind == "src" else "src"
            self.expect(other, repr(other))
            return join.kind
        return first.kind

    def address(self, token: Token, q: Inherited) -> Condition:
        """What stands behind qualifiers, and what may follow it: a prefix length or a mask."""
        if q is None:
            problem = f"{token.text!r} has no qualifier before it"
            raise FilterError(self.expression, token.column, problem, f"write e.g. `host {token.text}`")
        length = mask = None
        if token.kind in (ADDRESS, ADDRESS6) and self.accept("/"):
            length = self.expect(NUMBER, "a prefix length").value
        elif token.kind == ADDRESS and self.accept("mask"):
            mask = self.expect(ADDRESS, "a mask").text
        make = {NAME: self.name, NUMBER: self.numeric, MAC: self.mac, ARCNET: self.arcnet}.get(token.kind)
        if make is not None:
            return self.meant(token, lambda: make(token, q))
        if token.kind == ADDRESS6:
            return self.meant(token, lambda: self.address6(token, q, 128 if length is None else length))
        return self.meant(token, lambda: self.address4(token, q, length, mask))

    def address4(self, token: Token, q: Qualifiers, length: int | None, mask: str | None) -> Condition:
        if length is not None or mask is not None:
            value, _ = names.ipv4_number(token.text)
            if length is not None and length > 32:
                raise Refused(f"prefix length {length} is more than 32")
            wanted = WORD << (32 - length) & WORD if length is not None else names.ipv4_number(mask or "")[0]
            if value & ~wanted:
                raise Refused(f"{token.text} has bits outside of its mask")
            if q.kind != "net":
                raise Refused("a mask is for nets only", f"write `net {token.text}/...`")
            return primitives.ipv4(self.layers, value, wanted, q)
        if q.kind in ("port", "portrange", "proto", "protochain"):
            raise Refused(f"{token.text} is an address, which does not go with {q.kind!r}")
        if q.kind == "gateway":
            raise Refused("'gateway' is not supported", "write the host's Ethernet address: `ether host ...`")
        if q.protocol == "decnet":
            area = re.match(r"(\d+)\.(\d+)", token.text)
            if area is None:
                raise Refused(f"{token.text} is no DECnet address", "write it like 1.23")
            return primitives.decnet(self.layers, int(area[1]) << 10 & 0xFC00 | int(area[2]) & 0x3FF, q)
        if q.protocol == "link":
            raise Refused(f"{token.text} is no link address")
        value, bits = names.ipv4_number(token.text)
        return primitives.ipv4(self.layers, value, WORD << (32 - bits) & WORD, q)

    def address6(self, token: Token, q: Qualifiers, length: int) -> Condition:
        value = int(IPv6Address(token.text))
        if length > 128:
            raise Refused(f"prefix length {length} is more than 128")
        mask = (1 << 128) - (1 << (128 - length))
        if value & ~mask:
            raise Refused(f"{token.text} has bits outside of its mask")
        if q.kind in ("", "host") and length != 128:
            raise Refused("a mask is for nets only", f"write `net {token.text}/{length}`")
        if q.kind not in ("", "host", "net"):
            raise Refused(f"{token.text} is an address, which does not go with {q.kind!r}")
        return primitives.ipv6(self.layers, value, mask, q)

    def numeric(self, token: Token, q: Qualifiers) -> Condition:
        value = token.value
        if q.kind in ("", "host", "net"):
            if q.protocol == "decnet":
                return primitives.decnet(self.layers, value, q)
            if q.protocol == "link":
                raise Refused(f"{token.text} is no link address")
            mask = WORD
            while q.kind == "net" and value and not value & 0xFF000000:
                value, mask = value << 8, mask << 8 & WORD
            return primitives.ipv4(self.layers, value, mask, q)
        if q.kind in ("port", "portrange"):
            transports = primitives.port_transports(q)
            return primitives.ports(self.layers, value, value, transports, q.direction, q.kind == "port")
        return self.protocol_number(value, q)

    def protocol_number(self, value: int, q: Qualifiers) -> Condition:
        if q.kind == "proto":
            return primitives.protocol_is(self.layers, value, q.protocol)
        if q.kind == "protochain":
            return primitives.protocol_chain(self.layers, value, q.protocol)
        raise Refused("'gateway' is not supported", "write the host's Ethernet address: `ether host ...`")

    def name(self, token: Token, q: Qualifiers) -> Condition:
        name = token.text
        if q.kind == "net":
            raise Refused(f"unknown network {name!r}", "write its address, e.g. `net 192.0.2.0/24`")
        if q.kind in ("", "host"):
            if q.protocol in ("link", "decnet"):
                raise Refused(f"unknown {q.protocol} host {name!r}", "write its address")
            return primitives.named_hosts(self.layers, name, q)
        if q.kind in ("port", "portrange"):
            exact = q.kind == "port"
            first, last, transport = _one(names.named_port(name)) if exact else names.port_range(name)
            transports = primitives.port_transports(q, transport)
            return primitives.ports(self.layers, first, last, transports, q.direction, exact)
        return self.protocol_number(names.protocol_number(name, q.protocol), q)

    def mac(self, token: Token, q: Qualifiers) -> Condition:
        if q.kind not in ("", "host") or q.protocol != "link":
            raise Refused(f"{token.text} is an Ethernet address", f"write `ether host {token.text}`")
        digits = re.split("[:.-]", token.text)
        text = "".join(d.zfill(2) for d in digits) if len(digits) == 6 else "".join(digits)
        return primitives.link_host(self.layers, bytes.fromhex(text), q.direction)

    def arcnet(self, token: Token, q: Qualifiers) -> Condition:
        raise Refused(f"{token.text} is an ARCnet address, and ARCnet is not supported")

    def relation(self) -> Condition | None:
        """`arithmetic > arithmetic`; None, with nothing taken, when there is none."""
        start = self.at
        if not self.looks_arithmetic():
            return None
        try:
            left = self.arithmetic(0)
        except FilterError:
            if self.tokens[start].kind != "(":
                raise
            self.at = start  # a primitive in parentheses: what is wrong in it is found again
            return None
        operator = self.accept(*RELATIONS)
        if operator is None:
            if self.tokens[start].kind != "(":
                self.unexpected("a comparison")
            self.at = start
            return None
        right = self.arithmetic(0)
        guard = left.guard if right.guard is None else both(left.guard, right.guard)
        return both(guard, Compare(RELATIONS[operator.kind], left.value, right.value))

    def looks_arithmetic(self) -> bool:
        """Parentheses aside, a number, a length, a minus or bytes of a protocol; and not a number that ends there."""
        at = self.at
        while self.tokens[at].kind == "(":
            at += 1
        kind, after = self.tokens[at].kind, self.tokens[min(at + 1, len(self.tokens) - 1)].kind
        if kind == NUMBER:
            while after == ")" and at + 2 < len(self.tokens):
                at += 1
                after = self.tokens[at + 1].kind
            return after in RELATIONS or after in PRECEDENCE
        return kind in ("len", "-") or (kind in PROTOCOLS and after == "[")

    def arithmetic(self, under: int) -> Term:
        """Operators that bind tighter than `under`."""
        left = self.operand()
        while (operator := self.token).kind in PRECEDENCE:
            mine = PRECEDENCE[operator.kind]
            if under and mine and mine <= under:
                break
            self.take()
            right = self.arithmetic(mine)
            left = self.operation(operator, left, right)
        return left

    def operation(self, operator: Token, left: Term, right: Term) -> Term:
        sign = operator.kind
        if isinstance(right.value, Number):
            if sign in "/%" and right.value.value == 0:
                raise FilterError(self.expression, operator.column, "division by zero")
            if sign in ("<<", ">>") and right.value.value > 31:
                raise FilterError(self.expression, operator.column, "shift by more than 31 bits")
        return Term(Arithmetic(sign, left.value, right.value), left.guard)

    def operand(self) -> Term:
        token = self.token
        if self.accept("("):
            found = self.arithmetic(0)
            self.expect(")", "')'")
            return found
        if self.accept("-"):
            found = self.arithmetic(UNARY)
            return Term(Arithmetic("-", Number(0), found.value), found.guard)
        if self.accept(NUMBER):
            return Term(Number(token.value))
        if self.accept("len"):
            return Term(Length())
        if self.accept(*PROTOCOLS):
            self.expect("[", "'['")
            index = self.arithmetic(0)
            size = self.expect(NUMBER, "a number of bytes").value if self.accept(":") else 1
            self.expect("]", "']'")
            where = (self.layers, token.kind, index.value, index.guard, size)
            load, guard = self.meant(token, lambda: primitives.loaded(*where))
            return Term(load, guard)
        self.unexpected("a number, 'len' or bytes such as ip[0]")


def _one(found: tuple[int, int | None]) -> tuple[int, int, int | None]:
    return found[0], found[0], found[1]
