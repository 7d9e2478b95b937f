"""Structured arrays of records as Arrow tables (the `arrow` extra)."""

from __future__ import annotations

from typing import Any

from burstline.errors import BurstlineError
from burstline.native.struct import Layout
from burstline.state.address_text import texts_of


def arrow_table(rows: Any, layout: Layout, text: dict[str, Any]) -> Any:
    """A pyarrow.Table with a column per field; `text` has the columns that are given as arrays instead."""
    import pyarrow as pa

    columns: dict[str, Any] = {}
    for name in rows.dtype.names:
        slot = layout.slot(name)
        if name in text:
            columns[name] = text[name]
        elif slot and slot.type.kind in ("ipv4", "ipv6"):
            columns[name] = texts_of(slot.type.kind, rows[name])
        elif slot and slot.type.kind == "bytes":
            columns[name] = pa.array(rows[name].tolist(), pa.binary())
        else:
            columns[name] = pa.array(rows[name].copy())
    return pa.table(columns)


def needs_arrow() -> None:
    """Raises BurstlineError where pyarrow is missing."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise BurstlineError("Arrow output needs pyarrow", 'pip install "burstline[arrow]"') from None
