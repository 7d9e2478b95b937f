"""`burstline capture`: what an interface gets is in the files, filtered and cut as asked; what cannot be says so."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from burstline import dpdk
from burstline.cli.capture import add_arguments, options_of
from burstline.cli.main import main
from burstline.engine.stats_reader import RunFile, open_runs
from burstline.errors import BurstlineError
from burstline.ports.capture_reader import read_capture
from burstline.ports.decompress import open_capture
from dpdk_live import alone, needs_root, veth

needs_dpdk = pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
PACKETS, WINDOW = 2400, 200  # the interface's ring has room for so many, however late a worker gets a core


def frame(number: int) -> bytes:
    """UDP to port 53 or 54, with the number at its end."""
    size = 28 + 4 + number % 900
    ip = b"\x45\0" + size.to_bytes(2, "big") + bytes(4) + b"\x40\x11\0\0" + bytes((10, 0, 0, 1, 10, 9, 0, 1))
    udp = b"\x13\x88" + (53 + number % 2).to_bytes(2, "big") + (size - 20).to_bytes(2, "big") + bytes(2)
    return bytes(12) + b"\x08\0" + ip + udp + bytes(size - 32) + number.to_bytes(4, "big")


def captured(folder: str, words: list[str]) -> dict[str, Any]:
    """In a network of its own: packets that go in at `left` while `right` is captured, until all are counted."""
    veth()
    os.environ["BURSTLINE_STATS"] = folder
    command = [
        sys.executable,
        "-m",
        "burstline",
        "capture",
        "right",
        "--no-huge",
        "--json",
        "--duration",
        "240",
        *words,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while (run := running()) is None and process.poll() is None:
            time.sleep(0.05)
        if run is not None:
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
                wire.bind(("left", 0))
                for first in range(0, PACKETS, WINDOW):
                    for number in range(first, first + WINDOW):
                        wire.send(frame(number))
                    while process.poll() is None and came(run) < first + WINDOW:
                        time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            run.close()
        out, err = process.communicate()
    return {"code": process.returncode, "report": json.loads(out) if out else {}, "err": err}


def came(run: RunFile) -> int:
    return sum(each.received.packets for each in run.read().workers)


def running() -> RunFile | None:
    with suppress(BurstlineError):
        (run,) = open_runs(None)
        return run
    return None


def packets_in(paths: Sequence[str]) -> list[tuple[bytes, int]]:
    found = []
    for path in paths:
        with open_capture(path) as stream:
            found += [(bytes(packet.data), packet.length) for packet in read_capture(stream, path)]
    return found


@pytest.mark.parametrize(("words", "kind"), [
    ("x.pcapng", "none"), ("x.pcapng.zst", "zstd"), ("x.pcap.gz", "gzip"), ("x.zst --compress none", "none"),
    ("out/ --compress zstd", "zstd"), ("-", "none"),
])  # fmt: skip
def test_a_file_is_compressed_as_its_name_says_unless_told_otherwise(words: str, kind: str) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert options_of(parser.parse_args(["lo", "-o", *words.split()])).compress == kind


@needs_root
@needs_dpdk
@pytest.mark.parametrize("workers", ["1", "2"])
def test_all_that_an_interface_gets_is_in_the_files_of_a_directory(tmp_path: Path, workers: str) -> None:
    words = ["-o", f"{tmp_path}/out/", "--rotate", "200kB", "--compress", "zstd", "--workers", workers]
    found = alone(captured, str(tmp_path), words)
    assert found["code"] == 0, found["err"]
    report = found["report"]
    assert report["packets_in"] == report["packets_out"] == PACKETS and report["drops"] == {}
    assert len(report["files"]) > 3 and report["most_waiting"] > 0
    assert report["files"] == sorted(str(path) for path in (tmp_path / "out").iterdir())
    assert sorted(packets_in(report["files"])) == sorted((frame(k), len(frame(k))) for k in range(PACKETS))


@needs_root
@needs_dpdk
def test_what_does_not_match_is_dropped_for_that_and_packets_are_cut(tmp_path: Path) -> None:
    out = f"{tmp_path}/out.pcap"
    found = alone(captured, str(tmp_path), ["-o", out, "--filter", "udp port 53", "--snaplen", "60"])
    assert found["code"] == 0, found["err"]
    assert found["report"]["drops"]["udp port 53"]["packets"] == found["report"]["packets_out"] == PACKETS // 2
    wanted = [frame(k) for k in range(0, PACKETS, 2)]
    assert packets_in([out]) == [(data[:60], len(data)) for data in wanted]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere0"], "there is no interface nowhere0"),
        (["lo", "--rotate", "1GB"], "a capture that begins new files is written to a directory"),
        (["lo", "--rotate", "tomorrow"], "--rotate tomorrow is no size of 64 KiB or more"),
        (["lo", "--rotate", "12"], "--rotate 12 is no size"),
        (["lo", "--files", "3"], "--files keeps the last of several files"),
        (["lo", "--files", "-1"], "--files -1 is less than nothing"),
        (["lo", "--snaplen", "0"], "--snaplen 0 keeps nothing"),
        (["lo", "--level", "3"], "--level is of compression"),
        (["lo", "--compress", "zstd", "--level", "23"], "--level 23 is none of zstd's"),
        (["lo", "--compress", "gzip", "--level", "0"], "--level 0 is none of gzip's"),
        (["lo", "--filter", "tcp prot 80"], "prot"),
        (["lo", "--buffer", "lots"], "--buffer lots is no size"),
    ],
)
def test_what_cannot_be_says_so(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["capture", *words, "-o", str(tmp_path / "out.pcapng")]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
