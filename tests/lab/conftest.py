"""Tests on real drivers, in a machine of the lab (`make lab`); elsewhere they are not collected."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

MACHINE = os.environ.get("BURSTLINE_LAB")
collect_ignore_glob = [] if MACHINE else ["*test_*.py"]
collect_ignore = [] if (MACHINE or "").startswith("numa") else ["numa"]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """What fails can be read while the others run, which takes minutes."""
    if report.failed:
        with open(Path(os.environ["BURSTLINE_LAB_RESULTS"], "failures.txt"), "a") as file:
            file.write(f"==== {report.nodeid} ({report.when})\n{report.longreprtext}\n{report.capstdout}\n")
