"""The parser's state machine as LLVM IR: a state is a piece of code, a transition a jump.

A packet's parsing lives in registers: `at` and `end` of the bytes to look at, `found` (headers, and counts of tags and
labels above them), the offsets `l3`, `l4`, `payload`, and the protocol. *Fused*, all states are blocks of one function
and a transition is a branch; *tail*, each is a function that jumps to the next by `musttail` under `preserve_nonecc`,
which keeps all of these in registers (LLVM Language Reference, "Calling Conventions"); *called*, it calls the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from burstline.native.build import Compiled
from burstline.packet.burst import COLUMN, Burst
from burstline.packet.fields import FRAGMENT, OPAQUE, PRESENT
from burstline.packet.found_kernel import HERE, MPLS_MOST, MPLS_SHIFT, VLAN_SHIFT
from burstline.packet.machine import Machine
from burstline.packet.parser_state import ParserState
from burstline.packet.protocol import Protocol
from burstline.packet.transitions import LINK_ETHERNET, LINKS, PORTS, enters_tunnel

Lowering = Literal["fused", "tail", "called"]
PARSE = "burstline_parse"  # (burst, packet, data, captured, link)
OUTER, INNER = "burstline_found_outer", "burstline_found_inner"  # the writers of found_kernel.py
CHANGING = ("at", "end", "found", "l3", "l4", "payload", "proto")
ALL = ("burst", "i", "data", *CHANGING)
ENTRY, END = "the.entry", "the.end"  # where no state is: names that no protocol can have
IS_INNER = -(1 << 63)
RARELY = '!prof !{!"branch_weights", i32 1, i32 1000}'


@dataclass(frozen=True)
class Bodies:
    """The compiled functions of states and of the user's protocols, by name."""

    states: Mapping[str, Compiled]
    protocols: Mapping[str, Compiled]


class _Node:
    """The code of one state, being written. Names of values carry the state's, as all may be in one function."""

    def __init__(self, machine: _MachineIR, name: str) -> None:
        self.machine, self.name = machine, name
        self.lines: list[str] = []
        self.count = 0
        self.registers = {r: f"%{name}.{r}" for r in CHANGING} | {r: f"%{r}" for r in ("burst", "i", "data")}

    def let(self, expression: str) -> str:
        """A new value."""
        self.count += 1
        value = f"%{self.name}.{self.count}"
        self.lines.append(f"  {value} = {expression}")
        return value

    def do(self, line: str) -> None:
        self.lines.append(f"  {line}")

    def label(self, what: str) -> None:
        self.lines.append(f"{self.name}.{what}:")

    def go(self, target: str, **changed: str) -> None:
        """Leave for another state, with some registers changed."""
        values = self.registers | changed
        if self.machine.lowering == "fused":
            for register, value in changed.items():
                self.do(f"store i64 {value}, ptr %{register}")
            self.do(f"br label %state.{target}")
            return
        arguments = ", ".join(f"i64 {values[r]}" for r in ALL)
        tail = "musttail " if self.machine.lowering == "tail" else ""
        self.do(f"{tail}call preserve_nonecc void @state_{target}({arguments})")
        self.do("ret void")

    def text(self) -> str:
        """As blocks of the one function, or as a function."""
        body = "\n".join(self.lines)
        if self.machine.lowering == "fused":
            loads = "\n".join(f"  %{self.name}.{r} = load i64, ptr %{r}" for r in CHANGING)
            return f"state.{self.name}:\n{loads}\n{body}"
        parameters = ", ".join(f"i64 {self.registers[r]}" for r in ALL)
        return (
            f"define internal preserve_nonecc void @state_{self.name}({parameters}) noinline {{\n"
            f"  %result = alloca [3 x i64]\n  %exception = alloca ptr\n{body}\n}}\n"
        )


