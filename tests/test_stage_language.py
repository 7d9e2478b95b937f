"""The stage language means the same compiled and interpreted: numbers, addresses, bytes, verdicts, functions."""

from __future__ import annotations

import enum
import ipaddress
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

import burstline as bl
from both_modes import function_of, run_both, stage_of
from burstline.errors import UsageError
from scapy_frames import ARP4, ETHER, ICMP6, TCP4, TCP_OPTIONS, UDP4

FRAMES = [bytes(frame) for frame in (TCP4, UDP4, ICMP6, ARP4, TCP_OPTIONS)]
quickly = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def carrying(payload: bytes) -> bytes:
    """An Ethernet frame of an unknown kind with this payload."""
    return bytes(Ether(**ETHER, type=0x88B5) / Raw(payload))


def wrapped(value: int) -> int:
    """As 64 bits with a sign hold it."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


# --- numbers ----------------------------------------------------------------------------------------------------------

WHOLE = {
    "plus": "a + b", "minus": "a - b", "times": "a * b", "floor": "a // b", "modulo": "a % b", "both": "a & b",
    "either": "a | b", "one": "a ^ b", "inverse": "~a", "negative": "-a", "left": "a << (b & 63)",
    "right": "a >> (b & 63)", "far_left": "a << (b & 127)", "far_right": "a >> (b & 127)", "least": "min(a, b, 7)",
    "most": "max(a, b)", "size": "abs(a >> 1)", "square": "b ** 2", "truth": "int(bool(a))",
    "chosen": "a if a < b else b", "or_else": "a or b", "and_then": "a and b", "fixed": "1 << 40 | 0xFF",
    "equal": "int(a == b)", "between": "int(-5 <= a < b)", "negated": "int(not a)", "member": "int(a in (1, 5, b))",
}  # fmt: skip
# Of x and y, integers that a fraction holds exactly: beyond 2**53 only Python divides integers without rounding them.
FRACTION = {
    "half": "x / 2", "quotient": "x / y", "rounded": "round(x / 8)",
    "mixed": "x * 0.5 + y", "root": "math.sqrt(abs(x >> 1))", "cut": "int(x / 3)", "down": "math.floor(x / 3)",
    "up": "math.ceil(x / 3)", "tenth": "float(x) / 10", "part": "x % 2.5",
}  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(-10, 130),
    st.sampled_from([0, 1, -1, 1 << 62, (1 << 63) - 1, -(1 << 63)]),
)
Numbers = type(
    "Numbers",
    (bl.Record,),
    {"__annotations__": {n: bl.i64 for n in WHOLE} | {n: bl.f64 for n in FRACTION} | {"failed": bl.boolean}},
)


def calculator() -> tuple[bl.Pipeline, list[str]]:
    """Every expression over a and b, the two numbers in the payload."""
    seen: bl.Digest[Any] = bl.Digest(Numbers)
    lines = ["def number(view, at):", "    high = view.be32(at)", "    if high >= 1 << 31:", "        high -= 1 << 32"]
    lines += ["    return high << 32 | view.be32(at + 4)", "", "def calculate(pkt):", "    r = seen.new()"]
    lines += ["    a, b = number(pkt.payload, 0), number(pkt.payload, 8)", "    r.failed = True"]
    lines += ["    x, y = a >> 11, b >> 11 | 1"]
    lines += [f"    r.{name} = {expression}" for name, expression in (WHOLE | FRACTION).items()]
    lines += ["    r.failed = False"]
    return bl.Pipeline(stage_of("\n".join(lines), seen=seen, math=math)), [s.name for s in Numbers.layout]


CALCULATOR, COLUMNS = calculator()


@quickly
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=40))
@example([(5, 0), (0, 0), (-7, 2), (7, -2), (-8, 2), (1 << 62, 63)])
def test_arithmetic_is_pythons_in_64_bits(pairs: list[tuple[int, int]]) -> None:
    pairs = [(a, b) for a, b in pairs if (a, b) != (-(1 << 63), -1)]  # the one quotient that does not fit
    packets = [carrying(a.to_bytes(8, "big", signed=True) + b.to_bytes(8, "big", signed=True)) for a, b in pairs]
    outcome = run_both(CALCULATOR, packets).equal()
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in outcome.state["Digest 0"]]
    assert outcome.counts["drops"].get("calculate: error", (0,))[0] == sum(b == 0 for _, b in pairs)
    for (a, b), row in zip(pairs, rows, strict=True):
        assert row["failed"] == (b == 0)
        if b:
            space = {"a": a, "b": b, "x": a >> 11, "y": b >> 11 | 1, "math": math}
            assert {n: row[n] for n in WHOLE} == {n: wrapped(eval(e, dict(space))) for n, e in WHOLE.items()}
            assert {n: row[n] for n in FRACTION} == {n: eval(e, dict(space)) for n, e in FRACTION.items()}


DOMAIN = {
    "math.sqrt(x)": [-1, 0, 4], "math.log(x)": [-2, 0, 3], "math.log2(x)": [0, 8], "math.log1p(x)": [-1, 5],
    "math.exp(x)": [1000, -1000, 1], "math.cosh(x)": [1000, 1], "math.acos(x)": [2, 1], "math.atanh(x)": [1, 0],
    "math.sin(x * huge)": [1, 0], "math.atan(x * huge)": [1, -1], "math.pow(x, -1.0)": [0, 2],
    "math.pow(x, 400.0)": [1000, 2], "math.pow(x, 0.5)": [-4, 4], "math.pow(x * huge, 2.0)": [1, 0],
    "math.hypot(x, 1e308)": [3], "int(x * huge)": [1, 0], "math.floor(x * huge)": [-1, 0],
    "round(x * huge - x * huge)": [1, 0], "root(x)": [-9, 9], "x / (x - 1)": [1, 2], "x % (x * 1.0)": [0, 3],
}  # fmt: skip


def test_where_pythons_math_raises_the_packet_is_dropped_in_both_modes() -> None:
    """Interpreted, `math` raises; what is compiled does not go on with a nan or an infinity either."""
    source = "def compute(pkt):\n    case, x = pkt.payload[0], pkt.payload.be16(1) - 5000\n"
    source += "    huge = 1e308 * 10.0 if pkt.length else 0.0\n    huge = huge if x != 0 else 1.0\n    r = 0.0\n"
    source += "".join(f"    if case == {k}:\n        r = {e} + 0.0\n" for k, e in enumerate(DOMAIN))
    source += "    seen.new().f = r"
    seen: bl.Digest[Any] = bl.Digest(type("Fraction", (bl.Record,), {"__annotations__": {"f": bl.f64}}))
    packets, wanted = [], []
    for k, (expression, values) in enumerate(DOMAIN.items()):
        for x in values:
            packets.append(carrying(bytes([k]) + (x + 5000).to_bytes(2, "big")))
            try:
                space = {"x": x, "huge": math.inf if x else 1.0, "math": math, "root": math.sqrt}
                wanted.append(float(eval(expression, space)))
            except (ValueError, OverflowError, ZeroDivisionError):
                pass
    outcome = run_both([stage_of(source, seen=seen, math=math, root=math.sqrt)], packets).equal()
    assert [row[0] for row in outcome.state["Digest 0"]] == wanted
    assert outcome.counts["drops"]["compute: error"][0] == len(packets) - len(wanted) > 15


class Fields(bl.Record):
    tiny: bl.u8
    small: bl.i16
    half: bl.u32
    whole: bl.u64
    signed: bl.i64
    single: bl.f32
    double: bl.f64
    flag: bl.boolean
    four: bl.ipv4
    six: bl.ipv6
    name: bl.bytes_[6]
    later: bl.cold[bl.i32]
    read: bl.i64


def test_fields_of_records_wrap_round_and_read_back_the_same() -> None:
    source = """
