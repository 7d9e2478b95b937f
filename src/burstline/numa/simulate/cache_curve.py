"""How many reads an L3 cache misses, by what is wanted of it: curves that were measured."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from burstline.errors import UsageError
from burstline.numa.balance.seen import Floats

CURVES = Path(__file__).parent / "curves"
MEASURED = "epyc-9004-virtual"


@dataclass(frozen=True)
class CacheCurve:
    """`missed_shares` of reads of random lines are not in L3 where `shares` of its size are in use, both rising."""

    shares: tuple[float, ...]
    missed_shares: tuple[float, ...]
    source: str = ""

    @classmethod
    def measured(cls) -> CacheCurve:
        """The one that comes with burstline."""
        return read_curve(CURVES / f"{MEASURED}.toml")

    def missed(self, shares: Floats) -> Floats:
        found: Floats = np.interp(shares, self.shares, np.maximum.accumulate(self.missed_shares))
        return found


@functools.cache
def read_curve(path: Path) -> CacheCurve:
    """What `benchmarks/harness/cache_curve.py` wrote. Raises UsageError, OSError."""
    import tomllib

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        shares, missed = (tuple(map(float, table[name])) for name in ("shares", "missed"))
        if not shares or len(shares) != len(missed) or sorted(shares) != list(shares):
            raise ValueError("shares and missed are two lists of the same length, and shares rise")
        if not all(0 <= share <= 1 for share in missed):
            raise ValueError("each of missed is a share of reads")
    except (ValueError, KeyError, TypeError) as error:
        hint = "see src/burstline/numa/simulate/curves for one"
        raise UsageError(f"{path} is no cache curve: {error}", hint) from None
    return CacheCurve(shares, missed, str(table.get("source", "")))
