"""Structured arrays of records as Arrow tables (the `arrow` extra)."""

from __future__ import annotations

import ipaddress
from typing import Any

from burstline.errors import BurstlineError
from burstline.native.struct import Layout


def arrow_table(rows: Any, layout: Layout, text: dict[str, list[str | None]]) -> Any:
    """A pyarrow.Table with a column per field; `text` has the columns that are given as strings instead."""
    try:
        import pyarrow as pa
    except ImportError:
        raise BurstlineError("Arrow output needs pyarrow", 'pip install "burstline[arrow]"') from None
    columns: dict[str, Any] = {}
    for name in rows.dtype.names:
        slot = layout.slot(name)
        if name in text:
            columns[name] = pa.array(text[name], pa.string())
        elif slot and slot.type.kind == "ipv4":
            columns[name] = pa.array([str(ipaddress.IPv4Address(int(v))) for v in rows[name]], pa.string())
        elif slot and slot.type.kind == "ipv6":
            columns[name] = pa.array([str(ipaddress.IPv6Address(v.tobytes())) for v in rows[name]], pa.string())
        elif slot and slot.type.kind == "bytes":
            columns[name] = pa.array(rows[name].tolist(), pa.binary())
        else:
            columns[name] = pa.array(rows[name].copy())
    return pa.table(columns)
