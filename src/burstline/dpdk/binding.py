"""The Cython half, for the files of this room; importing it says what to install where it was not built."""

from __future__ import annotations

from burstline.dpdk import require

require()

from burstline.dpdk import _dpdk as native  # noqa: E402

__all__ = ["native"]
