"""Files of flow records: whole or not there, also when the process is killed; and one after the other."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from burstline.export.outlet import Outlet
from burstline.export.whole_file import PARTIAL, WholeFile, clear
from export_rows import rows, shape

parquet = pytest.importorskip("pyarrow.parquet")
WRITER = """
import sys
from export_rows import rows, shape
from burstline.export.outlet import Outlet
outlet = Outlet(sys.argv[1])
outlet.begin(shape())
given = rows(5000)
while True:
    outlet.put(given, waits=True)
"""


def write(spelled: str, *batches: Any) -> Outlet:
    outlet = Outlet(spelled)
    outlet.begin(shape())
    for batch in batches:
        outlet.put(batch, waits=True)
    outlet.close()
    return outlet


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_parquet_has_the_rows_with_addresses_as_text(tmp_path: Path) -> None:
    given = rows(2000, (4, 6, 0))
    outlet = write(f"{tmp_path}/f.parquet?group=600", given[:700], given[700:])
    found = parquet.read_table(tmp_path / "f.parquet")
    assert found.equals(shape().arrow(given))
    assert outlet.status() | {"to": ""} == {
        "to": "", "exported": 2000, "refused": 0, "waiting": 0, "trouble": "", "files": 1}  # fmt: skip
    assert names(tmp_path) == ["f.parquet"]


def test_many_addresses_are_written_as_inet_ntop_writes_them() -> None:
    import ipaddress
    import socket

    import numpy as np

    from burstline.state.address_text import ENOUGH, address_texts

    random = np.random.default_rng(3)
    raw = random.integers(0, 256, (20_000, 16), "u1")
    for k, one in enumerate(raw):  # runs of zeros of every length, at every place
        begin, length = k % 9, k // 9 % 17
        one[2 * begin : 2 * begin + length] = 0
    raw[:6] = [list(ipaddress.IPv6Address(text).packed)
               for text in ("::", "::1", "::ffff:1.2.3.4", "::1.2.3.4", "1::", "1:0:0:2::")]  # fmt: skip
    versions = random.choice([4, 6, 0], len(raw)).astype("u1")
    versions[:6] = 6
    expected = [socket.inet_ntoa(a[:4].tobytes()) if v == 4 else socket.inet_ntop(socket.AF_INET6, a.tobytes())
                if v == 6 else None for v, a in zip(versions, raw, strict=True)]  # fmt: skip
    assert address_texts(raw, versions).to_pylist() == expected
    few = ENOUGH - 1
    assert address_texts(raw[:few], versions[:few]).to_pylist() == expected[:few]


def test_arrow_csv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import csv

    given = rows(300, (4, 6, 0))
    write(f"{tmp_path}/f.arrows", given)
    with pa.ipc.open_stream(tmp_path / "f.arrows") as reader:
        assert reader.read_all().equals(shape().arrow(given))
    write(f"{tmp_path}/f.csv", given)
    assert csv.read_csv(tmp_path / "f.csv").column("bytes").to_pylist() == list(range(300))
    write(f"json:{tmp_path}/f", given)
    lines = [json.loads(line) for line in (tmp_path / "f").read_text().splitlines()]
    assert [line.get("src") for line in lines] == shape().arrow(given).column("src").to_pylist()
    assert lines[0]["name"] == "616263"


def test_a_named_pipe_is_read_while_it_is_written(tmp_path: Path) -> None:
    pipe, found = tmp_path / "pipe", bytearray()
    os.mkfifo(pipe)

    def read() -> None:
        found.extend(pipe.read_bytes())

    outlet = Outlet(f"json:{pipe}?patience=60s")
    outlet.begin(shape())
    outlet.put(rows(10), waits=True)
    reader = threading.Thread(target=read)
    reader.start()
    outlet.close()
    reader.join()
    assert found.count(b"\n") == outlet.status()["exported"] == 10


def test_files_are_rotated_by_size_and_none_replaces_another(tmp_path: Path) -> None:
    batches = [rows(5000, seed=k) for k in range(6)]
    outlet = write(f"{tmp_path}/%Y.parquet?rotate=100kB&group=1000", *batches)
    files = list(tmp_path.glob("*.parquet"))
    assert len(files) == outlet.status()["files"] > 1
    assert sum(parquet.read_metadata(path).num_rows for path in files) == outlet.status()["exported"] == 30_000
    assert not list(tmp_path.glob(f".*{PARTIAL}"))


def test_files_are_rotated_by_time_also_when_nothing_comes(tmp_path: Path) -> None:
    outlet = Outlet(f"{tmp_path}/%Y/%j-%H%M%S.parquet?rotate=1s")
    outlet.begin(shape())
    outlet.put(rows(10), waits=False)
    while outlet.status()["files"] < 1:
        time.sleep(0.02)
    assert outlet.status()["exported"] == 10
    outlet.put(rows(10), waits=False)
    outlet.close()
    assert len(list(tmp_path.glob("*/*.parquet"))) == outlet.status()["files"] == 2


def environment() -> dict[str, str]:
    """Of a child that imports this module."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def test_a_full_disk_leaves_no_file_and_is_counted(tmp_path: Path) -> None:
    (tmp_path / "f.parquet").write_bytes(b"from before")
    code = (
        "import resource, sys, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from test_export_files import *\n"
        "outlet = write(sys.argv[1], *[rows(5000, seed=k) for k in range(6)])\n"
        "print(outlet.status()['exported'], outlet.status()['refused'], outlet.failure.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"{tmp_path}/f.parquet?group=1000"], capture_output=True, text=True, timeout=120,
        env=environment(),
    )  # fmt: skip
    assert done.stdout.startswith("0 30000 "), done.stderr
    assert "File too large" in done.stdout
    assert names(tmp_path) == ["f.parquet"]
    assert (tmp_path / "f.parquet").read_bytes() == b"from before"


