"""The parser as part of the program: the states that lead from Ethernet to the outermost transport, and into a tunnel.

Each state is a block that jumps to the next one. What is inside of tunnels is nothing to steering rules.
"""

from __future__ import annotations

from llvmlite import ir

from burstline.packet.machine import Machine
from burstline.packet.parser_state import FRAGMENTED, OPAQUE, ParserState
from burstline.packet.transitions import PORTS, enters_tunnel
from burstline.state.steering_words import BITS
from burstline.steering.xdp.code import I32, Code, number
from burstline.steering.xdp.layout import AT, DEEPEST, END, FRAGMENT_BIT, KIND, L3, L4, PROTO
from burstline.steering.xdp.plain import write_plain
from burstline.steering.xdp.states import State
from burstline.steering.xdp.window import copy_window

MOST_STEPS = 32  # headers that are looked at: the verifier wants to see an end of it
KIND_OF = dict(BITS)


def following(machine: Machine, state: ParserState) -> dict[int, str]:
    """The states that one leads to within the same packet, by key."""
    table = machine.tables.get(state.selects, {})
    return {key: name for key, name in table.items() if not enters_tunnel(state.selects, name)}


def reached(machine: Machine) -> list[ParserState]:
    found: dict[str, ParserState] = {}
    waiting = ["eth"]
    while waiting:
        state = machine.states[waiting.pop(0)]
        if state.name not in found:
            found[state.name] = state
            waiting += following(machine, state).values()
    return list(found.values())


class Parse:
    """Written into `code`: from here on until the block `parsed`, which comes next."""

    def __init__(self, code: Code, scratch: ir.Value, machine: Machine) -> None:
        self.code, self.b, self.scratch, self.machine = code, code.b, scratch, machine

    def write(self, length: ir.Value, failed: ir.Block) -> None:
        self.parsed = self.code.block("parsed")
        write_plain(self.code, self.scratch, length, self.machine.ports, self.parsed)
        copy_window(self.code, self.scratch, length, failed)
        for place, value in ((AT, 0), (END, length), (KIND, 0), (PROTO, 0), (L3, 0), (L4, 0)):
            self._keep(place, value)
        states = reached(self.machine)
        self.blocks = {s.name: self.code.block(s.name) for s in states}
        with self.b.goto_entry_block():
            self.left = self.b.alloca(I32)
        self.b.store(I32(MOST_STEPS), self.left)
        self.b.branch(self.blocks["eth"])
        for state in states:
            self.b.position_at_end(self.blocks[state.name])
            self._state(state)
        self.b.position_at_end(self.parsed)

    def _state(self, state: ParserState) -> None:
        left = self.b.sub(self.b.load(self.left), I32(1))
        self.b.store(left, self.left)
        at, end = self._kept(AT), self._kept(END)
        deep = self.b.or_(
            self.b.icmp_unsigned("==", left, I32(0)), self.b.icmp_unsigned(">", at, number(DEEPEST))
        )  # fmt: skip
        here = self.code.block("here")
        self.b.cbranch(deep, self.parsed, here)
        self.b.position_at_end(here)
        only_there = state.layer == "tunnel" or not following(self.machine, state)

        def found(selector: ir.Value, after: ir.Value, limit: ir.Value) -> None:
            self._take(state, selector, at)
            if only_there:
                self.b.branch(self.parsed)
                return
            self._keep(AT, after)
            self._keep(END, limit)
            self._follow(state, selector)

        State(self.code, self.scratch, found, self.parsed, only_there=only_there).write(state.function, at, end)

    def _take(self, state: ParserState, selector: ir.Value, at: ir.Value) -> None:
        """The header of a state is there; as `_Registers.take` in packet/machine.py."""
        kind = number(KIND_OF.get(state.name, 0))
        if state.layer in ("network", "extension"):
            piece = self.code.is_set(selector, FRAGMENTED)
            kind = self.b.or_(kind, self.b.select(piece, number(FRAGMENT_BIT), number(0)))
            if state.selects:
                self._keep(PROTO, self.b.and_(selector, number(0xFFFFFFFF)))
        self._keep(KIND, self.b.or_(self._kept(KIND), kind))
        if state.layer == "network":
            self._keep(L3, at)
        elif state.layer == "transport":
            self._keep(L4, at)

    def _follow(self, state: ParserState, selector: ir.Value) -> None:
        """To the state that the selector leads to."""
        table = following(self.machine, state)
        known = self.code.block("known")
        self.b.cbranch(self.code.is_set(selector, OPAQUE), self.parsed, known)
        self.b.position_at_end(known)
        if state.selects not in PORTS:
            self._choose(self.b.trunc(selector, I32), table, self.parsed)
            return
        source = self.code.block("source")
        self._choose(self.b.and_(self.b.trunc(selector, I32), I32(0xFFFF)), table, source)
        self.b.position_at_end(source)
        self._choose(self.b.lshr(self.b.trunc(selector, I32), I32(16)), table, self.parsed)

    def _choose(self, key: ir.Value, table: dict[int, str], otherwise: ir.Block) -> None:
        switch = self.b.switch(key, otherwise)
        for value, name in table.items():
            switch.add_case(I32(value), self.blocks[name])

    def _kept(self, place: int) -> ir.Value:
        return self.code.load(self.code.beside(self.scratch, place), 8, fresh=True)

    def _keep(self, place: int, value: ir.Value | int) -> None:
        self.code.store(value, self.code.beside(self.scratch, place), 8, fresh=True)
