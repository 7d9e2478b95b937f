"""What lies in which cache line: the pipeline's records before and after they were laid out, and the lines that packets
touch along its paths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from burstline.engine.columns_used import Source, column, columns_used
from burstline.native.struct import LINE, FieldType, Layout, Slot, declared
from burstline.packet.extension import EXTENSION_PROTO
from burstline.packet.fields import HEADER
from burstline.packet.place import PLACES
from burstline.pipeline.accesses import Access, Accesses
from burstline.pipeline.layouts import layouts_of, room_of
from burstline.pipeline.needs import Needs
from burstline.state.arrangement import lines_touched
from burstline.state.base import State
from burstline.state.counter import Counter
from burstline.state.digest import Digest
from burstline.state.flow_table import FlowTable

ETHERNET, V4, V6 = 14, 20, 40  # bytes of headers without options
TUNNEL = ETHERNET + V4 + 8 + 8  # what lies before an inner packet: IPv4, UDP, VXLAN


def layout_report(accesses: Accesses, needs: Needs, source: Source, *, bucketed: bool = False) -> dict[str, Any]:
    """All of it, as `burstline layout --json` prints it: sizes and offsets in bytes, frequencies for each packet that
    enters the pipeline, lines of 64 bytes. A counter's line is the same for all packets, and costs none of them a line;
    what other state looks up depends on what is in it, and is not counted."""
    derived = layouts_of(accesses)
    columns = columns_used(needs, source, bucketed=bucketed)
    metadata = sum(column(name).width for name in columns) + sum(_foreseen(state) for state in accesses.state)
    paths = list(_paths(accesses, derived, needs, metadata))
    return {
        "records": [
            _record(accesses, number, state, derived) for number, state in enumerate(accesses.state) if _holds(state)
        ],
        "paths": paths,
        "uncounted": [
            {"state": accesses.names[number], "kind": type(state).__name__}
            for number, state in enumerate(accesses.state)
            if not _holds(state) and not isinstance(state, Counter)
        ],
        "packet": {
            name: sum(p["share"] * p[name] for p in paths)
            for name in ("metadata", "header", "bucket", "declared", "state")
        },
        "burst": {
            "columns": [{"name": n, "bytes": column(n).width, "writer": w} for n, w in columns.items()],
            "bytes": metadata,
        },
    }


# ---- records ----


def in_c(name: str, fields: Mapping[str, FieldType]) -> Layout:
    """The fields in order of declaration, with the padding that a C compiler would put between them."""
    slots, at = [], 0
    for field, kind in fields.items():
        at = -(-at // kind.align) * kind.align
        slots.append(Slot(field, kind, at))
        at += kind.size
    align = max((kind.align for kind in fields.values()), default=1)
    return Layout(name, tuple(slots), -(-at // align) * align, align)


def _holds(state: State) -> bool:
    return isinstance(state, (FlowTable, Digest))


def _record(accesses: Accesses, number: int, state: Any, derived: Mapping[int, Layout]) -> dict[str, Any]:
    before = in_c(state.record.__name__, declared(state.record))
    after = derived.get(number, state.record.layout)
    begins = state.geometry.record_at if isinstance(state, FlowTable) else 0
    return {
        "name": state.record.__name__,
        "state": accesses.names[number],
        "kind": type(state).__name__,
        "begins_at": begins,
        "before": drawn(accesses, number, before, begins),
        "after": drawn(accesses, number, after, begins),
        "bytes": {"before": before.size, "hot": after.size, "cold": after.cold_size},
    }


def drawn(accesses: Accesses, number: int, layout: Layout, begins: int) -> list[dict[str, Any]]:
    """The lines of a record that begins so far into its entry: what lies in each, padding included, and which stages
    touch it. Offsets are in the line."""
    lines: list[dict[str, Any]] = []
    for half, size in ((0, layout.size), (1, layout.cold_size)):
        at = begins if half == 0 else 0
        end = at + size
        for slot in sorted(layout.half(half), key=lambda s: s.offset):
            start = slot.offset + (begins if half == 0 else 0)
            _pieces(lines, half, at, start, {"field": None})
            _pieces(lines, half, start, start + slot.type.size, _field(accesses, number, slot))
            at = start + slot.type.size
        _pieces(lines, half, at, end, {"field": None})
    return lines


def _field(accesses: Accesses, number: int, slot: Slot) -> dict[str, Any]:
    users = accesses.users_of(Access(number, slot.name))
    return {
        "field": slot.name,
        "type": slot.type.name,
        "users": [{"stage": stage, "reads": reads, "writes": writes} for stage, reads, writes in users],
    }


def _pieces(lines: list[dict[str, Any]], half: int, start: int, end: int, about: dict[str, Any]) -> None:
    """Add what lies from `start` to `end`, a piece for each line that it reaches into."""
    while start < end:
        number = start // LINE
        if not lines or (lines[-1]["half"], lines[-1]["line"]) != (("hot", "cold")[half], number):
            lines.append({"half": ("hot", "cold")[half], "line": number, "pieces": []})
        size = min(end, (number + 1) * LINE) - start
        lines[-1]["pieces"].append({"offset": start % LINE, "bytes": size, **about})
        start += size


# ---- paths ----


@dataclass
class _Sum:
    share: float = 0.0
    header: float = 0.0
    bucket: float = 0.0
    declared: float = 0.0
    state: float = 0.0


def _paths(accesses: Accesses, derived: Mapping[int, Layout], needs: Needs, metadata: int) -> Iterator[dict[str, Any]]:
    """Those through the same stages are one; most packets first. Lines are the mean of their packets."""
    sums: dict[tuple[tuple[str, ...], str], _Sum] = {}
    for path in accesses.paths:
        found = sums.setdefault((path.stages, path.end), _Sum())
        found.share += path.weight
        found.header += path.weight * len(header_lines(path.touched, needs))
        for number, state in enumerate(accesses.state):
            touched = [name for owner, name in path.touched if owner == number]
            if not touched or not _holds(state):
                continue
            bucket, before, after = _state_lines(state, [t for t in touched if t], derived.get(number))
            found.bucket += path.weight * bucket
            found.declared += path.weight * before
            found.state += path.weight * after
    for (stages, end), found in sorted(sums.items(), key=lambda item: -item[1].share):
        yield {
            "stages": list(stages),
            "end": end,
            "share": found.share,
            "metadata": metadata / LINE,
            "header": found.header / found.share,
            "bucket": found.bucket / found.share,
            "declared": found.declared / found.share,
            "state": found.state / found.share,
        }


def table_lines(accesses: Accesses) -> dict[int, float]:
    """Lines of each flow table, by its number, for a packet that enters the pipeline: of its index and its records."""
    derived = layouts_of(accesses)
    found: dict[int, float] = {}
    for path in accesses.paths:
        for number, state in enumerate(accesses.state):
            touched = [name for owner, name in path.touched if owner == number]
            if touched and isinstance(state, FlowTable):
                bucket, _, after = _state_lines(state, [name for name in touched if name], derived.get(number))
                found[number] = found.get(number, 0.0) + path.weight * (bucket + after)
    return found


def _state_lines(state: Any, fields: list[str], derived: Layout | None) -> tuple[float, float, float]:
    """Lines of the index, and of the record with fields as declared and as laid out, for a packet that looks it up."""
    before = in_c("", declared(state.record))
    if derived is None:
        return 0.0, before.size / LINE, state.stride / LINE
    room = room_of(state)
    return 1.0, 1.0 + lines_touched(before, fields, room), 1.0 + lines_touched(derived, fields, room)


def _foreseen(state: State) -> int:
    """Bytes of each packet that are foreseen for it: an entry's number, and a key where it is not the usual one."""
    if not isinstance(state, FlowTable):
        return 0
    return 4 + (0 if state.keys.is_usual else state.keys.size + 8)


