"""The time of a packet by its port's stamp."""

from __future__ import annotations

from burstline.native.memory import load64, scale
from burstline.offload.mbuf import OL_FLAGS
from burstline.offload.stamps import Stamps


def stamped(stamps: Stamps, mbuf: int) -> int:
    """Nanoseconds since the epoch; 0 where there is no stamp, or none of this clock."""
    if load64(mbuf + OL_FLAGS) & stamps.flag == 0:
        return 0
    count = load64(mbuf + stamps.place) - stamps.base
    return stamps.time + scale(count, stamps.scale, 32) if 0 <= count <= stamps.most else 0
