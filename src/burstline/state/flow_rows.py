"""Flows as rows: from the bytes of entries, and from interpreted flows, to structured arrays and their texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from burstline.native.struct import Struct, plain_value
from burstline.packet.flow_key import KEY_SIZE
from burstline.state.address_text import address_texts, texts_of
from burstline.state.flow_head import MARK_AT, REASONS, SIDE, Geometry
from burstline.state.flow_keys import FieldKeys, FlowKeys, TupleKeys

_TUPLE = [("version", "u1"), ("protocol", "u1"), ("src", "u1", 16), ("dst", "u1", 16), ("sport", "u2"), ("dport", "u2")]
_VLAN, _TUNNEL = [("vlan", "u2"), ("inner_vlan", "u2")], [("tunnel_id", "u4")]
_REASON = ("reason", "S7")


def _key_dtype(keys: FlowKeys) -> list[Any]:
    if isinstance(keys, FieldKeys):
        return [(p.name, *(p.numpy if isinstance(p.numpy, tuple) else (p.numpy,))) for p in keys.parts]
    assert isinstance(keys, TupleKeys)
    return _TUPLE + (_VLAN if keys.vlan else []) + (_TUNNEL if keys.tunnel else [])


def shown(
    keys: FlowKeys, at: Geometry, names: Iterable[str], entries: Any, cold: Any, reasons: Iterable[int] | None = None
) -> Any:
    """Rows of entries and their cold halves, each an array of bytes: what makes the flow, the record's fields in the
    order of `names`, and with `reasons` why it left."""
    import numpy as np

    n = len(entries)
    fields = [(name, slot.type.numpy) for name in names if (slot := at.record.slot(name)) is not None]
    out = np.zeros(n, [*_key_dtype(keys), *fields, *([_REASON] if reasons is not None else [])])
    if not n:
        return out
    key = np.ascontiguousarray(entries[:, : at.key])
    if isinstance(keys, TupleKeys):
        _show_tuple(out, keys, key)
    elif isinstance(keys, FieldKeys):
        for part in keys.parts:
            raw = np.ascontiguousarray(key[:, part.at : part.at + part.size])
            out[part.name] = raw if part.kind == "ipv6" else raw.view(f"<u{part.size}")[:, 0]
    for half, whole, base in ((0, entries, at.record_at), (1, cold, 0)):
        stored = np.ascontiguousarray(whole).view(_fields(at, half, whole.shape[1], base))[:, 0] if whole.size else None
        for slot in at.record:
            if slot.half == half and stored is not None:
                out[slot.name] = stored[slot.name]
    if reasons is not None:
        out["reason"] = np.array(REASONS, "S7")[np.asarray(reasons)]
    return out


def _fields(at: Geometry, half: int, size: int, base: int) -> Any:
    import numpy as np

    slots = [s for s in at.record if s.half == half]
    return np.dtype({"names": [s.name for s in slots], "formats": [s.type.numpy for s in slots],
                     "offsets": [base + s.offset for s in slots], "itemsize": size})  # fmt: skip


def _show_tuple(out: Any, keys: TupleKeys, key: Any) -> None:
    """Both ends, in the direction of the flow's first packet."""
    import numpy as np

    flipped = (key[:, MARK_AT + 1] & (SIDE >> 8)) != 0
    out["protocol"], out["version"] = key[:, 0], key[:, 1]
    ports = np.ascontiguousarray(key[:, 2:6]).view("<u2")
    out["sport"], out["dport"] = (
        np.where(flipped, ports[:, 1], ports[:, 0]),
        np.where(flipped, ports[:, 0], ports[:, 1]),
    )
    is_v6 = key[:, 1] == 6
    source, target = np.zeros((len(key), 16), "u1"), np.zeros((len(key), 16), "u1")
    source[:, :4], target[:, :4] = key[:, 8:12], key[:, 12:16]
    source[is_v6], target[is_v6] = key[is_v6, 8:24], key[is_v6, 24:40]
    out["src"] = np.where(flipped[:, None], target, source)
    out["dst"] = np.where(flipped[:, None], source, target)
    if keys.vlan:
        vlans = np.ascontiguousarray(key[:, KEY_SIZE : KEY_SIZE + 4]).view("<u2")
        out["vlan"], out["inner_vlan"] = vlans[:, 0], vlans[:, 1]
    if keys.tunnel:
        out["tunnel_id"] = np.ascontiguousarray(key[:, KEY_SIZE + 4 : KEY_SIZE + 8]).view("<u4")[:, 0]


def as_stored(at: Geometry, flows: Sequence[tuple[bytes, bool, Struct]]) -> tuple[Any, Any]:
    """Interpreted flows, each its key, whether it is flipped and its record, as entries and cold halves."""
    import numpy as np

    entries, cold = np.zeros((len(flows), at.stride), "u1"), np.zeros((len(flows), at.cold_stride), "u1")
    if not flows:
        return entries, cold
    hot_rows = entries.view(_fields(at, 0, at.stride, at.record_at))[:, 0]
    cold_rows = cold.view(_fields(at, 1, at.cold_stride, 0))[:, 0] if at.cold_stride else hot_rows
    for k, (key, flipped, record) in enumerate(flows):
        entries[k, : at.key] = np.frombuffer(key, "u1")
        entries[k, MARK_AT + 1] = SIDE >> 8 if flipped else 0
        for slot in at.record:
            (cold_rows if slot.half else hot_rows)[slot.name][k] = plain_value(record, slot)
    return entries, cold


def texts(keys: FlowKeys, rows: Any) -> dict[str, Any]:
    """The columns that are better read as text, as pyarrow arrays: addresses, reasons."""
    found: dict[str, Any] = {}
    if isinstance(keys, TupleKeys):
        found = {name: address_texts(rows[name], rows["version"]) for name in ("src", "dst")}
    elif isinstance(keys, FieldKeys):
        for part in keys.parts:
            if part.kind in ("ipv4", "ipv6"):
                found[part.name] = texts_of(part.kind, rows[part.name])
    if "reason" in rows.dtype.names:
        found["reason"] = reason_texts(rows["reason"])
    return found


def reason_texts(reasons: Any) -> Any:
    """Why records left, as a pyarrow array."""
    import numpy as np
    import pyarrow as pa

    numbers = np.zeros(len(reasons), "i4")
    for number, reason in enumerate(REASONS):
        numbers[reasons == reason.encode()] = number
    return pa.array(REASONS, pa.string()).take(pa.array(numbers))