def test_a_killed_process_leaves_only_whole_files_and_the_next_one_clears_the_rest(tmp_path: Path) -> None:
    spelled = f"{tmp_path}/%H%M%S.parquet?rotate=200kB&group=5000"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, spelled], env=environment())
    try:
        while len(list(tmp_path.glob("*.parquet"))) < 3 or not list(tmp_path.glob(f".*{PARTIAL}")):
            assert writer.poll() is None
            time.sleep(0.01)
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    files = list(tmp_path.glob("*.parquet"))
    for path in files:
        assert parquet.read_table(path).num_rows % 5000 == 0
    write(spelled, rows(10))
    assert not list(tmp_path.glob(f".*{PARTIAL}"))
    assert set(files) < set(tmp_path.glob("*.parquet"))


def test_what_another_process_is_writing_is_not_cleared(tmp_path: Path) -> None:
    file = WholeFile(tmp_path / "f.parquet")
    assert clear(tmp_path, ".parquet") == []
    file.file.write(b"whole")
    file.commit()
    assert (tmp_path / "f.parquet").read_bytes() == b"whole"


def test_a_file_that_is_just_being_opened_is_not_lost_to_another_run_that_clears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks, cleared = fcntl.flock, list[list[Path]]()

    def lock(file: Any, how: int) -> None:
        if not cleared:  # between open and lock
            cleared.append([])
            cleared[0] += clear(tmp_path, ".parquet")
        locks(file, how)

    monkeypatch.setattr(fcntl, "flock", lock)
    file = WholeFile(tmp_path / "f.parquet")
    file.file.write(b"whole")
    assert len(cleared[0]) == 1
    file.commit()
    assert names(tmp_path) == ["f.parquet"]


def test_files_of_one_name_are_whole_whoever_clears_and_whichever_is_last(tmp_path: Path) -> None:
    over = threading.Event()

    def clears() -> None:
        while not over.is_set():
            clear(tmp_path, ".parquet")

    def writes(letter: bytes) -> None:
        for _ in range(1000):
            file = WholeFile(tmp_path / "f.parquet")
            file.file.write(letter * 10)
            file.commit()

    with ThreadPoolExecutor(3) as pool:
        clearing = pool.submit(clears)
        try:
            for done in [pool.submit(writes, letter) for letter in (b"a", b"b")]:
                done.result()
        finally:
            over.set()
        clearing.result()
    assert (tmp_path / "f.parquet").read_bytes() in (b"a" * 10, b"b" * 10)
    assert names(tmp_path) == ["f.parquet"]
