"""What cannot be compiled is refused before any packet flows: file, line, caret, rule, what to write instead."""

from __future__ import annotations

import enum
import functools
import math
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import burstline as bl
from both_modes import function_of, pcap_of, stage_of
from burstline.cli.main import main
from burstline.compiler.errors import CompileError
from burstline.engine.program import prepare
from burstline.errors import BurstlineError, UsageError
from burstline.pipeline.verdict import Verdict


class Flow(bl.Record):
    packets: bl.u64
    rate: bl.f64
    seen: bl.boolean
    address: bl.ipv4
    address6: bl.ipv6
    name: bl.bytes_[8]


class Color(enum.Enum):
    RED = 1


class Bits(enum.IntFlag):
    ONE = 1


class Holder:
    limit = 5

    def method(self, pkt: Any) -> int:
        return 1


@functools.lru_cache
def remembered(n: int) -> int:
    return n


NAMES: dict[str, Any] = {
    "flows": bl.FlowTable(Flow),
    "hits": bl.Counter("hits"),
    "log": bl.Digest(Flow),
    "routes": bl.PrefixMap({"10.0.0.0/8": 1}),
    "seen": bl.Set(9),
    "seen6": bl.Set(9, key=bl.ipv6),
    "tries": bl.Map(9, key=bl.ipv4),
    "sizes": bl.Histogram("sizes"),
    "limit": bl.Meter(9, 9),
    "talkers": bl.CountMin(),
    "elephants": bl.HeavyHitters(),
    "sources": bl.HyperLogLog(),
    "A": bl.ip("10.0.0.1"),
    "A6": bl.ip("2001:db8::1"),
    "PORTS": [80, 443],
    "TABLE": {1: 2},
    "WANTED": {1, 2},
    "ARRAY": np.array([1, 2, 3]),
    "NUMBER": np.int64(7),
    "HUGE": 1 << 64,
    "MIXED": (80, bl.Counter("inside")),
    "Color": Color,
    "Bits": Bits,
    "Holder": Holder,
    "holder": Holder(),
    "remembered": remembered,
    "other": stage_of("def other(pkt):\n    return None"),
    "dns": bl.Chain(stage_of("def answer(pkt):\n    return None"), name="dns"),
    "math": math,
    "np": np,
    "time": time,
    "dedent": textwrap.dedent,
}