def store(pkt):
    r = seen.new()
    r.tiny = pkt.length * 100
    r.small = -pkt.time
    r.half = -1
    r.whole -= 1
    r.signed = pkt.time * 1000003
    r.single = 0.1
    r.double = r.single + pkt.length
    r.flag = pkt.length & 4
    r.four = pkt.ipv4.src
    r.six = pkt.ipv6.dst
    r.later = pkt.time
    r.read = r.tiny + r.small + r.half + (r.whole >> 1) + r.later
    if r.whole < 0 and r.flag and r.four == WANTED and pkt.tcp:
        r.name = b"matched, and cut"
    else:
        r.name = pkt.payload
        r.name = r.name[2:]
    if r.name[0] != 0 and r.name.startswith(b"m"):
        r.read += r.name.be16(4) + len(r.name)
    r.four = int(r.four) + 1
"""
    seen: bl.Digest[Any] = bl.Digest(Fields)
    outcome = run_both([stage_of(source, seen=seen, WANTED=bl.ip("192.0.2.1"))], FRAMES).equal()
    columns = [s.name for s in Fields.layout]
    first, second, third = (dict(zip(columns, row, strict=True)) for row in outcome.state["Digest 0"][:3])
    time = 1_700_000_000_000_000_000
    assert (first["tiny"], first["half"], first["whole"]) == (7000 % 256, (1 << 32) - 1, (1 << 64) - 1)
    assert first["signed"] == wrapped(time * 1000003)
    assert first["small"] == (-time + 32768) % 65536 - 32768
    assert first["single"] == pytest.approx(0.1, rel=1e-7) and first["single"] != 0.1
    assert first["double"] == first["single"] + 70
    assert first["four"] == int(bl.ip("192.0.2.2"))
    assert (first["name"], second["name"]) == (b"matche", b"c")
    assert (first["flag"], third["flag"]) == (True, False)
    assert third["six"] == list(ipaddress.ip_address("2001:db8:ffff::abcd").packed)


# --- addresses --------------------------------------------------------------------------------------------------------


class Compared(bl.Record):
    four: bl.u32
    six: bl.u32
    mixed: bl.boolean
    number: bl.i64


def comparisons(left: str, right: str) -> str:
    signs = ("==", "!=", "<", "<=", ">", ">=")
    return " | ".join(f"int({left} {sign} {right}) << {k}" for k, sign in enumerate(signs))


@quickly
@given(st.lists(st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)), min_size=1, max_size=20), st.data())
def test_addresses_compare_as_addresses_do(pairs: list[tuple[Any, Any]], data: st.DataObject) -> None:
    sixes = [(data.draw(st.ip_addresses(v=6)), data.draw(st.ip_addresses(v=6))) for _ in pairs]
    sixes += [(a, a) for a, _ in sixes[:3]]
    pairs += [(a, a) for a, _ in pairs[:3]]
    packets = [bytes(Ether(**ETHER) / IP(src=str(a), dst=str(b)) / UDP()) for a, b in pairs]
    packets += [bytes(Ether(**ETHER) / IPv6(src=str(a), dst=str(b)) / UDP()) for a, b in sixes]
    rows = run_both(COMPARE, packets).equal().state["Digest 0"]
    for (a, b), row in zip(pairs + sixes, rows, strict=True):
        bits = sum(x << k for k, x in enumerate((a == b, a != b, a < b, a <= b, a > b, a >= b)))
        known = dict(zip([s.name for s in Compared.layout], row, strict=True))
        absent = 0b101001  # of equal addresses: those of an absent header are zero
        assert (known["four"], known["six"]) == ((bits, absent) if a.version == 4 else (absent, bits))
        assert known["number"] == (int(a) if a.version == 4 else 0)
        assert not known["mixed"]


COMPARE = bl.Pipeline(
    stage_of(
        f"""
