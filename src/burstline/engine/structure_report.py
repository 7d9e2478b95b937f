"""The engine's own structures, line by line: what workers and the state of a pipeline keep, and who touches it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from burstline.engine.columns_used import Source
from burstline.engine.probes.finding import Probe
from burstline.engine.probes.processor import caches
from burstline.engine.structures import KernelUse, shared_fields, uses_of
from burstline.engine.worker import FileWorker, PortQueue, PortWorker
from burstline.native.struct import LINE, Struct
from burstline.ports.capture_file import CHUNK, Capture, Chunk
from burstline.ports.capture_sink import Sink
from burstline.state.base import State

USUAL = 512  # bytes of a packet on the Internet, about: CAIDA's averages are between 500 and 900


def structures_of(state: Iterable[State], source: Source) -> list[type[Struct]]:
    """Those of the worker, of its source and sink, and the heads of state."""
    found: list[type[Struct]] = [PortWorker, PortQueue] if source == "ports" else [FileWorker, Capture, Chunk]
    found.append(Sink)
    for each in state:
        for kind in type(each).__mro__:
            named = vars(sys.modules[kind.__module__]).values() if kind is not State else ()
            found += [v for v in named if _is_head(v) and v not in found]
    return found


def _is_head(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Struct) and value.__name__.endswith(("Head", "Block"))


def structure_report(structs: Iterable[type[Struct]]) -> list[dict[str, Any]]:
    """What lies in which line of each: `shared` fields are those that others write or wait for."""
    return [{"name": struct.__name__, "bytes": struct.layout.size, "lines": list(_lines(struct))} for struct in structs]


def _lines(struct: type[Struct]) -> Iterator[dict[str, Any]]:
    uses, shared = uses_of(struct), shared_fields(struct)
    pieces: dict[int, list[dict[str, Any]]] = {}
    at = 0
    for slot in sorted(struct.layout, key=lambda s: s.offset):
        if slot.offset > at:
            pieces.setdefault(at // LINE, []).append({"offset": at % LINE, "bytes": slot.offset - at, "field": None})
        about = {"shared": slot.name in shared, "uses": [_use(use) for use in uses[slot.name]]}
        pieces.setdefault(slot.offset // LINE, []).append(
            {"offset": slot.offset % LINE, "bytes": slot.type.size, "field": slot.name, **about}
        )
        at = slot.offset + slot.type.size
    for number, of_line in pieces.items():
        yield {"line": number, "pieces": of_line}


def _use(use: KernelUse) -> dict[str, Any]:
    return {"kernel": use.kernel, "how": use.how, "each_packet": use.each_packet}


def cache_report(bytes_a_packet: int, burst: int, source: Source) -> dict[str, Any]:
    """How much of the host's caches a burst takes: on ports, its columns and a line of each packet in L1; of a file, a
    chunk and its columns in L2. None for a cache of which the kernel does not tell."""
    known = Probe("cpu", "caches", caches).ask(Path("/")).facts.get("kib", {})
    if source == "ports":
        name, packets, taken = "L1d", burst, burst * (bytes_a_packet + LINE)
    else:
        name, packets = "L2", CHUNK // USUAL
        taken = CHUNK + packets * bytes_a_packet
    size = known.get(name)
    return {
        "cache": name,
        "packets": packets,
        "taken": taken,
        "cache_bytes": size * 1024 if size else None,
        "share": taken / (size * 1024) if size else None,
    }
