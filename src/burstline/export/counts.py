"""What sinks of flow records have done, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def export_lines(sinks: Sequence[Mapping[str, Any]]) -> list[str]:
    """For a terminal."""
    lines = []
    for each in sinks:
        rest = f", {each['waiting']:,} waiting" if each["waiting"] else ""
        why = f" ({each['trouble']})" if each["trouble"] else ""
        lines.append(f"exported to {each['to']}: {each['exported']:,} records, {each['refused']:,} refused{rest}{why}")
    return lines
