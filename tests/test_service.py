"""A run as a service: state that outlives it, another user once the ports are open, SIGHUP, word to who started it."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from both_modes import stage_of
from burstline import dpdk
from burstline.cli.main import main
from burstline.engine.config import Service as Settings
from burstline.engine.offline import FileRun
from burstline.engine.service import notify, privileges
from burstline.engine.service.service import Service
from burstline.errors import BurstlineError, UsageError
from burstline.state.saved.file import decoded
from capture_files import pcap_header, record
from test_flow_table import frame

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
needs_dpdk = pytest.mark.skipif(not dpdk.available(), reason="built without DPDK")
LIMIT = 240  # seconds that end what hangs


class Flow(bl.Record):
    packets: bl.u32


class Wider(bl.Record):
    bytes: bl.u64
    packets: bl.u64


COUNT = """
def count(pkt):
    flows[pkt].packets += 1
    seen.add()
    sizes.add(pkt.length)
    known.add(pkt.ipv4.src)
    tries[pkt.ipv4.src] += 1
    talkers.add(pkt)
    sources.add(pkt.ipv4.src)
    heavy.add(pkt)
    limit.allow(pkt)
"""


def made(record: Any = Flow, precision: float = 0.01, idle: float | None = None) -> dict[str, Any]:
    return {
        "flows": bl.FlowTable(record, 1000, idle=idle), "seen": bl.Counter("seen"),
        "sizes": bl.Histogram("sizes", precision), "known": bl.Set(100), "tries": bl.Map(100),
        "talkers": bl.CountMin(64), "sources": bl.HyperLogLog(4), "heavy": bl.HeavyHitters(top=8, flows=256),
        "limit": bl.Meter(rate=10, burst=10),
    }  # fmt: skip


def capture(place: Path, first: int, packets: int) -> str:
    from ipaddress import ip_address

    parts = [pcap_header("<")]
    for k in range(first, first + packets):
        flow = (ip_address(f"10.0.0.{k % 7}"), ip_address("10.0.1.1"), 17, k % 5, 53)
        parts.append(record("<", 1_700_000_000, k * 1000, frame(flow)))
    place.write_bytes(b"".join(parts))
    return str(place)


def run(state: dict[str, Any], path: str, kept: Path | None, workers: int = 1) -> list[str]:
    """What it says."""
    said: list[str] = []
    file_run = FileRun(bl.Pipeline(stage_of(COUNT, **state)), path, None, workers=workers)
    if kept:
        file_run.service = Service(Settings(state=str(kept)), said.append)
    file_run.run()
    return said


def summary(state: dict[str, Any]) -> dict[str, Any]:
    return {
        "flows": sorted(map(repr, state["flows"].to_numpy().tolist())), "seen": state["seen"].value,
        "sizes": (state["sizes"].counts(), state["sizes"].sum), "known": state["known"].to_numpy().tolist(),
        "tries": state["tries"].to_numpy().tolist(), "talkers": state["talkers"].to_numpy().tolist(),
        "sources": state["sources"].to_numpy().tolist(), "heavy": state["heavy"].top(),
        "limit": (state["limit"].allowed, state["limit"].exceeded),
    }  # fmt: skip


@pytest.mark.parametrize("workers", [1, 2])
def test_runs_that_keep_their_state_are_as_one(tmp_path: Path, workers: int) -> None:
    whole = made()
    run(whole, capture(tmp_path / "all.pcap", 0, 90), None, workers)
    for first in (0, 30, 60):
        state = made()
        said = run(state, capture(tmp_path / "part.pcap", first, 30), tmp_path / "kept", workers)
    assert "kept flows, seen, sizes, known, tries, talkers, sources, heavy, limit" in said[0]
    assert summary(state) == summary(whole)
    assert sorted(place.name for place in (tmp_path / "kept").iterdir()) == ["state.burstline"]


def test_a_record_that_is_laid_out_otherwise_is_put_back_by_its_fields_and_other_parameters_begin_anew(
    tmp_path: Path,
) -> None:
    run(made(), capture(tmp_path / "a.pcap", 0, 35), tmp_path / "kept")
    state = made(Wider, precision=0.1)
    said = run(state, capture(tmp_path / "b.pcap", 35, 35), tmp_path / "kept")
    assert "begun anew sizes" in said[0] and "flows" in said[0].partition("begun anew")[0]
    assert state["flows"].to_numpy()["packets"].tolist() == [2] * 35
    assert state["sizes"].count == 35 and state["seen"].value == 70


def test_records_of_one_worker_go_on_with_others_and_are_told(tmp_path: Path) -> None:
    run(made(), capture(tmp_path / "a.pcap", 0, 35), tmp_path / "kept", workers=2)
    state = made()
    said = run(state, capture(tmp_path / "b.pcap", 35, 35), tmp_path / "kept")
    assert "flows (of 2 workers)" in said[0]
    assert state["flows"].to_numpy()["packets"].tolist() == [2] * 35 and state["seen"].value == 70


def test_kept_records_do_not_leave_at_the_end(tmp_path: Path) -> None:
    left: list[Any] = []
    for first in (0, 35):
        state = made(idle=60)
        state["flows"].expired(lambda batch: left.extend(batch.tolist()))
        run(state, capture(tmp_path / "a.pcap", first, 35), tmp_path / "kept")
    assert not left and len(state["flows"]) == 35


def test_a_damaged_file_of_state_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "state.burstline").write_bytes(b"PK\3\4 torn")
    with pytest.raises(BurstlineError, match=r"state.burstline is damaged") as error:
        run(made(), capture(tmp_path / "a.pcap", 0, 1), tmp_path)
    assert "rm " in str(error.value)


def test_state_that_cannot_be_written_at_the_end_is_told_and_what_is_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(made(), capture(tmp_path / "a.pcap", 0, 35), tmp_path / "kept")
    before = (tmp_path / "kept/state.burstline").read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("burstline.engine.service.keeper.write_whole", full)
    state = made()
    file_run = FileRun(bl.Pipeline(stage_of(COUNT, **state)), capture(tmp_path / "b.pcap", 35, 35), None)
    file_run.service = Service(Settings(state=str(tmp_path / "kept")))
    with pytest.raises(BurstlineError, match=r"state was not written .*No space left"):
        file_run.run()
    assert file_run.report.received.packets == 35 and state["seen"].value == 70
    assert (tmp_path / "kept/state.burstline").read_bytes() == before


def test_state_that_cannot_be_read_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "state.burstline").mkdir()
    with pytest.raises(BurstlineError, match=r"state.burstline cannot be read"):
        run(made(), capture(tmp_path / "a.pcap", 0, 1), tmp_path)


def test_state_that_cannot_be_kept_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((BurstlineError, NotADirectoryError)):
        run(made(), capture(tmp_path / "a.pcap", 0, 1), tmp_path / "file" / "kept")


APP = """
import burstline as bl