# A stage's body, with what is underlined between « and »; a part of the rule; a part of what to write instead.
REFUSED: dict[str, tuple[str, str, str]] = {
    # syntax
    "list": ("x = «[1, 2]»", "a list: it allocates memory", "tuple"),
    "list comprehension": ("x = «[k for k in range(3)]»", "a list comprehension: it allocates", "`for` loop"),
    "dict": ("x = «{1: 2}»", "a dict: it allocates memory", "FlowTable"),
    "set": ("if pkt.tcp.dport in «{80, 443}»:\n    return bl.DROP", "a set: it allocates memory", "port in (80, 443)"),
    "f-string": ("x = «f'{pkt.length}'»", "an f-string: it allocates", "Digest"),
    "generator": ("x = max«(k for k in range(3))»", "a generator expression", "`for` loop"),
    "walrus": ("if («n := pkt.length») > 5:\n    hits.add(n)", "`:=`", "line of its own"),
    "lambda": ("f = «lambda x: x»", "a lambda", "beside the stage"),
    "function": ("«def f():»\n    return 1", "a function inside of a stage", "beside the stage"),
    "class": ("«class C:»\n    pass", "a class inside of a stage", "outside"),
    "raise": ("«raise ValueError('no')»", "`raise`", 'bl.drop("why")'),
    "try": ("«try:»\n    hits.add()\nexcept Exception:\n    pass", "`try`: a stage cannot catch", "check first"),
    "with": ("«with hits:»\n    pass", "`with`", "outside"),
    "global": ("«global hits»", "`global`", "Counter"),
    "import": ("«import os»", "`import`", "top of the file"),
    "del": ("x = 1\n«del x»", "`del`", "leave it out"),
    "star": ("a, «*b» = 1, 2, 3", "`*`", "write them out"),
    "power": ("x = «pkt.length ** pkt.length»", "`**`", "1 << n"),
    "power of a fraction": ("x = «2.0 ** -1»", "`**`", "1 << n"),
    "complex number": ("x = «1j»", "a complex number", "integers"),
    "step": ("x = pkt.payload[«::2»]", "a slice with a step", "range(0, len(view), step)"),
    "huge literal": ("x = pkt.length & «0xFFFF_FFFF_FFFF_FFFF»", "more than 63 bits", "0x7FFF"),
    "huge folded": ("x = pkt.length + («1 << 63»)", "more than 63 bits", "0x7FFF"),
    "digits of a fraction": ("x = «round(pkt.length / 7, 2)»", "`round` to digits", "round(x * 100) / 100"),
    # packets and headers
    "packet field": ("hits.add(«pkt.lenght»)", "a packet has no 'lenght'", "did you mean 'length'?"),
    "no such header": ("hits.add(«pkt.quic».key)", "a packet has no 'quic'", "there are: eth, vlan"),
    "header field": ("hits.add(«pkt.tcp.dprt»)", "tcp has no field 'dprt'", "did you mean 'dport'?"),
    "header in a name": ("h = pkt.udp\nhits.add(«h.seq»)", "udp has no field 'seq'", "sport, dport"),
    "header through two": ("p = pkt\nh = p.udp\nhits.add(«h.seq»)", "udp has no field 'seq'", "sport"),
    "read-only field": ("«pkt.ipv4.ihl» = 5", "`ipv4.ihl` is read-only", "where other headers lie"),
    "options": ("«pkt.ipv4.options» = b''", "`ipv4.options` is read-only", "where"),
    "packet assigned": ("«pkt.length» = 5", "`pkt.length` cannot be assigned to", "fields of a header"),
    "fraction into a field": ("«pkt.ipv4.ttl» = 2.5", "`ttl` takes an integer, not a fraction", "int(...)"),
    "address into a number": ("«pkt.ipv4.ttl» = pkt.ipv4.src", "not an IPv4 address", "that type"),
    "version of an address": ("«pkt.ipv4.src» = pkt.ipv6.src", "an IPv4 address or an integer, not an IPv6", "type"),
    "number for IPv6": ("«pkt.ipv6.src» = 5", "takes an IPv6 address, not 5", "type"),
    "header is no number": ("hits.add(«pkt.tcp + 1»)", "`+` of the tcp header and 1", "stage language"),
    "length of a header": ("hits.add(«len(pkt.tcp)»)", "`len(the tcp header)` does not exist", "stage language"),
    # addresses
    "address and number": ("if «pkt.ipv4.src == 5»:\n    return bl.DROP", "`==` of an IPv4 address and 5", "bl.ip("),
    "address plus": ("x = «pkt.ipv4.src + 1»", "`+` of an IPv4 address and 1", "int(address)"),
    "order of versions": ("if «pkt.ipv4.src < A6»:\n    return bl.DROP", "`<` of an IPv4 address and an IPv6", "stage"),
    "address made inside": ("if pkt.ipv4.src == «bl.ip»('10.0.0.1'):\n    return bl.DROP", "not for stages", "outside"),
    "address is true": ("if pkt.ipv4.src:\n    return bl.DROP", "neither true nor false", "if pkt.ipv4:"),
    "IPv6 as number": ("x = «int(pkt.ipv6.src)»", "does not fit a number", "PrefixMap"),
    "attribute of an address": ("hits.add(«pkt.ipv4.src.packed»)", "an IPv4 address has no 'packed'", "int(address)"),
    # bytes
    "bytes written": ("«pkt.payload[0]» = 1", "cannot be written to", "fields of headers"),
    "loop over bytes": ("«for b in pkt.payload:»\n    hits.add(b)", "no loop over a view of bytes", "range(len(view))"),
    "method of bytes": ("hits.add(«pkt.payload.find»(b'x'))", "a view of bytes has no 'find'", "view.be16(i)"),
    "startswith": ("if «pkt.payload.startswith((b'a', b'b'))»:\n    return bl.DROP", "startswith", "one literal"),
    # names
    "unknown name": ("hits.add(«zork»)", "'zork' is not defined", "top of the file"),
    "unknown function": ("«zork»(1)", "'zork' is not defined", "top of the file"),
    "no value": ("if pkt.tcp:\n    x = 1\nhits.add(«x»)", "'x' may have no value here", "`x = 0` before"),
    "after a loop": ("for k in range(pkt.length):\n    pass\nhits.add(«k»)", "'k' may have no value here", "before"),
    "assigned global": ("«hits» += 1", "'hits' has no value yet", "by their methods"),
    "list of the module": ("if pkt.tcp.dport in «PORTS»:\n    return bl.DROP", "`PORTS` is a list", "tuple"),
    "dict of the module": ("hits.add(«TABLE»[1])", "`TABLE` is a dict", "PrefixMap"),
    "set of the module": ("if pkt.tcp.dport in «WANTED»:\n    return bl.DROP", "`WANTED` is a set", "bl.Set"),
    "array": ("hits.add(«ARRAY»[pkt.length])", "`ARRAY` is an array", "tuple"),
    "NumPy number": ("hits.add(«NUMBER»)", "`NUMBER` is a NumPy number", "NUMBER = int(...)"),
    "huge number": ("hits.add(«HUGE»)", "`HUGE` is a number of more than 63 bits", "0x7FFF"),
    "tuple of objects": ("«MIXED»[1].add()", "`MIXED` is a tuple of more than plain values", "by itself"),
    "class of the module": ("hits.add(«Holder».limit)", "`Holder` is a class", "use that name"),
    "object": ("hits.add(«holder».limit)", "`holder` is an object of class Holder", "FlowTable, Counter"),
    "enumeration": ("if «Color».RED == Color.RED:\n    return bl.DROP", "an enumeration, but not of", "IntEnum"),
    "flags": ("hits.add(«Bits».ONE)", "an enumeration, but not of integers", "IntEnum"),
    "module's attribute": ("hits.add(«math.zork»)", "the module math has no 'zork'", "there are: acos"),
    # calls into Python
    "print": ("«print(pkt.length)»", "`print` is a call into Python", "there are: abs, bool"),
    "str": ("x = «str(pkt.length)»", "`str` is a call into Python", "there are: abs, bool"),
    "sorted": ("x = «sorted((3, 1))»", "`sorted` is a call into Python", "there are: abs, bool"),
    "clock": ("x = «time.time»()", "`time.time` is a call into Python", "Digest"),
    "array made": ("x = «np.zeros»(5)", "makes an array: it allocates memory", "Counter"),
    "function of NumPy": ("x = «np.sqrt»(5)", "makes an array: it allocates memory", "math has sqrt"),
    "function of math": ("x = «math.gamma»(5.0)", "`math.gamma` is not compiled", "of math there are: acos"),
    "package": ("x = «dedent»('a')", "`dedent` is a call into Python", "your own plain functions"),
    "cached function": ("x = «remembered»(5)", "`remembered` is an object of class _lru_cache", "plain functions"),
    "stage": ("return «other(pkt)»", "`other` is a stage", "put other into the pipeline"),
    "chain called": ("return «dns()»", "`dns` is a chain; it is not called", "`return dns`"),
    "counter called": ("«hits()»", "`hits` is a Counter; it is not called", "what it has"),
    # types
    "unify": ("if pkt.tcp:\n    x = 1\nelse:\n    «x» = pkt.ipv4.src\nlog.new().seen = x == x", "x is", "one type"),
    "unify with zero": ("x = 0\nif pkt.ipv4:\n    «x» = pkt.ipv4.src\nlog.new().address = x", "x is 0 on", "one type"),
    "unify headers": ("«h = pkt.tcp or pkt.udp»", "the tcp header on one way and the udp header", "bool(...)"),
    "text": ("x = «'a%d' % pkt.length»", "`%` of the text 'a%d' and a number", "only as the name of a drop"),
    "text added": ("x = 'a' if pkt.tcp else 'b'\ny = «x + 'c'»", "`+` of text and the text 'c'", "name of a drop"),
    "text indexed": ("x = 'ab' if pkt.tcp else 'c'\n«y = x[1]»", "text is not worked on", "name of a drop"),
    "text's method": ("x = 'ab' if pkt.tcp else 'c'\n«hits.add(len(x.upper()))»", "text is not worked on", "name of"),
    "loop over text": ("x = 'ab'\n«for k in x:»\n    hits.add()", "`getitem(text, a number)`", "stage language"),
    "bytes added": ("x = b'a' if pkt.tcp else b'c'\ny = «b'ab' + x»", "`+` of a bytes literal", "not put together"),
    "assertion": ("x = 'a' if pkt.tcp else 'b'\n«assert pkt.tcp, x»", "`assert` with a message", "write a text"),
    # verdicts
    "number returned": ("«return 5»", "a stage returns a verdict, not 5", "bl.PASS or None"),
    "truth returned": ("«return pkt.tcp.flag_syn»", "a stage returns a verdict, not true or false", "bl.DROP"),
    "text returned": ("«return 'drop'»", "a verdict, not the text 'drop'", 'bl.drop("why")'),
    "function returned": ("«return bl.drop»", "a verdict, not a function", 'bl.drop("why")'),
    "drop by a variable": ("return «bl.drop('a' if pkt.tcp else 'b')»", "a drop needs a name that", "own `return`"),
    "drop without a name": ("return «bl.drop()»", "a drop needs a name", "bl.drop("),
    "drop by nothing": ("return «bl.drop('')»", "a drop needs a name", "bl.drop("),
    "send by a fraction": ("return «bl.send(1.5)»", "by its number, not by a fraction", "bl.send(1)"),
    "verdicts compared": ("v = bl.PASS\nif «v == bl.DROP»:\n    return v", "`==` of a verdict and", "returning"),
    # state
    "flow of a number": ("x = «flows[5]»", "a FlowTable is indexed by the packet", "flow = flows[pkt]"),
    "flow replaced": ("«flows[pkt]» = 5", "a FlowTable is indexed by the packet", "fields of `flow`"),
    "flow looked for": ("if «pkt in flows»:\n    return bl.DROP", "`in` of a FlowTable and a packet", "stage language"),
    "method of a table": ("x = «flows.get»(pkt)", "a FlowTable has no 'get'", "stage language"),
    "field of a record": ("hits.add(«flows[pkt].pakets»)", "a record Flow has no 'pakets'", "did you mean 'packets'?"),
    "field set": ("«flows[pkt].pakets» = 1", "a record Flow has no 'pakets'", "did you mean 'packets'?"),
    "field of another type": ("«flows[pkt].packets» = 0.5", "`packets` takes an integer, not a fraction", "int(...)"),
    "bytes for a number": ("«flows[pkt].packets» = pkt.payload", "takes an integer, not a view of bytes", "type"),
    "number for bytes": ("«log.new().name» = 5", "`name` takes bytes, not 5", "type"),
    "counter's value": ("hits.add(«hits.value»)", "a Counter has no 'value'", "counter.add(n)"),
    "counter by a fraction": ("«hits.add(1.5)»", "Counter.add is not called with a fraction", "an integer"),
    "counter by two": ("«hits.add(1, 2)»", "Counter.add is not called with 1, 2", "an integer"),
    "digest with arguments": ("«log.new(5)»", "Digest.new is not called with 5", "record = digest.new()"),
    "route without default": ("hits.add(«routes.get(A)»)", "not called with an IPv4 address", "get(address, default)"),
    "fraction in a set": ("«seen.add(0.5)»", "Set.add is not called with a fraction", "a number or an IPv4 address"),
    "wrong address in a set": ("if «pkt.ipv6.src in seen»:\n    pass", "a Set is not asked by an IPv6", "key=bl.ipv6"),
    "number in a set of addresses": ("if «5 in seen6»:\n    pass", "a Set is not asked by 5", "key=bl.ipv6"),
    "packet in a set": ("«seen.discard(pkt)»", "Set.discard is not called with a packet", "seen.discard(key)"),
    "number in a map of addresses": ("x = «tries[pkt.length]»", "a Map is not asked by a number", "key=bl.ipv4"),
    "fraction in a map": ("«tries[pkt.ipv4.src]» = 0.5", "an IPv4 address, for a fraction", "values are numbers"),
    "map without a default": ("x = «tries.get(pkt.ipv4.src)»", "Map.get is not called with an IPv4", "default"),
    "address into a histogram": ("«sizes.add(pkt.ipv4.src)»", "Histogram.add is not called with an IPv4", "integers"),
    "meter of a number": ("if «limit.allow(5)»:\n    pass", "Meter.allow is not called with 5", "limit.allow(pkt)"),
    "meter of an inner packet": ("if «limit.allow(pkt.inner)»:\n    pass", "with an inner packet", "limit.allow(pkt)"),
    "sketch of a fraction": ("«talkers.add(0.5)»", "CountMin.add is not called with a fraction", "an address, or pkt"),
    "heavy hitter of a number": ("«elephants.add(5)»", "HeavyHitters.add is not called with 5", "elephants.add(pkt)"),
    "heavy inner packet": ("«elephants.add(pkt.inner)»", "with an inner packet", "elephants.add(pkt, n)"),
    "top in a stage": ("x = «elephants.top»()", "HeavyHitters has no 'top'", "for Python"),
    "estimate in a stage": ("x = «sources.estimate»()", "HyperLogLog has no 'estimate'", "for Python"),
    "route of a number": ("if «pkt.length in routes»:\n    return bl.DROP", "`in` of a PrefixMap and", "stage"),
}  # fmt: skip


