"""Compiled code touches nothing outside of a packet: packets between unreadable pages do not end the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("guard_page.py")


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
def test_no_packet_makes_compiled_code_reach_outside_of_it() -> None:
    done = run([str(PROGRAM)])
    assert done.returncode == 0, f"ended by signal {-done.returncode}: {done.stderr}"
    assert int(done.stdout) > 40_000


@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
@pytest.mark.parametrize("offset", ["-1", "len(packet)"])
def test_a_byte_outside_of_the_cage_would_be_noticed(offset: str) -> None:
    script = "import ctypes, guard_page as g; packet = b'abc'; "
    script += f"at = g.Cage().put(packet, {offset != '-1'}); ctypes.string_at(at + {offset}, 1)"
    assert run(["-c", script]).returncode < 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
def test_the_parser_finds_the_same_in_mutated_packets_and_reads_nothing_outside() -> None:
    """A little of what `make fuzz` does."""
    done = run([str(PROGRAM.with_name("fuzz_parser.py")), "--packets", "20000", "--processes", "1", "--seed", "5"])
    assert done.returncode == 0, done.stderr
    assert "no difference, no access outside" in done.stdout