class Flow(bl.Record):
    packets: bl.u64

flows = bl.FlowTable(Flow, 1000)
seen = bl.Counter("seen")

@bl.stage
def count(pkt):
    seen.add()
    flows[pkt].packets += 1
    return bl.send(0)

pipeline = bl.Pipeline(count)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that all may read, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="burstline-") as name:
        place = Path(name)
        place.chmod(0o755)
        (place / "app.py").write_text(APP)
        (place / "burstline.toml").write_text("[service]\nstate_interval = 0.1\n")
        (place / "kept").mkdir()
        (place / "kept").chmod(0o777)
        yield place


class Running:
    """A live run without a terminal of its own."""

    def __init__(self, folder: Path, *options: str, env: dict[str, str] | None = None) -> None:
        words = [sys.executable, "-m", "burstline", "run", "app.py", "dpdk:ring-loop,packets=64", "--no-huge", "--json"]
        words += ["--duration", "900"]  # if nobody is there any more to end it
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **(env or {})}
        self.said = folder / "said"
        with open(self.said, "w") as err:
            self.process = subprocess.Popen(
                [*words, "--keep-state", "kept", *options], cwd=folder, env=environment, text=True,
                stdout=subprocess.PIPE, stderr=err, start_new_session=True,
            )  # fmt: skip

    def wait_for(self, words: str) -> None:
        end = time.monotonic() + LIMIT
        while words not in self.said.read_text():
            assert self.process.poll() is None and time.monotonic() < end, self.said.read_text()
            time.sleep(0.02)

    def report(self) -> dict[str, Any]:
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=LIMIT)
        assert self.process.returncode == 0, self.said.read_text()
        found: dict[str, Any] = json.loads(out)
        return found


def counted(folder: Path, more_than: int = 0) -> int:
    """What the file of state has, as soon as that is more."""
    place, end = folder / "kept/state.burstline", time.monotonic() + LIMIT
    while time.monotonic() < end:
        if place.exists():
            found = int(decoded(place.read_bytes(), "state").states["app:seen"].copies[0]["value"])
            if found > more_than:
                return found
        time.sleep(0.02)
    raise AssertionError(f"never more than {more_than}")


