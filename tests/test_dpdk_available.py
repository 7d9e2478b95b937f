"""What is said where DPDK cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys


def python(script: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_where_dpdk_was_not_built_everything_says_what_to_install() -> None:
    result = python("""
import sys
sys.modules["burstline.dpdk._dpdk"] = None
import burstline.dpdk
from burstline.errors import BurstlineError
assert not burstline.dpdk.available()
for use in (burstline.dpdk.require, lambda: __import__("burstline.dpdk.port")):
    try:
        use()
    except BurstlineError as error:
        assert "without DPDK" in error.message
        assert "apt install libdpdk-dev" in error.hint
    else:
        raise AssertionError
""")
    assert (result.returncode, result.stderr) == (0, "")


def test_libraries_that_went_away_are_told_from_a_build_without_dpdk() -> None:
    result = python("""
import importlib.abc, sys
class Broken(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "burstline.dpdk._dpdk":
            from importlib.machinery import ModuleSpec
            return ModuleSpec(name, self)
    def create_module(self, spec):
        raise ImportError("librte_eal.so.23: cannot open shared object file")
    def exec_module(self, module): ...
sys.meta_path.insert(0, Broken())
import burstline.dpdk
from burstline.errors import BurstlineError
try:
    burstline.dpdk.require()
except BurstlineError as error:
    assert "does not load: librte_eal.so.23" in error.message, error.message
else:
    raise AssertionError
""")
    assert (result.returncode, result.stderr) == (0, "")
