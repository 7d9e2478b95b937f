"""What stages add to counters is summed over a burst, and stored once at its end (compiler/counters.py)."""

from __future__ import annotations

from burstline.native.memory import external

begin_counts = external("burstline_begin_counts", 0)
store_counts = external("burstline_store_counts", 0)
