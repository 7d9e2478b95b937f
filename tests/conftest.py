"""What all tests share: a cache of compiled pipelines for one session, and the folder of real captures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("both_modes")

CAPTURES = Path(os.environ.get("BURSTLINE_CAPTURES", Path(__file__).parents[1].parent / "shared" / "captures"))


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Compiled pipelines are kept for this session: a pipeline that several tests use is compiled once."""
    place = tmp_path_factory.mktemp("compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURSTLINE_CACHE", str(place))
        yield place


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of real captures: `$BURSTLINE_CAPTURES`, or the one beside the repository; skips without it."""
    if not any(CAPTURES.glob("*/*.pcap*")):
        pytest.skip("no captures: set BURSTLINE_CAPTURES to a folder of them")
    return CAPTURES
