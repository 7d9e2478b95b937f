"""`make demo`, on a small scale: what it must show, and that it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from burstline import dpdk
from namespaces import namespace, until

DEMO = Path(__file__).parents[1] / "demo" / "run.sh"


def start(folder: Path, **options: str) -> subprocess.Popen[str]:
    path = os.pathsep.join(p for p in sys.path if p)
    small = {"PACKETS": "20000", "SAMPLE": "500", "MEGABYTES": "3", "PYTHON": sys.executable, "TMPDIR": str(folder)}
    return subprocess.Popen(
        ["bash", str(DEMO)], env={**os.environ, "PYTHONPATH": path, **small, **options},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def namespaces(process: subprocess.Popen[str]) -> list[str]:
    """Those that the demo made."""
    found = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return re.findall(rf"demo-{process.pid}-\w+", found)


@pytest.fixture
def may_make_namespaces() -> None:
    if os.geteuid() != 0 or not dpdk.available():
        pytest.skip("needs root and DPDK")
    with namespace():  # which skips where root may not
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="needs not to be root")
def test_without_root_the_first_half_is_shown_and_the_rest_named(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "times as fast" in said
    assert "needs root" in said


@pytest.mark.parametrize("drivers", ["net_af_xdp net_af_packet", "net_missing net_af_packet"])
def test_the_demo_shows_all_that_it_promises_and_cleans_up(
    tmp_path: Path, may_make_namespaces: None, drivers: str
) -> None:
    with start(tmp_path, DRIVERS=drivers) as process:
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert re.search(r"^received +20,000 packets", said, re.M), said
    assert re.search(r"^[\d,]+ times as fast", said, re.M), said
    assert len(set(re.findall(r"^(?:sent|received) +3,000,000 bytes, SHA-256 (\w{64})$", said, re.M))) == 1, said
    assert "received: 1,000 datagrams from 10.7.0.1\n" in said
    assert re.search(r"^dropped: blocked source +1,000 packets", said, re.M), said
    if drivers.startswith("net_missing"):
        assert "net_missing does not work here: burstline: error: DPDK has no driver for net_missing" in said
        assert "the firewall runs on net_af_packet" in said
    assert namespaces(process) == []
    assert list(tmp_path.iterdir()) == []


def test_the_demo_cleans_up_when_it_is_interrupted(tmp_path: Path, may_make_namespaces: None) -> None:
    with start(tmp_path) as process:
        assert until(lambda: len(namespaces(process)) == 3)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=300)  # ends when nobody has the pipe open any more, firewall included
    assert process.returncode == 130, said
    assert namespaces(process) == []
    assert list(tmp_path.iterdir()) == []