@needs_dpdk
@needs_root
def test_a_service_goes_on_as_another_user_is_loaded_again_and_loses_little_when_it_is_killed(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        (folder / "notify").chmod(0o777)
        env = {"NOTIFY_SOCKET": str(folder / "notify"), "BURSTLINE_STATS": str(folder / "stats")}
        first = Running(folder, "--user", "nobody", "--metrics", "127.0.0.1:0", env=env)
        first.wait_for("running as nobody")
        manager.settimeout(30)
        assert manager.recv(4096).decode() == "READY=1\nSTATUS=1 workers"
        nobody = privileges.user_of("nobody")
        for task in Path(f"/proc/{first.process.pid}/task").iterdir():
            status = dict(line.split(":\t") for line in (task / "status").read_text().splitlines() if ":\t" in line)
            assert status["Uid"].split() == [str(nobody.uid)] * 4 and status["Gid"].split() == [str(nobody.gid)] * 4
            assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
            assert status["NoNewPrivs"].strip() == "1"
        (asked,) = (folder / "stats").glob("*.sock")
        assert asked.stat().st_uid == nobody.uid and stat.S_IMODE(asked.stat().st_mode) == 0o600
        first.wait_for("/metrics")
        where = re.search(r"http://\S+/metrics", first.said.read_text())
        assert where
        with urllib.request.urlopen(where[0], timeout=LIMIT) as answer:
            assert b"burstline_up 1.0" in answer.read()
        (beside,) = Path(f"/proc/{first.process.pid}/task/{first.process.pid}/children").read_text().split()
        assert f"Uid:\t{nobody.uid}\t{nobody.uid}" in Path(f"/proc/{beside}/status").read_text()
        before = counted(folder)
        assert counted(folder, before) > before  # packets go round, and are counted by nobody
        assert (folder / "kept/state.burstline").stat().st_uid == nobody.uid
        report = first.report()
        assert manager.recv(4096).decode().startswith("STOPPING=1")
    assert report["stopped"] and counted(folder) == report["packets_in"]

    second = Running(folder)
    second.wait_for("kept seen, flows")
    on = counted(folder, report["packets_in"])
    (folder / "app.py").write_text(APP.replace("seen.add()", "seen.add(2)"))
    second.process.send_signal(signal.SIGHUP)
    second.wait_for("changed count; kept seen, flows")
    (folder / "app.py").write_text(APP.replace("seen.add()", "seen.ad()"))
    second.process.send_signal(signal.SIGHUP)
    second.wait_for("the pipeline runs on as it was")
    on = counted(folder, on)
    second.process.kill()
    second.process.communicate()
    (folder / "kept/.state.burstline.torn.new").write_bytes(b"half of it")
    assert counted(folder) >= on  # the file is whole

    (folder / "app.py").write_text(APP)
    third = Running(folder)
    third.wait_for("kept seen, flows")
    assert counted(folder, on) > on
    third.report()
    assert [place.name for place in (folder / "kept").iterdir()] == ["state.burstline"]


def test_what_is_kept_depends_on_the_devices() -> None:
    assert privileges.needed(["ring-loop,packets=64", "net_null0,size=64", "net_pcap0,iface=lo"]) == ()
    assert privileges.needed(["0000:3b:00.0"]) == (privileges.IPC_LOCK,)
    assert privileges.needed(["net_af_packet0,iface=eth0"]) == (privileges.NET_ADMIN, privileges.NET_RAW)
    kept = (privileges.NET_ADMIN, privileges.NET_RAW, privileges.IPC_LOCK, privileges.BPF)
    assert privileges.needed(["xdp,iface=eth0", "0000:3b:00.0"]) == kept


def test_a_user_that_there_is_not_is_refused() -> None:
    for name in ("no-such-user", "4000000000", "root", "0"):
        with pytest.raises(UsageError):
            privileges.user_of(name)


def test_who_may_read_a_file_is_told_by_all_its_directories(folder: Path) -> None:
    user = privileges.User("somebody", 12345, 12345, (12345, 54321))
    assert privileges.may_read(user, str(folder / "app.py"))
    (folder / "app.py").chmod(stat.S_IRUSR)
    assert not privileges.may_read(user, str(folder / "app.py"))
    (folder / "app.py").chmod(0o644)
    folder.chmod(0o700)
    assert not privileges.may_read(user, str(folder / "app.py"))


def test_a_service_of_what_cannot_be_one_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "app.py").write_text(APP)
    app, path = str(tmp_path / "app.py"), capture(tmp_path / "a.pcap", 0, 1)
    assert main(["run", app, path, "--user", "nobody"]) == 2
    assert main(["run", app, path, "--interpret", "--keep-state", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "needs no privileges to give up" in said and "interpreted runs keep no state" in said


def test_nobody_is_told_where_nobody_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify.notify(READY="1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "none"))
    assert not notify.notify(READY="1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0burstline-test")
        monkeypatch.setenv("NOTIFY_SOCKET", "@burstline-test")
        notify.reloading()
        assert manager.recv(100).decode().startswith("RELOADING=1\nMONOTONIC_USEC=")