class _MachineIR:
    def __init__(
        self, machine: Machine, bodies: Bodies, burst: Burst, columns: tuple[str, ...], inner: bool, lowering: Lowering
    ) -> None:
        self.machine, self.bodies, self.burst = machine, bodies, burst
        self.columns, self.inner, self.lowering = columns, inner, lowering

    def text(self) -> str:
        nodes = [self._state(s) for s in self.machine.states.values()]
        nodes += [self._own(k, p) for k, p in enumerate(self.machine.protocols)]
        nodes.append(self._end())
        parts = [f'declare i32 @"{b.symbol}"(ptr, ptr, i64, i64, i64)' for b in self.bodies.states.values()]
        parts += [f'declare i32 @"{b.symbol}"(ptr, ptr, i64, i64)' for b in self.bodies.protocols.values()]
        entry = self._entry()
        if self.lowering == "fused":
            entry.lines += [node.text() for node in nodes]
        else:
            parts += [node.text() for node in nodes]
        allocas = "\n".join(f"  %{r} = alloca i64" for r in CHANGING) if self.lowering == "fused" else ""
        body = "\n".join(entry.lines)
        parts.append(
            f"define i64 @{PARSE}(i64 %burst, i64 %i, i64 %data, i64 %captured, i64 %link) alwaysinline {{\n"
            f"  %result = alloca [3 x i64]\n  %exception = alloca ptr\n{allocas}\n{body}\n"
            + ("" if self.lowering == "fused" else "done:\n  ret i64 0\n")
            + "}"
        )
        return "\n".join(parts)

    def _entry(self) -> _Node:
        """Into the state of the packet's link layer."""
        node = _Node(self, ENTRY)
        start = {"at": "0", "end": "%captured", "found": "0", "l3": "-1", "l4": "-1", "payload": "-1", "proto": "0"}
        if self.inner:
            self._store(node, "inner_present", "0")
        self._clear_protocols(node, "protocols")
        links = {link: name for link, name in LINKS.items() if name in self.machine.states}
        others = " ".join(f"i64 {k}, label %{ENTRY}.{n}" for k, n in links.items() if k != LINK_ETHERNET)
        ethernet = node.let(f"icmp eq i64 %link, {LINK_ETHERNET}")
        node.do(f"br i1 {ethernet}, label %{ENTRY}.eth, label %{ENTRY}.others")
        node.label("others")
        node.do(f"switch i64 %link, label %{ENTRY}.unknown [ {others} ]")
        for name in (*links.values(), "unknown"):
            node.label(name)
            target = END if name == "unknown" else name
            if self.lowering == "fused":
                node.go(target, **start)
            else:
                values = {"burst": "%burst", "i": "%i", "data": "%data", **start}
                arguments = ", ".join(f"i64 {values[r]}" for r in ALL)
                node.do(f"call preserve_nonecc void @state_{target}({arguments})")
                node.do("br label %done")
        return node

    def _end(self) -> _Node:
        """Parsing is over: write down what was found."""
        node = _Node(self, END)
        self._write_found(node, node.registers)
        if self.lowering == "fused":
            node.do("ret i64 0")
        else:
            node.do("ret void")
        return node

    def _write_found(self, node: _Node, registers: Mapping[str, str]) -> None:
        """Call the writer of the outer packet, or of the inner one."""
        arguments = ", ".join(
            f"i64 {registers[r]}" for r in ("burst", "i", "at", "end", "found", "l3", "l4", "payload", "proto")
        )
        if not self.machine.tunnels:
            node.do(f"call i64 @{OUTER}({arguments})")
            return
        k = node.count = node.count + 1
        is_inner = node.let(f"icmp slt i64 {registers['found']}, 0")
        node.do(f"br i1 {is_inner}, label %{node.name}.inner{k}, label %{node.name}.outer{k}")
        node.label(f"inner{k}")
        if self.inner:
            node.do(f"call i64 @{INNER}({arguments})")
        node.do(f"br label %{node.name}.written{k}")
        node.label(f"outer{k}")
        node.do(f"call i64 @{OUTER}({arguments})")
        node.do(f"br label %{node.name}.written{k}")
        node.label(f"written{k}")

    def _state(self, state: ParserState) -> _Node:
        node = _Node(self, state.name)
        at, end, found = (node.registers[r] for r in ("at", "end", "found"))
        node.do(
            f'call i32 @"{self.bodies.states[state.name].symbol}"(ptr %result, ptr %exception, i64 %data, '
            f"i64 {at}, i64 {end})"
        )
        selector, after, limit = self._results(node, 3)
        absent = node.let(f"icmp eq i64 {selector}, -1")
        node.do(f"br i1 {absent}, label %{state.name}.absent, label %{state.name}.here, {RARELY}")
        node.label("absent")
        node.go(END)
        node.label("here")
        changed = self._taken(node, state, selector, found, at)
        if state.layer in ("network", "extension") and state.selects:
            selector = node.let(f"and i64 {selector}, {(1 << 33) - 1}")  # without FRAGMENTED
        changed |= {"at": after}
        if state.layer != "tunnel":
            changed["end"] = limit
        self._follow(node, state.selects, selector, changed, limit)
        return node

    def _taken(self, node: _Node, state: ParserState, selector: str, found: str, at: str) -> dict[str, str]:
        """The registers that change with the header of a state; `machine.py` says the same in Python."""
        changed: dict[str, str] = {}
        bit = PRESENT.get(state.name, 0)
        if state.layer == "tag":  # VLAN and INNER_VLAN are the bits behind ETH's, which is the lowest
            deeper = node.let(f"lshr i64 {found}, {VLAN_SHIFT}")
            deeper = node.let(f"and i64 {deeper}, 65535")
            second = node.let(f"icmp ne i64 {deeper}, 0")
            bits = node.let(f"select i1 {second}, i64 {PRESENT['inner_vlan']}, i64 {PRESENT['vlan']}")
            bits = self._of_ethernet(node, found, bits)
            found = node.let(f"or i64 {found}, {bits}")
            found = node.let(f"add i64 {found}, {1 << VLAN_SHIFT}")
        elif state.layer == "label":
            deeper = node.let(f"lshr i64 {found}, {MPLS_SHIFT}")
            deeper = node.let(f"and i64 {deeper}, {MPLS_MOST}")
            second = node.let(f"icmp ne i64 {deeper}, 0")
            bits = node.let(f"select i1 {second}, i64 {PRESENT['inner_mpls']}, i64 {PRESENT['mpls']}")
            full = node.let(f"icmp eq i64 {deeper}, {MPLS_MOST}")
            one = node.let(f"select i1 {full}, i64 0, i64 {1 << MPLS_SHIFT}")
            found = node.let(f"or i64 {found}, {bits}")
            found = node.let(f"add i64 {found}, {one}")
        elif state.name in ("llc", "snap"):
            found = node.let(f"or i64 {found}, {self._of_ethernet(node, found, str(bit))}")
        elif bit:
            found = node.let(f"or i64 {found}, {bit}")
        if state.layer in ("network", "extension"):
            if state.name in ("ipv4", "ipv6_fragment"):
                piece = node.let(f"and i64 {selector}, {1 << 33}")
                piece = node.let(f"icmp ne i64 {piece}, 0")
                found = node.let(f"or i64 {found}, {node.let(f'select i1 {piece}, i64 {FRAGMENT}, i64 0')}")
            if state.selects:
                closed = node.let(f"and i64 {selector}, {1 << 32}")
                closed = node.let(f"icmp ne i64 {closed}, 0")
                found = node.let(f"or i64 {found}, {node.let(f'select i1 {closed}, i64 {OPAQUE}, i64 0')}")
        changed["found"] = found
        if state.layer == "link" and self.inner and "l2" in self.columns:
            self._store_inner_l2(node, found, at)
        if state.layer == "network":
            changed["l3"] = at
        elif state.layer == "transport":
            changed["l4"] = at
        elif state.layer == "tunnel":
            changed["payload"] = self._frozen(node, at)
        if state.selects == "ethertype" or (state.layer in ("network", "extension") and state.selects):
            changed["proto"] = node.let(f"and i64 {selector}, 65535")
        return changed

    def _of_ethernet(self, node: _Node, found: str, bits: str) -> str:
        """Bits that are set only where the packet began with Ethernet."""
        eth = node.let(f"and i64 {found}, {PRESENT['eth']}")
        return node.let(f"select i1 {node.let(f'icmp ne i64 {eth}, 0')}, i64 {bits}, i64 0")

    def _frozen(self, node: _Node, at: str) -> str:
        """The payload begins behind the transport header, whatever is found in it."""
        payload = node.registers["payload"]
        return node.let(f"select i1 {node.let(f'icmp slt i64 {payload}, 0')}, i64 {at}, i64 {payload}")

    def _own(self, number: int, own: Protocol) -> _Node:
        """A protocol of the user's own: its function is given a view, and says how long its header is."""
        node = _Node(self, own.name)
        body = self.bodies.protocols[own.name]
        at, end = node.registers["at"], node.registers["end"]
        address, room = node.let(f"add i64 %data, {at}"), node.let(f"sub i64 {end}, {at}")
        status = node.let(f'call i32 @"{body.symbol}"(ptr %result, ptr %exception, i64 {address}, i64 {room})')
        failed = node.let(f"icmp ne i32 {status}, 0")
        node.do(f"br i1 {failed}, label %{own.name}.absent, label %{own.name}.said, {RARELY}")
        node.label("absent")
        node.go(END)
        node.label("said")
        has_key = f"key of {own.name}" in self.machine.tables
        pair = getattr(body.returns, "count", 0) == 2
        size, *keys = self._results(node, 2 if pair else 1)
        least, most = (
            node.let(f"icmp sge i64 {size}, {own.fields.size}"),
            node.let(f"icmp sle i64 {size}, {room}"),
        )
        node.do(f"br i1 {node.let(f'and i1 {least}, {most}')}, label %{own.name}.here, label %{own.name}.absent")
        node.label("here")
        after = node.let(f"add i64 {at}, {size}")
        self._store_protocol(node, number, at, after)
        key = node.let(f"and i64 {keys[0]}, {(1 << 32) - 1}") if pair else str(1 << 32)
        changed = {"at": after, "payload": self._frozen(node, at)}
        self._follow(node, f"key of {own.name}" if has_key else "", key, changed, end)
        return node

    def _results(self, node: _Node, count: int) -> list[str]:
        found = []
        for k in range(count):
            place = node.let(f"getelementptr [3 x i64], ptr %result, i64 0, i64 {k}")
            found.append(node.let(f"load i64, ptr {place}"))
        return found

    def _follow(self, node: _Node, table: str, selector: str, changed: dict[str, str], limit: str) -> None:
        """To the state that the selector leads to, or to the end."""
        entries = self.machine.tables.get(table, {})
        targets = sorted(set(entries.values()))

        def cases(keys: Iterable[tuple[int, str]]) -> str:
            return " ".join(f"i64 {k}, label %{node.name}.to.{t}" for k, t in keys)

        if not targets:
            node.go(END, **changed)
            return
        if table in PORTS:
            first, second = node.let(f"and i64 {selector}, 65535"), node.let(f"lshr i64 {selector}, 16")
            node.do(f"switch i64 {first}, label %{node.name}.source [ {cases(entries.items())} ]")
            node.label("source")
            selector = second
        node.do(f"switch i64 {selector}, label %{node.name}.to.end [ {cases(entries.items())} ]")
        for target in targets:
            node.label(f"to.{target}")
            if enters_tunnel(table, target):
                self._enter(node, target, changed, limit)
            else:
                node.go(target, **changed)
        node.label("to.end")
        node.go(END, **changed)

    def _enter(self, node: _Node, target: str, changed: dict[str, str], limit: str) -> None:
        """What follows is an inner packet: write down the packet that it lies in, and begin anew."""
        self._write_found(node, node.registers | changed)
        if self.inner:
            self._clear_protocols(node, "inner_protocols")
        node.go(
            target, at=changed["at"], end=limit, found=str(IS_INNER | HERE), l3="-1", l4="-1", payload="-1", proto="0"
        )

    # ---- columns ----

    def _element(self, node: _Node, column: str, added: str = "0") -> str:
        """A pointer to a packet's element of a column."""
        offset = node.let(f"mul i64 %i, {COLUMN[column].width}")
        base = node.let(f"add i64 %burst, {self.burst.offsets[column]}")
        address = node.let(f"add i64 {base}, {offset}")
        if added != "0":
            address = node.let(f"add i64 {address}, {added}")
        return node.let(f"inttoptr i64 {address} to ptr")

    def _store(self, node: _Node, column: str, value: str) -> None:
        node.do(f"store i{8 * COLUMN[column].width} {value}, ptr {self._element(node, column)}")

    def _store_inner_l2(self, node: _Node, found: str, at: str) -> None:
        is_inner = node.let(f"icmp slt i64 {found}, 0")
        node.do(f"br i1 {is_inner}, label %{node.name}.l2, label %{node.name}.l2.known")
        node.label("l2")
        self._store(node, "inner_l2", node.let(f"trunc i64 {at} to i32"))
        node.do(f"br label %{node.name}.l2.known")
        node.label("l2.known")

    def _clear_protocols(self, node: _Node, column: str) -> None:
        for number in range(len(self.machine.protocols)):
            node.do(f"store i64 0, ptr {self._element(node, column, str(8 * number))}")

    def _store_protocol(self, node: _Node, number: int, at: str, after: str) -> None:
        """Offsets of the header, and behind it, 32 bits each."""
        pair = node.let(f"or i64 {at}, {node.let(f'shl i64 {after}, 32')}")
        column = "protocols"
        if self.machine.tunnels and self.inner:
            distance = self.burst.offsets["inner_protocols"] - self.burst.offsets["protocols"]
            is_inner = node.let(f"icmp slt i64 {node.registers['found']}, 0")
            added = node.let(f"select i1 {is_inner}, i64 {distance + 8 * number}, i64 {8 * number}")
            node.do(f"store i64 {pair}, ptr {self._element(node, column, added)}")
        elif self.machine.tunnels:
            is_inner = node.let(f"icmp slt i64 {node.registers['found']}, 0")
            old = node.let(f"load i64, ptr {self._element(node, column, str(8 * number))}")
            kept = node.let(f"select i1 {is_inner}, i64 {old}, i64 {pair}")
            node.do(f"store i64 {kept}, ptr {self._element(node, column, str(8 * number))}")
        else:
            node.do(f"store i64 {pair}, ptr {self._element(node, column, str(8 * number))}")


def parser_ir(
    machine: Machine, bodies: Bodies, burst: Burst, columns: tuple[str, ...], inner: bool, lowering: Lowering
) -> str:
    """The function `PARSE`, and what it is made of."""
    return _MachineIR(machine, bodies, burst, columns, inner, lowering).text()


def body_symbols(bodies: Bodies) -> list[str]:
    """What is to be inlined into the states."""
    return [b.symbol for b in (*bodies.states.values(), *bodies.protocols.values())]
