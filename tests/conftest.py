"""What all tests share: a cache of compiled pipelines for one session, and the folder of real captures."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("both_modes")

CAPTURES = Path(os.environ.get("BURSTLINE_CAPTURES", Path(__file__).parents[1].parent / "shared" / "captures"))


# Of modules with names from these, or with tests that need root for ports that poll, one test runs at a time.
LIVE = {"dpdk_live", "namespaces", "xdp_pair"}


def is_live(names: dict[str, object]) -> bool:
    return "needs_root" in names or any(getattr(value, "__module__", None) in LIVE for value in names.values())


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under pytest-xdist, the tests of a module stay in one process, in order: what they share is made once."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for module, tests in itertools.groupby(items, lambda item: item.getparent(pytest.Module)):
        live = module is not None and is_live(vars(module.obj))
        for item in tests:
            item.add_marker(pytest.mark.xdist_group("live" if live else item.path.stem))


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
