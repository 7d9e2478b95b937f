"""What the instructions of CPython 3.11 to 3.14 do to the values that are told apart; another one takes and leaves as
many values as `dis` says, of which nothing is known."""

from __future__ import annotations

import dis
import re
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from burstline.packet.fields import HEADER, LEVELS
from burstline.packet.protocol import Protocol
from burstline.pipeline.branch import Branch
from burstline.pipeline.burst_stage import where
from burstline.pipeline.flow_graph import Block
from burstline.pipeline.things import UNKNOWN, Call, Ref, Step, Thing, Touch, Values, both, has_field, known, record_of
from burstline.pipeline.verdict import DROPPED, PASS, SENT, Verdict, drop, send
from burstline.state.base import State


class Frame(NamedTuple):
    names: dict[str, Values]
    stack: list[Values]

    def pop(self, count: int = 1) -> list[Values]:
        """The last ones, the first of them first."""
        kept = len(self.stack) - count
        found = self.stack[max(kept, 0) :]
        del self.stack[max(kept, 0) :]
        return [UNKNOWN] * -min(kept, 0) + found

    def after(self, last: dis.Instruction, jumps: bool) -> Frame:
        """What the block that comes next is given: a jump may take or leave values."""
        frame = Frame(dict(self.names), list(self.stack))
        if last.opcode in dis.hasjrel or last.opcode in dis.hasjabs:
            effect = dis.stack_effect(last.opcode, last.arg, jump=jumps)
            frame.pop(max(-effect, 0))
            frame.stack.extend([UNKNOWN] * effect)
        return frame

    def joined(self, other: Frame | None) -> Frame:
        if other is None:
            return self
        names = {n: both(other.names.get(n, UNKNOWN), self.names.get(n, UNKNOWN)) for n in other.names | self.names}
        depth = min(len(self.stack), len(other.stack))
        pairs = zip(other.stack[len(other.stack) - depth :], self.stack[len(self.stack) - depth :], strict=True)
        return Frame(names, [both(a, b) for a, b in pairs])


_NOTHING = ("RESUME", "NOP", "PRECALL", "KW_NAMES", "MAKE_CELL", "COPY_FREE_VARS", "NOT_TAKEN", "RETURN_GENERATOR")
_FAST = re.compile(r"(LOAD|STORE)_FAST")
_NULL_LAST = sys.version_info >= (3, 13)  # behind a global that is called, not before it


