"""find_headers, compiled, with its results in memory."""

from __future__ import annotations

from typing import Any

from burstline.native.memory import store64
from burstline.offload.headers import find_headers


def headers(data: Any, size: int, found: int) -> int:
    shape, outer_l3, outer_l4, l3, l4, payload = find_headers(data, size)
    store64(found, shape)
    store64(found + 8, outer_l3)
    store64(found + 16, outer_l4)
    store64(found + 24, l3)
    store64(found + 32, l4)
    store64(found + 40, payload)
    return 0