def refused(pipeline: bl.Pipeline) -> CompileError:
    with pytest.raises(BurstlineError) as caught:
        prepare(pipeline, mode="file", capacity=64, workers=1, dispatch="auto")
    assert isinstance(caught.value, CompileError)
    return caught.value


def marked(text: str) -> tuple[str, int, int, int]:
    """The text without its marks, and what lay between them: line, column, width in that line."""
    before, _, rest = text.partition("«")
    inside, _, after = rest.partition("»")
    column = len(before.rpartition("\n")[2])
    return before + inside + after, before.count("\n") + 1, column + 1, len(inside.partition("\n")[0])


def check(error: CompileError, file: str, line: int, column: int, width: int, problem: str, hint: str) -> None:
    first, _, carets = error.message.split("\n")
    assert first.startswith(f"{file}:{line}:{column}: stage `s` cannot be compiled: ")
    assert problem in first
    assert hint in str(error.hint)
    assert carets.count("^") == width
    assert "numba" not in str(error).lower() or "--debug" in str(error.hint)
    assert len(str(error).splitlines()) == 4


def offset(quoted: str, carets: str) -> int:
    return len(carets) - len(carets.lstrip()) - (len(quoted) - len(quoted.lstrip()))


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_stage_language_has_not_is_refused_with_its_place_and_what_to_write(name: str) -> None:
    body, problem, hint = REFUSED[name]
    if "«" not in body:
        body = f"«{body.splitlines()[0]}»" + "".join(f"\n{line}" for line in body.splitlines()[1:])
    text, line, column, width = marked("\ndef s(pkt):\n" + "".join(f"    {row}\n" for row in body.splitlines()))
    stage = stage_of(text, **NAMES)
    error = refused(bl.Pipeline(stage))
    check(error, stage.function.__code__.co_filename, line, column, width, problem, hint)
    quoted, carets = error.message.split("\n")[1:]
    start = offset(quoted, carets) + 4
    marked_line = text.splitlines()[line - 1]
    assert quoted[start : start + width] == marked_line[column - 1 : column - 1 + width]


