"""What all tests share: a cache of compiled pipelines for one session, and the folder of real captures."""

from __future__ import annotations

import functools
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("both_modes")

ROOT = Path(__file__).parents[1]
# However slowly a machine that others use makes examples: a test of ours that is slow is seen by --durations.
settings.register_profile("burstline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("burstline")
CAPTURES = Path(os.environ.get("BURSTLINE_CAPTURES", ROOT.parent / "shared" / "captures"))


# Of the modules that name one of these, for ports that poll or what root may do only, one test runs at a time.
LIVE = re.compile(r"^from (dpdk_live|namespaces|xdp_pair) import|\bneeds_root\b", re.MULTILINE)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Under pytest-xdist, the tests of a module stay in one process, in order: what they share is made once. All live
    tests stay in one. (Not by `--dist loadgroup`, which pytest-xdist 3.8 ignores without a word under pytest 9.2.)"""
    from xdist.scheduler import LoadScopeScheduling

    class ByModule(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid.partition("::")[0])

    return ByModule(config, log)


@functools.cache
def group_of(module: str) -> str:
    """What is run in one process with a test module, whose path is as in the names of its tests."""
    return "live" if LIVE.search((ROOT / module).read_text()) else module


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Shells that start a command in the background let it, and all that it starts, ignore Ctrl-C (POSIX, 2.11)."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Compiled pipelines are kept for this session: a pipeline that several tests use is compiled once, also where
    pytest-xdist runs the tests in several processes."""
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent  # of what each process has for itself
    place = place / "compiled"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURSTLINE_CACHE", str(place))
        yield place


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of real captures: `$BURSTLINE_CAPTURES`, or the one beside the repository; skips without it."""
    if not any(CAPTURES.glob("*/*.pcap*")):
        pytest.skip("no captures: set BURSTLINE_CAPTURES to a folder of them")
    return CAPTURES
