"""Functions lowered by an earlier process: they are linked as they were, and only where they mean the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from numba.core import types

import burstline as bl
from both_modes import pcap_of, stage_of
from burstline.compiler.branch_type import BranchType
from burstline.compiler.content import content
from burstline.native import build, lowered_cache
from burstline.native.lowered_cache import Content
from burstline.native.memory import Primitive, primitive
from burstline.native.pipeline import named_by_content
from burstline.native.struct import Struct
from burstline.native.struct_type import StructRefType
from packet_corpus import corpus

APP = """
import burstline as bl

seen = bl.Counter("seen")

def is_long(pkt):
    return pkt.length > {limit}

@bl.stage
def count(pkt):
    if pkt.udp.dport == 4789 or is_long(pkt):
        seen.add(pkt.ipv4.ttl % 7 + min(pkt.length, 100))

@bl.stage
def drop(pkt):
    if pkt.ipv6:
        return bl.drop("{reason}")

pipeline = bl.Pipeline(count, drop)

@pipeline.at_end
def show(report):
    print(seen.value, sorted((name, count.packets) for name, count in report.drops.items()))
"""
RUN = """
import sys
from burstline.cli.main import main
from burstline.native import build

lowered = []
lower = build.lower
build.lower = lambda function, *rest: lowered.append(function.__qualname__) or lower(function, *rest)
code = main(["run", *sys.argv[1:], "--json"])
print("lowered:", *sorted(set(lowered)), file=sys.stderr)
sys.exit(code)
"""


def run(app: Path, source: Path, place: Path, *more: str) -> tuple[str, list[str]]:
    """What the application says, and the functions that were typed and lowered for it."""
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(app), str(source), *more], capture_output=True, text=True, check=False,
        env={**os.environ, "BURSTLINE_CACHE": str(place), "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said, lowered = done.stderr.splitlines()[-2:]
    return said, lowered.split()[1:]


def test_the_next_process_lowers_only_what_is_new_and_comes_to_the_same(tmp_path: Path) -> None:
    app, source, place = tmp_path / "app.py", tmp_path / "in.pcap", tmp_path / "cache"
    source.write_bytes(pcap_of(corpus().values()))
    app.write_text(APP.format(limit=200, reason="six"))
    _, first = run(app, source, place)
    assert {"is_long", "count", "drop"} < set(first) and len(first) > 50
    app.write_text(APP.format(limit=90, reason="six"))
    _, second = run(app, source, place)
    assert second == ["count", "is_long"], "drop and all that is burstline's own was there"
    app.write_text(APP.format(limit=90, reason="other"))
    said, third = run(app, source, place)
    assert third == ["drop"]
    assert said == run(app, source, place, "--interpret")[0]
    for entry in place.glob("*.o"):
        entry.unlink()
    for entry in place.glob("*.ll"):
        entry.write_bytes(entry.read_bytes()[:-1])
    assert run(app, source, place) == (said, first), "what is damaged is as good as not there"


def key_of(function: Any, arguments: Any = (types.int64,)) -> str | None:
    return lowered_cache.key_of(content(function, bl.Pipeline(stage_of("def s(pkt):\n    pass"))), arguments, None)


class Pair(Struct):
    first: bl.i64


def test_only_what_is_known_in_every_process_is_kept() -> None:
    known, number = Content("digest", ()), types.int64
    keys = [
        lowered_cache.key_of(known, [number], None),
        lowered_cache.key_of(known, [number, number], None),
        lowered_cache.key_of(known, [number], types.boolean),
        lowered_cache.key_of(Content("other", ()), [number], None),
        lowered_cache.key_of(known, [StructRefType(Pair.layout)], None),
        lowered_cache.key_of(known, [types.UniTuple(number, 2)], None),
    ]
    assert None not in keys and len(set(keys)) == len(keys)
    branch = BranchType(bl.Branch({1: bl.DROP}, default=bl.PASS))
    assert lowered_cache.key_of(known, [branch], None) is None
    assert lowered_cache.key_of(known, [types.Tuple((number, branch))], None) is None
    assert lowered_cache.key_of(known, [number], branch) is None
    assert lowered_cache.key_of(Content("digest", (object(),)), [number], None) is None


def test_a_value_that_is_known_in_this_process_only_keeps_a_function_out() -> None:
    made_here: Any = primitive("made_here", types.int64, types.int64)(lambda builder, value: value)
    unknown: Any = Primitive("unknown")

    def calls_made_here(value: int) -> int:
        return int(made_here(value))

    def calls_unknown(value: int) -> int:
        return int(unknown(value))

    def calls_none(value: int) -> int:
        return value + 1

    assert key_of(calls_made_here) is None and key_of(calls_unknown) is None
    assert key_of(calls_none) is not None


def test_what_is_returned_by_its_own_kind_only_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSTLINE_CACHE", str(tmp_path))
    branch = BranchType(bl.Branch({1: bl.DROP}, default=bl.PASS))
    lowered_cache.save("branch", branch, "symbol", {"symbol": "text"})
    assert lowered_cache.load("branch") is None
    pair = types.UniTuple(types.int64, 2)
    lowered_cache.save("pair", pair, "symbol", {"symbol": "text", "other": "more"})
    assert lowered_cache.load("pair") == (pair, "symbol", {"symbol": "text", "other": "more"})


MODULE = """; ModuleID = "look${number}"
@"_ZN08NumbaEnv1m4lookB{tag}B3c8tEx" = common global i8* null
declare i32 @"_ZN1m5otherB2v7B3c8tEx"(i64** %"retptr")
define i32 @"_ZN1m4lookB{tag}B3c8tEx"(i64** %"retptr")
{{
  %"status" = call i32 @"_ZN1m5otherB2v7B3c8tEx"(i64** %"retptr")
  %"least" = call i32 @_ZN5numba3minB{helper}B3c8tEx(i64** %"retptr")
  ret i32 {value}
}}
"""
HELPER = """define linkonce_odr i32 @_ZN5numba3minB{helper}B3c8tEx(ptr %retptr) {{
  ret i32 {value}
}}
"""


def named(number: int, value: int = 0, helped: int = 0) -> tuple[str, dict[str, str]]:
    """The symbol of a function, with Numba's number, that returns `value` and calls a helper that returns `helped`."""
    tag, helper = f"{len(str(number)) + 1}v{number}", f"{len(str(number)) + 1}v{number + 1}"
    own = MODULE.format(number=number, tag=tag, helper=helper, value=value)
    names, texts = named_by_content([own], [HELPER.format(helper=helper, value=helped)])
    return names[f"_ZN1m4lookB{tag}B3c8tEx"], texts


def test_symbols_are_the_same_for_the_same_ir_whatever_numbas_numbers_are() -> None:
    assert named(1) == named(42)
    symbol, texts = named(5)
    assert len(texts) == 2 and f'define i32 @"{symbol}"' in texts[symbol]
    assert "B2v5B" not in "".join(texts.values()) and "_ZN1m5otherB2v7B3c8tEx" in texts[symbol]
    assert len({named(1)[0], named(1, value=1)[0], named(1, helped=1)[0]}) == 3
    helpers = {next(name for name in named(1, value, helped)[1] if "min" in name) for value, helped in [(0, 0), (1, 0)]}
    assert len(helpers) == 1, "the helper is the same for both"


def test_measurements_compile_as_the_first_process_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_remembered", {})
    monkeypatch.setattr(build, "_uses_disk", True)
    build.forget()
    found = build.Build(identify=lambda function: Content("digest", ()))
    monkeypatch.setattr(lowered_cache, "load", lambda key: pytest.fail("it was looked for on disk"))

    def plain(value: int) -> int:
        return value + 1

    assert found.compile(plain, [types.int64]).returns == types.int64