F = "def f(a):\n    return a\n"
S = "def s(pkt):\n    "
HELPERS = {
    "in a helper": (f"def f(h):\n    return «h.nope»\n{S}hits.add(f(pkt.tcp))", "the tcp header has no", "there are"),
    "list in a helper": (f"def f(h):\n    return «[h]»\n{S}f(pkt.tcp)", "a list", "tuple"),
    "in a helper's helper": (f"def g(a):\n    return «a + A»\ndef f(a):\n    return g(a)\n{S}f(1)", "`+` of", "bl.ip("),
    "too many arguments": (f"{F}{S}hits.add(«f(1, 2)»)", "`f` is called wrongly: too many", "takes"),
    "too few arguments": (f"{F}{S}hits.add(«f()»)", "`f` is called wrongly: missing", "takes"),
    "unknown argument": (f"{F}{S}hits.add(«f(b=1)»)", "`f` is called wrongly", "takes"),
    "recursion": (f"def f(n):\n    return n * «f»(n - 1)\n{S}hits.add(f(5))", "calls itself", "a loop"),
    "recursion of two": (f"def f(n):\n    «g»(n)\ndef g(n):\n    f(n)\n{S}f(5)", "`f` calls itself", "a loop"),
    "any number of parameters": (f"def f(«*a»):\n    return 1\n{S}f(1)", "any number of", "name each"),
    "keyword-only": (f"def f(a, *, «b»=1):\n    return 1\n{S}f(1)", "keyword-only", "leave out the `*`"),
    "default": (f"def f(a, b=«hits»):\n    b.add()\n{S}f(1)", "default of a parameter", "in the call"),
}  # fmt: skip


