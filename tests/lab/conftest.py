"""Tests on real drivers, in a machine of the lab (`make lab`); elsewhere they are not collected."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

collect_ignore_glob = [] if "BURSTLINE_LAB" in os.environ else ["test_*.py"]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """What fails can be read while the others run, which takes minutes."""
    if report.failed:
        with open(Path(os.environ["BURSTLINE_LAB_RESULTS"], "failures.txt"), "a") as file:
            file.write(f"==== {report.nodeid} ({report.when})\n{report.longreprtext}\n{report.capstdout}\n")
