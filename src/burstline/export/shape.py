"""What an exporter knows of the records that it gets: the rows of one flow table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Shape:
    """Rows are structured arrays of `dtype`. `kinds` tells of its columns which hold addresses (ipv4, ipv6), bytes,
    texts or times (ns since the epoch); `arrow` makes a pyarrow.Table of rows; `two_way` says that a row is both
    directions. Of columns with Python's numbers and None, `numbers` tells NumPy's type, and a number that is none of
    theirs, for formats that have nothing else for None."""

    name: str
    dtype: Any
    kinds: Mapping[str, str]
    arrow: Callable[[Any], Any]
    two_way: bool = False
    numbers: Mapping[str, tuple[str, int]] = field(default_factory=dict)
