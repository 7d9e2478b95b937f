"""What flow tables will touch is prefetched some packets ahead: the index first, then the entry that it names."""

from __future__ import annotations

from burstline.native.memory import external

prefetch_slots = external("burstline_prefetch_slots", 1)  # of all tables, made by compiler/kernels.py
prefetch_entries = external("burstline_prefetch_entries", 1)
FAR, NEAR = 32, 16  # packets ahead