def compare(pkt):
    r = seen.new()
    r.four = {comparisons("pkt.ipv4.src", "pkt.ipv4.dst")}
    r.six = {comparisons("pkt.ipv6.src", "pkt.ipv6.dst")}
    r.mixed = pkt.ipv4.src == pkt.ipv6.src
    r.number = int(pkt.ipv4.src)
""",
        seen=bl.Digest(Compared),
    )
)

# --- views of bytes ---------------------------------------------------------------------------------------------------


class Viewed(bl.Record):
    size: bl.i64
    there: bl.boolean
    empty: bl.boolean
    part_size: bl.i64
    part: bl.bytes_[40]
    same: bl.boolean
    other: bl.boolean
    starts: bl.boolean
    reverse: bl.boolean
    item: bl.i64
    two: bl.i64
    four: bl.i64


LOOK = """
def look(pkt):
    view, a, b = pkt.payload[4:], pkt.payload[0] - 30, pkt.payload[1] - 30
    r = seen.new()
    r.size, r.there, r.empty = len(view), bool(view), not view
    part = view[a:b]
    r.part_size = len(part)
    r.part = part
    r.same = part == view[a:][: len(part)]
    r.other = part != view[b:]
    r.starts = view.startswith(b"GET ")
    r.reverse = b"GET " == view[:4]
    r.item = r.two = r.four = -1
    if pkt.payload[2] == 1:
        r.item = view[a]
    elif pkt.payload[2] == 2:
        r.two = view.be16(a)
    elif pkt.payload[2] == 4:
        r.four = view.be32(a)