@pytest.mark.parametrize("name", HELPERS)
def test_a_finding_in_a_helper_points_into_the_helper(name: str) -> None:
    source, problem, hint = HELPERS[name]
    text, line, column, width = marked(source.replace("«*a»", "*«a»"))
    stage = stage_of(text, **NAMES)
    check(refused(bl.Pipeline(stage)), stage.function.__code__.co_filename, line, column, width, problem, hint)


def test_the_first_finding_in_the_source_is_told() -> None:
    stage = stage_of("def s(pkt):\n    if pkt.tcp:\n        x = (1, [2])\n    y = {1}\n    z = pkt.nope")
    assert refused(bl.Pipeline(stage)).position.line == 3


def test_names_that_mean_different_things_on_different_ways_are_no_mistake() -> None:
    source = "def s(pkt):\n    if pkt.tcp:\n        h = pkt.tcp\n        hits.add(h.seq)\n"
    source += "    else:\n        h = pkt.udp\n"
    stage = stage_of(source + "        hits.add(h.length)\n        range = 5\n        hits.add(range)", **NAMES)
    prepare(bl.Pipeline(stage), mode="file", capacity=64, workers=1, dispatch="auto")


def test_a_stage_in_a_function_and_with_wide_characters_is_quoted_at_the_right_place(tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_text(
        "import burstline as bl\n\n\ndef make():\n    @bl.stage\n    def s(pkt):\n"
        '        """Text\nthat starts at the margin."""\n'
        '        if pkt.tcp and "äöü" and [1]:\n            return bl.DROP\n    return s\n'
    )
    space: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), space)
    error = refused(bl.Pipeline(space["make"]()))
    assert error.message.startswith(f"{path}:9:34: stage `s` cannot be compiled: a list")
    assert error.message.endswith('    if pkt.tcp and "äöü" and [1]:\n' + " " * 29 + "^^^")