class Machine:
    """Runs the instructions of a block over a copy of a frame."""

    def __init__(self, space: dict[str, Any], records: list[State], result: Callable[[Call], Values]) -> None:
        self.space, self.records, self.result = space, records, result
        self.steps: list[Step] = []

    def run(self, block: Block, entered: Frame) -> tuple[Frame, tuple[Step, ...], Values | None]:
        frame = Frame(dict(entered.names), list(entered.stack))
        self.steps = []
        returned: Values | None = None
        for each in block.instructions:
            if each.opname == "RETURN_CONST":
                returned = known(each.argval)
            elif each.opname == "RETURN_VALUE":
                (returned,) = frame.pop()
            elif each.opcode not in dis.hasjrel and each.opcode not in dis.hasjabs:
                self.step(each, frame)
        return frame, tuple(self.steps), returned

    def step(self, each: dis.Instruction, frame: Frame) -> None:
        name, stack = each.opname, frame.stack
        handler: Callable[[dis.Instruction, Frame], None] | None = getattr(self, f"_{name.lower()}", None)
        if handler:
            handler(each, frame)
        elif fast := _FAST.findall(name):
            names = each.argval if isinstance(each.argval, tuple) else (each.argval,)
            for kind, variable in zip(fast, names, strict=False):
                if kind == "STORE":
                    (frame.names[variable],) = frame.pop()
                else:
                    stack.append(frame.names.get(variable, UNKNOWN))
        elif name not in _NOTHING:
            effect = dis.stack_effect(each.opcode, each.arg)
            if name.startswith(("STORE_", "DELETE_", "POP_", "END_", "RAISE_", "RERAISE")):
                frame.pop(-effect)
            elif effect > 0:
                stack.extend([UNKNOWN] * effect)
            else:
                frame.pop(1 - effect)
                stack.append(UNKNOWN)

    def _load_const(self, each: dis.Instruction, frame: Frame) -> None:
        frame.stack.append(known(each.argval))

    _load_small_int = _load_const

    def _load_global(self, each: dis.Instruction, frame: Frame) -> None:
        found = known(self.space[each.argval]) if each.argval in self.space else UNKNOWN
        if dis.stack_effect(each.opcode, each.arg) == 2:
            frame.stack.extend([found, UNKNOWN] if _NULL_LAST else [UNKNOWN, found])
        else:
            frame.stack.append(found)

    _load_name = _load_global

    def _load_deref(self, each: dis.Instruction, frame: Frame) -> None:
        here = frame.names.get(each.argval, UNKNOWN)
        frame.stack.append(here or (known(self.space[each.argval]) if each.argval in self.space else UNKNOWN))

    def _store_deref(self, each: dis.Instruction, frame: Frame) -> None:
        (frame.names[each.argval],) = frame.pop()

    def _copy(self, each: dis.Instruction, frame: Frame) -> None:
        depth = each.arg or 1
        frame.stack.append(frame.stack[-depth] if depth <= len(frame.stack) else UNKNOWN)

    def _swap(self, each: dis.Instruction, frame: Frame) -> None:
        depth = each.arg or 1
        if depth <= len(frame.stack):
            frame.stack[-1], frame.stack[-depth] = frame.stack[-depth], frame.stack[-1]

    def _build_tuple(self, each: dis.Instruction, frame: Frame) -> None:
        items = frame.pop(each.arg or 0)
        is_deep = any(thing.kind == "items" for values in items for thing in values)
        frame.stack.append(UNKNOWN if is_deep else (Thing("items", tuple(items)),))

    def _unpack_sequence(self, each: dis.Instruction, frame: Frame) -> None:
        count = each.arg or 0
        (values,) = frame.pop()
        items = next((t.of for t in values if t.kind == "items" and len(t.of) == count), [UNKNOWN] * count)
        frame.stack.extend(reversed(items))

    # ---- attributes ----

    def _load_attr(self, each: dis.Instruction, frame: Frame) -> None:
        (owner,) = frame.pop()
        frame.stack.append(self.attribute(owner, each.argval))
        if dis.stack_effect(each.opcode, each.arg) == 1:  # to be called: with the owner, or NULL, behind it
            frame.stack.append(UNKNOWN)

    _load_method = _load_attr

    def _store_attr(self, each: dis.Instruction, frame: Frame) -> None:
        _, owner = frame.pop(2)
        self.note(owner, each.argval, True)

    def attribute(self, owner: Values, name: str) -> Values:
        found: Values = UNKNOWN
        for thing in owner:
            found = both(found, self.attribute_of(thing, name))
        if not owner:
            self.note(owner, name, False)
        return found

    def attribute_of(self, thing: Thing, name: str) -> Values:
        if thing.kind == "packet" and name in LEVELS:
            self.steps += [Touch("inner", "", False)] if name == "inner" else []
            return (Thing("packet", "inner." if name == "inner" else ""),)
        if thing.kind == "packet" and name in HEADER:
            self.steps.append(Touch(f"{thing.of}{name}", "", False))
            return (Thing("header", f"{thing.of}{name}"),)
        if thing.kind == "known":
            value = thing.of.value
            if isinstance(value, ModuleType):
                return known(vars(value)[name]) if name in vars(value) else UNKNOWN
            return (Thing("method", thing, name),) if isinstance(value, State) else UNKNOWN
        if thing.kind in ("packet", "header") and name.startswith(("fix_checksum", "checksums_ok")):
            return (Thing("method", thing, name),)
        self.note((thing,), name, False)
        return (Thing("method", thing, name),) if name in ("payload", "options") else UNKNOWN

    def note(self, owner: Values, name: str, is_write: bool) -> None:
        """A field is read or written."""
        for thing in owner:
            if thing.kind in ("header", "record"):
                self.steps.append(Touch(thing.of, name, is_write))
            elif thing.kind == "packet":
                self.steps.append(Touch(f"{thing.of}pkt", name, is_write))
        if not owner:
            self.steps += [Touch(Ref(s), name, is_write) for s in self.records if has_field(s, name)]
            self.steps += [Touch("", name, True)] if is_write else []

    # ---- what is asked by subscripts and calls ----

    def _binary_subscr(self, each: dis.Instruction, frame: Frame) -> None:
        container, _ = frame.pop(2)
        frame.stack.append(self.looked_up(container))

    def _binary_slice(self, each: dis.Instruction, frame: Frame) -> None:
        container, _, _ = frame.pop(3)
        frame.stack.append(self.looked_up(container))

    def _binary_op(self, each: dis.Instruction, frame: Frame) -> None:
        container, _ = frame.pop(2)
        frame.stack.append(self.looked_up(container) if each.argrepr == "[]" else UNKNOWN)

    def _contains_op(self, each: dis.Instruction, frame: Frame) -> None:
        _, container = frame.pop(2)
        self.looked_up(container)
        frame.stack.append(UNKNOWN)

    def _store_subscr(self, each: dis.Instruction, frame: Frame) -> None:
        _, container, _ = frame.pop(3)
        self.looked_up(container, is_write=True)

    def looked_up(self, container: Values, *, is_write: bool = False) -> Values:
        found: Values = UNKNOWN
        for thing in container:
            value = thing.of.value if thing.kind == "known" else None
            if isinstance(value, State):
                self.steps.append(Touch(thing.of, "", is_write))
                found = both(found, record_of(thing.of))
            elif isinstance(value, Branch):
                self.steps += [Touch(name, "", False) for name in value.headers]
                found = both(found, (Thing("ways", thing.of),))
            elif isinstance(value, Protocol):
                self.steps.append(Touch(value.name, "", False))
                found = both(found, (Thing("header", value.name),))
            elif thing.kind == "method" and thing.name in ("payload", "options"):
                self.steps.append(Touch(f"{thing.of.of}{thing.name}", "bytes", is_write))
        return found

    def _call(self, each: dis.Instruction, frame: Frame) -> None:
        arguments = frame.pop(each.arg or 0)
        first, second = frame.pop(2)
        frame.stack.append(self.called(first or second, tuple(arguments)))

    def _call_kw(self, each: dis.Instruction, frame: Frame) -> None:
        frame.pop()
        self._call(each, frame)

    def called(self, callee: Values, arguments: tuple[Values, ...]) -> Values:
        found: Values = UNKNOWN
        for thing in callee:
            value = thing.of.value if thing.kind == "known" else None
            if thing.kind == "method":
                found = both(found, self.method(thing))
            elif value is where:
                for way in (*arguments[1:], known(PASS))[:2]:
                    found = both(found, way)
            elif value is drop or value is send:
                found = both(found, _verdict(value, arguments))
            elif isinstance(value, FunctionType) and not (value.__module__ or "").startswith("burstline."):
                call = Call(value, arguments)
                self.steps.append(call)
                found = both(found, self.result(call))
        return found

    def method(self, thing: Thing) -> Values:
        of: Thing = thing.of
        if of.kind == "known":
            self.steps.append(Touch(of.of, "", thing.name == "add"))
            return record_of(of.of)
        if of.kind == "header":
            self.steps.append(Touch(of.of, "checksum", True))
        elif thing.name in ("fix_checksums", "checksums_ok"):
            self.steps.append(Touch(f"{of.of}pkt", thing.name, thing.name == "fix_checksums"))
        return UNKNOWN


def _verdict(make: Callable[[Any], Verdict], arguments: tuple[Values, ...]) -> Values:
    """Of a call of `drop` or `send`, whose argument only the packet may tell."""
    given = [t.of.value for values in arguments for t in values if t.kind == "known"]
    if len(given) == 1 and isinstance(given[0], (int, str)):
        return known(make(given[0]))
    return (Thing("verdict", DROPPED if make is drop else SENT),)