"""
VIEW = bl.Pipeline(stage_of(LOOK, seen=bl.Digest(Viewed)))
INDEX = st.integers(-30, 30)


@quickly
@given(st.lists(st.tuples(st.binary(max_size=40), INDEX, INDEX, st.sampled_from([1, 2, 4])), max_size=30))
@example([(b"GET / HTTP", 0, 4, 1), (b"GE", -1, -3, 2), (b"", 0, 0, 1), (b"abcdef", 3, 1, 4), (b"abcdef", -4, 6, 4)])
def test_views_of_bytes_behave_as_bytes_do_and_never_reach_outside(cases: list[tuple[bytes, int, int, int]]) -> None:
    packets = [carrying(bytes((a + 30, b + 30, width, 0)) + data) for data, a, b, width in cases]
    outcome = run_both(VIEW, packets).equal()
    outside = 0
    for (data, a, b, width), row in zip(cases, outcome.state["Digest 0"], strict=True):
        known = dict(zip([s.name for s in Viewed.layout], row, strict=True))
        part = data[a:b]
        assert (known["size"], known["there"], known["empty"]) == (len(data), bool(data), not data)
        assert (known["part_size"], known["part"].ljust(40, b"\0")) == (len(part), part.ljust(40, b"\0"))
        assert (known["same"], known["other"]) == (part == data[a:][: len(part)], part != data[b:])
        assert known["starts"] == known["reverse"] == data.startswith(b"GET ")
        at = a + len(data) if a < 0 else a
        inside = 0 <= at <= len(data) - width
        outside += not inside
        read = known[{1: "item", 2: "two", 4: "four"}[width]]
        assert read == (int.from_bytes(data[at : at + width], "big") if inside else -1)
    assert outcome.counts["drops"].get("look: error", (0,))[0] == outside


# --- verdicts ---------------------------------------------------------------------------------------------------------


LATE = bl.Chain(
    stage_of("def late(pkt):\n    if not pkt.tcp:\n        return bl.DROP"),
    stage_of("def later(pkt):\n    if pkt.payload.startswith(b'hello'):\n        return FINAL", FINAL=bl.Chain(
        stage_of("def final(pkt):\n    return bl.drop('said hello')"))),
    name="late",
)  # fmt: skip


CHOSEN = """
def chosen(p):
    verdict = None
    if p.udp:
        verdict = bl.DROP
    elif p.arp:
        return LATE
    elif p.icmpv6:
        verdict = bl.CONSUME
    return verdict
