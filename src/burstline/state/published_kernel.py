"""The compiled side of `Published`."""

from __future__ import annotations

from burstline.native.memory import fetch_add, load64, load_acquire


def used_tables(tables_at: int, reading_at: int) -> int:
    """The tables that count, held until the next burst: they are not given back while `reading` names them."""
    tables = load_acquire(tables_at)
    while True:
        # An exchange, not a store: what comes after must not be read before others can see it.
        fetch_add(reading_at, tables - load64(reading_at))
        again = load_acquire(tables_at)
        if again == tables:
            return tables
        tables = again
