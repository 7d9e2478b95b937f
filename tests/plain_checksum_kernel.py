"""Whether a packet goes the short way."""

from __future__ import annotations

from burstline.native.memory import load64
from burstline.offload.checksums.verify_kernel import is_plain_and_right


def is_plain(mbufs: int) -> int:
    return 1 if is_plain_and_right(load64(mbufs), 0) else 0
