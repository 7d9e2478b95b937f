"""Records: how they lie in memory, and that Python, NumPy and compiled code agree on what is in them."""

from __future__ import annotations

import itertools
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import burstline as bl
from both_modes import run_both, stage_of
from burstline.errors import UsageError
from burstline.native.struct import FIELD_TYPES, FieldType
from capture_files import pcap_header, record

TYPES = [*FIELD_TYPES.values(), bl.bytes_[1], bl.bytes_[7], bl.bytes_[64]]
ANY_TYPE = st.sampled_from(TYPES) | st.sampled_from([bl.cold[t] for t in TYPES])


def record_of(kinds: list[FieldType]) -> type[bl.Record]:
    return type("Made", (bl.Record,), {"__annotations__": {f"f{k}": kind for k, kind in enumerate(kinds)}})


@given(st.lists(ANY_TYPE, max_size=20))
def test_fields_lie_without_gaps_hot_ones_first(kinds: list[FieldType]) -> None:
    layout = record_of(kinds).layout
    slots = list(layout)
    assert {s.name: s.type for s in slots} == {f"f{k}": kind for k, kind in enumerate(kinds)}
    assert [s.type.is_cold for s in slots] == sorted(s.type.is_cold for s in slots)
    for before, after in itertools.pairwise(slots):
        gap = after.offset - before.offset - before.type.size
        assert gap == 0 or (0 < gap < 8 and after.type.is_cold and not before.type.is_cold)
    for slot in slots:
        assert slot.offset % slot.type.align == 0
    end = slots[-1].offset + slots[-1].type.size if slots else 0
    assert layout.size == -(-end // layout.align) * layout.align
    dtype = np.dtype(layout.numpy())
    assert dtype.itemsize == layout.size
    assert {n: dtype.fields[n][1] for n in dtype.names or ()} == {s.name: s.offset for s in slots}


class Base(bl.Record):
    a: bl.u8
    shared: bl.u64


class Derived(Base):
    b: bl.u16
    a: bl.u32  # type: ignore[assignment]
    limit: ClassVar[int] = 5


def test_a_record_inherits_fields_and_may_widen_them() -> None:
    assert {s.name: s.type.name for s in Derived.layout} == {"a": "u32", "shared": "u64", "b": "u16"}
    assert {s.name: s.type.name for s in Base.layout} == {"a": "u8", "shared": "u64"}
    assert Derived.limit == 5


class Everything(bl.Record):
    u8: bl.u8
    i8: bl.i8
    u16: bl.u16
    i16: bl.i16
    u32: bl.u32
    i32: bl.i32
    u64: bl.u64
    i64: bl.i64
    f32: bl.cold[bl.f32]
    f64: bl.f64
    flag: bl.cold[bl.boolean]
    four: bl.cold[bl.ipv4]
    six: bl.ipv6
    name: bl.bytes_[5]
    sum: bl.i64


STORE = """
def store(pkt):
    number, view = pkt.time, pkt.payload[16:]
    flow = flows[pkt]
    r = seen.new()
""" + "".join(
    f"    {record}.{field} = {value}\n"
    for record in ("r", "flow")
    for field, value in [
        *((name, "number") for name in ("u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "four")),
        ("f32", "(number >> 11) / 3"), ("f64", "(number >> 11) / 3"), ("flag", "number & 2"),
        ("six", "pkt.ipv6.dst"), ("name", "view"),
    ]
) + """
    r.sum = r.u8 + r.i8 + r.u16 + r.i16 + r.u32 + r.i32 + (r.u64 >> 1) + (r.i64 >> 1) + int(r.four) + int(r.flag)
    r.f64 += r.f32
    flow.sum += r.sum >> 9
"""  # fmt: skip
STORING = bl.Pipeline(stage_of(STORE, seen=bl.Digest(Everything), flows=bl.FlowTable(Everything, capacity=100)))
LIMIT = 4 * 10**9  # seconds of a pcap file


def truncated(number: int, name: str) -> int:
    bits = int(name[1:])
    value = number % (1 << bits)
    return value - (1 << bits) if name[0] == "i" and value >> (bits - 1) else value


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, LIMIT), st.integers(0, 999_999_999), st.binary(max_size=9)), max_size=20))
@example([(0, 0, b""), (0, 255, b"\0a\0"), (2, 147_483_648, b"12345"), (LIMIT, 999_999_999, b"\xff" * 9)])
def test_every_type_of_field_holds_the_same_in_both_modes(cases: list[tuple[int, int, bytes]]) -> None:
    frame = bytes(12) + b"\x88\xb5" + bytes(16)
    data = pcap_header("<") + b"".join(record("<", s, f, frame + name) for s, f, name in cases)
    state = run_both(STORING, data).equal().state
    names = [s.name for s in Everything.layout]
    for (seconds, fraction, name), row in zip(cases, state["Digest 1"], strict=True):
        number = seconds * 10**9 + fraction
        found = dict(zip(names, row, strict=True))
        for kind in ("u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64"):
            assert found[kind] == truncated(number, kind)
        assert found["four"] == number % (1 << 32)
        assert found["f32"] == struct.unpack("f", struct.pack("f", (number >> 11) / 3))[0]
        assert found["f64"] == (number >> 11) / 3 + found["f32"]
        assert (found["flag"], found["six"]) == (bool(number & 2), [0] * 16)
        assert found["name"] == name[:5].rstrip(b"\0")
    assert len(state["FlowTable 0"][2]) == min(1, len(cases))


def test_a_record_by_itself_holds_what_memory_would() -> None:
    made = Everything()
    assert (made.u8, made.f64, made.flag, made.four) == (0, 0.0, False, IPv4Address(0))
    assert made.name == bytes(5)
    made.u8, made.i8, made.u64 = 257, 200, -1
    made.four, made.six = 1 << 32 | 7, IPv6Address("::1")
    made.name = b"a longer one"
    assert (made.u8, made.i8, made.u64) == (1, -56, -1)
    assert (made.four, made.six) == (IPv4Address(7), IPv6Address("::1"))
    assert made.name == b"a lon"
    name = made.name
    made.name = made.name[2:]
    assert name == b"lon\0\0"
    assert repr(made).startswith("Everything(")
    untyped: Any = made
    with pytest.raises(AttributeError, match="Everything has no field 'zork'"):
        untyped.zork = 1
    for name, value in (("u8", "5"), ("i64", 1.5), ("f32", "1"), ("flag", 0.5), ("four", IPv6Address(1)), ("six", 1)):
        with pytest.raises(TypeError, match=f"takes no {type(value).__name__}"):
            setattr(untyped, name, value)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: type("R", (bl.Record,), {"__annotations__": {"a": int}}), "R.a: <class 'int'> is not a field type"),
        (lambda: bl.bytes_[0], "is not a field type"),
        (lambda: bl.bytes_[5000], "is not a field type"),
        (lambda: bl.bytes_["5"], "is not a field type"),
    ],
)
def test_what_is_no_field_is_refused(make: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        make()


@pytest.mark.parametrize("name", ["layout", "_values"])
def test_a_field_cannot_take_a_name_that_records_need(name: str) -> None:
    with pytest.raises(UsageError, match=f"R.{name}: a field cannot be called {name!r}"):
        type("R", (bl.Record,), {"__annotations__": {name: bl.u8}})
