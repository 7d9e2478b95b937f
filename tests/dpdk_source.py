"""DPDK's source, where there is one to read the lines in that recorded drivers and profiles cite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SOURCE = Path(os.environ.get("BURSTLINE_DPDK_SOURCE", "/nonexistent"))
_version = SOURCE / "VERSION"
needs_source = pytest.mark.skipif(
    not _version.is_file() or _version.read_text().strip() != "22.11.0",
    reason="BURSTLINE_DPDK_SOURCE names no checkout of DPDK's tag v22.11; later ones have other lines",
)
