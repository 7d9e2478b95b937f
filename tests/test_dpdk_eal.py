"""EAL's arguments, its start, and what is said where there is no DPDK."""

from __future__ import annotations

import pytest

from burstline import dpdk
from burstline.dpdk.device import Device
from burstline.errors import BurstlineError

if not dpdk.available():
    pytest.skip("built without DPDK", allow_module_level=True)

from burstline.dpdk import eal, hugepages
from dpdk_live import python

NIC = Device.parse("0000:3b:00.0,dv_flow_en=1")
NULL = Device.parse("net_null")


def test_without_huge_pages_no_file_is_shared_and_memory_is_limited() -> None:
    chosen = eal.arguments((), [NULL], False, 300)
    assert chosen[2:] == ["--no-huge", "--no-shconf", "-m", "300", "--no-pci", "--no-telemetry"]
    assert chosen[0] == "--lcores"
    assert chosen[1].startswith("0@(")


@pytest.mark.skipif(not hugepages.usable(64), reason="no free huge pages")
def test_free_huge_pages_are_taken() -> None:
    chosen = eal.arguments((), [], None, 64)
    assert "--in-memory" in chosen
    assert "--no-huge" not in chosen
    assert "-m" not in chosen


def test_asked_for_pci_devices_are_all_that_is_probed() -> None:
    chosen = eal.arguments((), [NULL, NIC], False, 64)
    assert chosen[chosen.index("--allow") + 1] == "0000:3b:00.0,dv_flow_en=1"
    assert "--no-pci" not in chosen


@pytest.mark.parametrize(
    ("given", "kept_out"),
    [
        (["--huge-dir=/mnt"], ["--no-huge", "--in-memory", "--no-shconf"]),
        (["-m1024", "--no-huge"], ["--in-memory"]),
        (["-l", "0"], ["--lcores"]),
        (["-l0-1"], ["--lcores"]),
        (["--allow=0000:01:00.0"], ["--no-pci"]),
        (["--no-pci"], ["--allow"]),
        (["--telemetry"], ["--no-telemetry"]),
    ],
)
def test_given_arguments_override_ours(given: list[str], kept_out: list[str]) -> None:
    chosen = eal.arguments(given, [NIC], False, 64)
    assert chosen[-len(given) :] == given
    ours = chosen[: -len(given)]
    assert not set(kept_out) & set(ours)
    assert ours.count("-m") == ("--no-huge" in ours)


def test_no_huge_given_shares_no_files_either() -> None:
    assert "--no-shconf" in eal.arguments(["--no-huge"], [], None, 64)
    assert "-m" in eal.arguments(["--no-huge"], [], None, 64)
    assert "--no-shconf" not in eal.arguments(["--no-huge", "--file-prefix=x"], [], None, 64)


def test_huge_pages_that_are_not_there_cannot_be_demanded() -> None:
    with pytest.raises(BurstlineError, match=r"(?s)asked for.*nr_hugepages"):
        eal.arguments((), [], True, 1 << 30)


def test_a_start_is_silent_happens_once_and_leaves_the_thread_unpinned() -> None:
    result = python("""
import os
from burstline.dpdk import eal, thread
from burstline.errors import BurstlineError
before = os.sched_getaffinity(0)
started = eal.start(huge=False, memory=64)
assert eal.start() is started is eal.running()
assert os.sched_getaffinity(0) == before
assert thread.lcore() == 0
try:
    eal.start(huge=True)
except BurstlineError as error:
    assert "without huge pages" in error.message
else:
    raise AssertionError
""")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--no-such-option"], "EAL refuses its arguments: .*no-such-option"),
        (["--no-huge", "--in-memory"], "DPDK did not start"),
        (["-l", "99999"], "DPDK did not start"),
    ],
)
def test_arguments_that_eal_refuses_give_one_message(given: list[str], message: str) -> None:
    result = python(f"""
import re
from burstline.dpdk import eal
from burstline.errors import BurstlineError
for _ in range(2):
    try:
        eal.start({given!r}, memory=64)
    except BurstlineError as error:
        assert re.search({message!r}, error.message), error.message
        assert len(str(error).splitlines()) < 10, str(error)
    else:
        raise AssertionError
""")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