def header_lines(touched: Iterable[Access], needs: Needs) -> set[int]:
    """The lines of a plain packet that is touched so, counted from where its data begins, as in an mbuf. Payloads count
    as the line behind the headers'."""
    found = {0} if needs.full_parse or needs.eth else set()
    names = {str(owner) for owner, name in touched if isinstance(owner, str) and name}
    is_v6 = any(name.endswith("ipv6") for name in names) and not any(name.endswith("ipv4") for name in names)
    for owner, name in touched:
        if isinstance(owner, str) and name:
            found |= _lines_of_field(owner, name, V6 if is_v6 else V4)
    return found


def _lines_of_field(owner: str, name: str, ip: int) -> set[int]:
    level, _, header = owner.rpartition(".")
    begins = TUNNEL if level else 0
    if header in ("payload", "options"):
        return {(begins + ETHERNET + ip + 20) // LINE + 1}
    if header == "pkt":
        whole = name in ("fix_checksums", "checksums_ok")
        return {0, 1} if whole else set()
    if header not in HEADER:  # a protocol of the user's, behind those that are known
        return {(begins + ETHERNET + ip + 8) // LINE}
    begins += _place(header, ip)
    field = HEADER[header].field(name)
    first, size = (field.offset, field.width) if field else (0, HEADER[header].size)
    return set(range((begins + first) // LINE, (begins + first + size - 1) // LINE + 1))


def _place(header: str, ip: int) -> int:
    """Where a header lies in a packet without tags, options and extensions."""
    if header in EXTENSION_PROTO:
        return ETHERNET + V6
    if header not in PLACES:
        return 0
    column, added, _, _ = PLACES[header]
    return {"l2": 0, "l3": ETHERNET, "l4": ETHERNET + ip}[column] + added