"""
# What a stage returns, and what becomes of the five frames: S sent, C consumed, D dropped by the stage, or by a name.
VERDICTS = {
    "None": "SSSSS",
    "bl.PASS": "SSSSS",
    "bl.DROP": "DDDDD",
    "bl.CONSUME if pkt.tcp else bl.send(pkt.length % 3)": "CSSSC",
    "bl.drop('tcp') if pkt.tcp else None": ["tcp", *"SSS", "tcp"],
    "LATE": ["said hello", "late", "late", "late", "S"],
    "LATE if pkt.tcp else None": ["said hello", *"SSSS"],
    "LATE if pkt.udp else bl.DROP": ["D", "late", *"DDD"],
    "chosen(pkt)": [*"SDC", "late", "S"],
    "bl.drop(WHY)": ["of the module"] * 5,
}


def test_a_verdict_decides_what_becomes_of_a_packet() -> None:
    """The case is in the packet's time, a microsecond after another."""
    lines = ["def decide(pkt):", "    case = pkt.time // 5000 % 200000"]
    lines += [f"    if case == {k}:\n        return {expression}" for k, expression in enumerate(VERDICTS)]
    helper = function_of(CHOSEN, LATE=LATE)
    stage = stage_of("\n".join(lines), LATE=LATE, chosen=helper, WHY="of the module")
    outcome = run_both([stage], FRAMES * len(VERDICTS)).equal()
    fates = [fate for case in VERDICTS.values() for fate in case]
    assert [p.time // 1000 % 1000 for p in outcome.written] == [k for k, fate in enumerate(fates) if fate == "S"]
    assert outcome.counts["consumed"][0] == fates.count("C")
    drops = {name: count for name, (count, _) in outcome.counts["drops"].items()}
    assert drops == {"decide" if f == "D" else f: fates.count(f) for f in set(fates) - {"S", "C"}}


def test_a_drop_needs_a_name() -> None:
    with pytest.raises(UsageError, match="a drop needs a name"):
        bl.drop("")


# --- functions, constants, closures, control flow ---------------------------------------------------------------------


class Kind(enum.IntEnum):
    TCP = 6
    UDP = 17


def counting(limit: int, wanted: tuple[int, ...], seen: bl.Digest[Any]) -> bl.Stage:
    """A stage made by a function: what it closes over is compiled in."""

    def twice(value: int, add: int = limit) -> int:
        return 2 * value + add

    @bl.stage
    def count(pkt: Any) -> Any:
        r = seen.new()
        total = 0
        for k in range(pkt.length):
            if k % 3 == 0:
                continue
            if k > limit:
                break
            total += k
        else:
            total = -1
        while total % 5:
            total += 1
        r.a = total
        for port in wanted:
            r.b += port
        r.b += wanted[1] + twice(3) + twice(add=1, value=2)
        x, y = pkt.length, 3
        x, y = y, x
        r.c = x * 1000 + y if pkt.proto == Kind.TCP else Kind.UDP + Kind.TCP
        match pkt.proto:
            case 6:
                r.d = 1
            case 17 | 58:
                r.d = 2
            case _:
                r.d = 3
        r.d += 10 // (pkt.proto - 58)
        pkt.tcp.sport, pkt.tcp.dport = pkt.tcp.dport, pkt.tcp.sport
        return None

    return count


class Counted(bl.Record):
    a: bl.i64
    b: bl.i64
    c: bl.i64
    d: bl.i64


def test_functions_closures_loops_and_constants_work_in_both_modes() -> None:
    for limit in (10, 1000):
        seen: bl.Digest[Any] = bl.Digest(Counted)
        outcome = run_both([counting(limit, (80, 443), seen)], FRAMES).equal()
        tcp, udp, icmp = outcome.state["Digest 0"][:3]
        total = sum(k for k in range(limit + 1) if k % 3) if limit < 1000 else -1
        assert tcp[0] == total + -total % 5
        assert {row[1] for row in outcome.state["Digest 0"]} == {80 + 443 + 443 + 6 + limit + 4 + 1}
        assert (tcp[2], udp[2]) == (3070, 23)
        assert (tcp[3], udp[3], icmp[3]) == (1 + 10 // -52, 2 + 10 // -41, 2)
        assert outcome.counts["drops"] == {"count: error": (1, len(FRAMES[2]))}
        assert outcome.written[0].data[38:42] == FRAMES[0][40:42] + FRAMES[0][38:40]


def test_a_helper_may_take_headers_records_and_tables_and_return_several_values_or_none() -> None:
    source = """
def ports(header):
    return header.sport, header.dport

def flow_of(table, pkt):
    return table[pkt]

def first(view, default=-1):
    if view:
        return view[0]
    return default

def size(pkt):
    if pkt.tcp:
        return pkt.tcp.data_offset * 4

def work(pkt):
    flow = flow_of(flows, pkt)
    a, b = ports(pkt.tcp) if pkt.tcp else ports(pkt.udp)
    flow.a, flow.b = a, b
    flow.c += first(pkt.payload) + first(pkt.tcp.options, default=1000)
    found = size(pkt)
    if found is not None:
        flow.d = found
"""
    outcome = run_both([stage_of(source, flows=bl.FlowTable(Counted, capacity=10))], FRAMES).equal()
    rows = outcome.state["FlowTable 0"][2]
    assert rows[0][-4:] == (443, 51000, ord("h") + 1000, 20)
    assert rows[1][-4:] == (53, 5353, ord("a") + 1000, 0)
    assert rows[4][-4:] == (20, 80, ord("x") + 2, 28)


def test_a_stage_runs_as_plain_python_when_it_is_called() -> None:
    from scapy_frames import packet_of

    stage = stage_of("def swap(pkt):\n    pkt.eth.src, pkt.eth.dst = pkt.eth.dst, pkt.eth.src\n    return bl.send(1)")
    packet = packet_of(TCP4)
    before = packet.eth.src
    assert stage(packet) == bl.send(1)
    assert packet.eth.dst == before
    assert repr(stage) == "<stage swap>"
    assert bl.stage(stage.function).name == "swap"