def test_without_its_source_a_stage_is_refused_all_the_same() -> None:
    space: dict[str, Any] = {"bl": bl, **NAMES}
    for body, problem in (("return PORTS", "`PORTS` is a list"), ("x = [pkt.length]", ""), ("return 5", "verdict")):
        exec(compile(f"def s(pkt):\n    {body}", "<nowhere>", "exec"), space)
        error = refused(bl.Pipeline(bl.stage(space["s"])))
        assert error.message.startswith("<nowhere>:")
        assert problem in error.message
        assert "\n" not in error.message


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: bl.stage(lambda pkt: None), "is no plain function"),
        (lambda: bl.stage(function_of("def s(pkt):\n    yield 1")), "is no plain function"),
        (lambda: bl.stage(function_of("async def s(pkt):\n    return None")), "is no plain function"),
        (lambda: bl.stage(function_of("def s():\n    return None")), "takes 0 parameters"),
        (lambda: bl.stage(function_of("def s(a, b):\n    return None")), "takes 2 parameters"),
        (lambda: bl.stage(function_of("def s(*a):\n    return None")), "takes 1 parameters"),
        (lambda: bl.stage(5), "needs a function"),  # type: ignore[arg-type]
        (lambda: bl.Pipeline(lambda pkt: None), "is not a stage"),  # type: ignore[arg-type]
        (lambda: bl.Pipeline(), "at least one stage"),
    ],
)
def test_what_is_no_stage_is_refused_where_it_is_made(make: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        make()


def test_chains_that_lead_in_a_circle_are_refused() -> None:
    first = stage_of("def first(pkt):\n    return second_chain")
    second_chain = bl.Chain(stage_of("def second(pkt):\n    return first_chain"), name="second")
    first_chain = bl.Chain(first, name="first")
    first.function.__globals__["second_chain"] = second_chain
    second_chain.stages[0].function.__globals__["first_chain"] = first_chain
    with pytest.raises(UsageError, match="chains lead in a circle: first -> second -> first"):
        bl.Pipeline(stage_of("def enter(pkt):\n    return first_chain", first_chain=first_chain))


APP = "import burstline as bl\n\n\n@bl.stage\ndef look(pkt):\n    return bl.DROP if pkt.tcp.dprt == 80 else None\n\n\n"


def test_the_command_line_tells_it_in_one_message_and_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP + "pipeline = bl.Pipeline(look)\n")
    (tmp_path / "in.pcap").write_bytes(pcap_of([b"packet"]))
    command = [sys.executable, "-m", "burstline", "run", str(tmp_path / "app.py"), str(tmp_path / "in.pcap")]
    done = subprocess.run([*command, "--out", str(tmp_path / "out.pcap")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"burstline: error: {tmp_path}/app.py:6:23: stage `look` cannot be compiled: tcp has no field 'dprt'\n"
        "    return bl.DROP if pkt.tcp.dprt == 80 else None\n"
        "                      ^^^^^^^^^^^^\n"
        "  hint: did you mean 'dport'?\n"
    )
    assert not (tmp_path / "out.pcap").exists(), "refused before anything was begun"


def test_debug_shows_what_numba_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "app.py").write_text(APP.replace("pkt.tcp.dprt", "zork") + "pipeline = bl.Pipeline(look)\n")
    (tmp_path / "in.pcap").write_bytes(pcap_of([b"packet"]))
    words = ["run", str(tmp_path / "app.py"), str(tmp_path / "in.pcap")]
    assert main(words) == 1
    assert "numba.core" not in capfd.readouterr().err
    assert main([*words, "--debug"]) == 1
    shown = capfd.readouterr().err
    assert "numba.core.errors" in shown
    assert "'zork' is not defined" in shown


def test_a_verdict_of_ones_own_making_is_still_a_verdict() -> None:
    assert Verdict(2, "why") == bl.drop("why")
