"""How the fields of a flow's records of several captures go together: what `FlowTable(merge=...)` may say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from burstline.errors import UsageError
from burstline.state.record import Record

Merge = Literal["add", "min", "max", "or", "first", "last"]
NUMBERS = ("uint", "int", "float")
KINDS: dict[str, tuple[str, ...] | None] = {  # of fields that each is for; None: all
    "add": NUMBERS,
    "min": (*NUMBERS, "ipv4"),
    "max": (*NUMBERS, "ipv4"),
    "or": ("uint", "int", "bool"),
    "first": None,
    "last": None,
}


def merge_of(record: type[Record], merge: Mapping[str, Merge]) -> dict[str, str]:
    """The same, checked. Raises UsageError."""
    name, fields = record.__name__, {slot.name: slot.type.kind for slot in record.layout}
    if not isinstance(merge, Mapping):
        raise UsageError(
            f"merge={merge!r} says nothing of the fields of {name}", 'merge={"packets": "add"}, or "apart"'
        )
    for field, rule in merge.items():
        if field not in fields:
            raise UsageError(f"merge names {field!r}, and {name} has no such field", f"it has {', '.join(fields)}")
        if rule not in KINDS:
            raise UsageError(f"merge says {rule!r} of {name}.{field}", f"it can say {', '.join(KINDS)}")
        allowed = KINDS[rule]
        if allowed is not None and fields[field] not in allowed:
            raise UsageError(f"{name}.{field} cannot be merged by {rule!r}", 'write "first" or "last"')
    if missing := [field for field in fields if field not in merge]:
        raise UsageError(f"merge does not say what becomes of {name}.{missing[0]}", f"it can say {', '.join(KINDS)}")
    return dict(merge)
