"""The capture reader against capinfos and tshark, over a folder of real captures (absent: skipped)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from burstline.ports import capture_format as form
from burstline.ports.capture_format import Fault
from capture_files import read_until_fault

SECOND = 1_000_000_000
ROOT = Path(os.environ.get("BURSTLINE_CAPTURES", Path(__file__).parents[1].parent / "shared" / "captures"))
CAPTURES = sorted(p for p in ROOT.glob("*/*.pcap*"))
needs_captures = pytest.mark.skipif(not CAPTURES, reason="no captures: set BURSTLINE_CAPTURES to a folder of them")
LINKTYPES = {number for name, number in vars(form).items() if name.startswith("LINKTYPE_")}


def nanoseconds(text: str) -> int:
    seconds, _, fraction = text.partition(".")
    return int(seconds) * SECOND + int(fraction.ljust(9, "0"))


@needs_captures
@pytest.mark.skipif(not shutil.which("capinfos"), reason="capinfos is not installed")
def test_real_captures_have_the_counts_and_sizes_that_capinfos_tells() -> None:
    command = ["capinfos", "-T", "-m", "-r", "-M", "-c", "-d", *map(str, CAPTURES)]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    told = {name: (int(count), int(size)) for name, count, size in (line.split(",") for line in lines)}
    ours = {}
    for path in CAPTURES:
        packets, error = read_until_fault(path.read_bytes())
        if error and error.fault is Fault.NOT_A_CAPTURE:
            assert str(path) not in told
        else:
            assert error is None
            known = all(p.linktype in LINKTYPES for p in packets)
            if known or str(path) in told:  # capinfos refuses a link type or two
                # Off the packets of ATM and a few more it takes a pseudo-header.
                size = sum(p.length for p in packets) if known else told[str(path)][1]
                ours[str(path)] = len(packets), size
    assert ours == told


@needs_captures
@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_times_lengths_and_bytes_of_real_captures_equal_those_of_tshark() -> None:
    spread = [p for p in CAPTURES if p.suffix == ".pcapng" or p.stat().st_size > 40_000][::2] + CAPTURES[::12]
    compared = 0
    for path in sorted(set(spread)):
        packets, error = read_until_fault(path.read_bytes())
        if error:
            continue
        fields = ["frame.time_epoch", "frame.len", "frame.cap_len"]
        command = ["tshark", "-n", "-r", str(path), "-T", "fields", *(x for f in fields for x in ("-e", f))]
        out = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        theirs = [(nanoseconds(t), int(n), int(c)) for t, n, c in (line.split("\t") for line in out.splitlines())]
        assert [(p.time, p.length, len(p.data)) for p in packets] == theirs, path.name
        compared += len(theirs)
    assert compared > 1000
