"""The C that the parse bench measures us beside does the same work: on every state, cut anywhere, and damaged."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mutations
import packet_corpus
from benchmarks.harness.install import shared_library
from benchmarks.harness.packets import Arena
from benchmarks.harness.parse_loop import BURST, LEVEL, Columns, theirs
from burstline.packet.burst import COLUMN
from burstline.packet.flow_key import flow_key
from burstline.packet.found_kernel import HERE
from burstline.packet.machine import Parsed
from burstline.packet.parser import LINK_ETHERNET, parse_levels


def arena_of(packets: list[bytes]) -> Arena:
    captured = np.array([len(p) for p in packets] + [0] * 64, np.uint32)
    starts = np.concatenate(([0], np.cumsum(captured[:-1], dtype=np.uint64))).astype(np.uint64)
    return Arena(np.frombuffer(b"".join(packets) + bytes(64), "u1"), starts, captured, len(packets))


def values(level: Parsed | None) -> dict[str, int]:
    return {} if level is None else {name: getattr(level, name) for name in LEVEL}


def found_by(columns: Columns, count: int) -> list[tuple[dict[str, int], dict[str, int], bytes]]:
    """Outer and inner columns of each packet of the burst, and its key."""
    array: dict[str, list[int]] = {
        name: np.frombuffer(columns.read(name, BURST), f"u{COLUMN[name].width}").tolist()
        for name in (*LEVEL, *(f"inner_{n}" for n in LEVEL))
    }
    keys = columns.read("key", BURST)
    found = []
    for k in range(count):
        inner: dict[str, int] = {}
        if array["inner_present"][k] & HERE:
            inner = {n: array[f"inner_{n}"][k] for n in LEVEL}
            inner["present"] &= ~HERE
        found.append(({n: array[n][k] for n in LEVEL}, inner, keys[40 * k : 40 * k + 40]))
    return found


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = shared_library("parse", tmp_path_factory.mktemp("yardstick"))
    if found is None:
        pytest.skip("neither clang nor gcc is here")
    return found


def test_c_finds_what_the_interpreted_parser_finds(library: Path) -> None:
    packets = [*packet_corpus.corpus().values(), *(data for _, data in packet_corpus.truncations())]
    known = mutations.seeds()
    packets += [data for data, link in mutations.mutants(random.Random(3), 16_000, known) if link == LINK_ETHERNET]
    arena, columns = arena_of(packets), Columns()
    run: Any = theirs(library, columns, inner=True)
    for first in range(0, len(packets), BURST):
        part = packets[first : first + BURST]
        run(arena, first, len(part))
        for packet, found in zip(part, found_by(columns, len(part)), strict=True):
            outer, inner = parse_levels(packet, len(packet), LINK_ETHERNET)
            assert found == (values(outer), values(inner), flow_key(packet, outer)), packet.hex()
