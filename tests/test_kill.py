"""A run that is killed in the middle of traffic leaves nothing that stops the next one, or that stays for ever."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from burstline import dpdk
from namespaces import Line, line, until

if not dpdk.available():
    pytest.skip("built without DPDK", allow_module_level=True)
if os.geteuid() != 0:
    pytest.skip("needs root", allow_module_level=True)

from burstline.dpdk import hugepages, stale
from burstline.dpdk.device import Device
from burstline.errors import BurstlineError
from dpdk_live import packet

APP = """
import burstline as bl


@bl.stage
def across(pkt):
    return bl.send(1 - pkt.port)


pipeline = bl.Pipeline(across)
"""
PLACES = ("/dev/shm", "/var/run/dpdk", "/dev/hugepages")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "across.py").write_text(APP)
    return tmp_path / "across.py"


class Runs:
    """Runs of one command, one after the other; `stats` is where they publish."""

    def __init__(self, words: list[str], stats: Path) -> None:
        self.words, self.stats = words, stats

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[str]]:
        path = os.pathsep.join(p for p in sys.path if p)
        environment = {**os.environ, "PYTHONPATH": path, "BURSTLINE_STATS": str(self.stats)}
        with subprocess.Popen(
            self.words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def published(self) -> list[str]:
        return sorted(path.name for path in self.stats.glob("*")) if self.stats.is_dir() else []


def lying_about(pids: Sequence[int]) -> set[str]:
    """What has one of the processes' numbers in its name, and DPDK's files, which no run of burstline makes."""
    found = [str(p) for place in PLACES if Path(place).is_dir() for p in Path(place).rglob("*")]
    parts = ("rtemap", "/dpdk/", *(f"/{pid}-" for pid in pids), *(f".{pid}" for pid in pids))
    return {name for name in found if any(part in name for part in parts)}


def forwards(between: Line, process: subprocess.Popen[str], number: int) -> bool:
    """Whether a packet comes through from left to right."""
    raw = (socket.AF_PACKET, socket.SOCK_RAW)
    with between.left.socket(*raw) as sender, between.right.socket(*raw, socket.htons(0x88B5)) as receiver:
        sender.bind(("outside", 0))
        receiver.bind(("inside", 0x88B5))
        receiver.settimeout(0.05)

        def attempt() -> bool:
            if process.poll() is not None:
                said = process.communicate()[1]
                (pytest.skip if "use net_af_packet" in said else pytest.fail)(said)
            sender.send(packet(number))
            try:
                return receiver.recv(2048) == packet(number)
            except TimeoutError:
                return False

        return bool(until(attempt, 120))


@contextmanager
def traffic(between: Line) -> Iterator[None]:
    """Packets without a pause, from left to right."""
    stop = threading.Event()

    def send() -> None:
        with between.left.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
            sender.bind(("outside", 0))
            while not stop.is_set():
                sender.send(packet(0))

    sending = threading.Thread(target=send)
    sending.start()
    try:
        yield
    finally:
        stop.set()
        sending.join()


@pytest.mark.parametrize("huge", [False, True], ids=["no huge pages", "huge pages"])
@pytest.mark.parametrize("driver", ["net_af_packet", "net_af_xdp"])
def test_ports_on_interfaces_start_again_after_a_kill(driver: str, huge: bool, app: Path, tmp_path: Path) -> None:
    if huge and not hugepages.usable(600):
        pytest.skip("needs huge pages")
    with line() as between:
        devices = [f"dpdk:{driver},iface={port}" for port in ("fw-left", "fw-right")]
        words = [sys.executable, "-m", "burstline", "run", str(app), *devices, "--json"]
        runs = Runs(between.middle.command(*words, *([] if huge else ["--no-huge"])), tmp_path / "stats")
        pages = [pool.free for pool in hugepages.pools()]
        numbers, before = list[int](), lying_about([])
        for turn in range(3):
            with runs.started() as process:
                assert forwards(between, process, 1 + turn)
                numbers.append(process.pid)
                left = [name for name in runs.published() if not name.startswith(f"{process.pid}-")]
                assert not left and runs.published(), "what the one before left is gone"
                if turn == 2:
                    process.terminate()
                    assert process.wait(60) == 0
                else:
                    with traffic(between):
                        process.kill()
                        process.wait()
        assert runs.published() == []
        assert lying_about(numbers) <= before
        assert not huge or until(lambda: [pool.free for pool in hugepages.pools()] >= pages), (
            "huge pages are given back"
        )


def test_a_tap_interface_of_a_killed_run_is_gone_and_made_again(app: Path, tmp_path: Path) -> None:
    with line() as between:
        words = [sys.executable, "-m", "burstline", "run", str(app), "dpdk:net_tap,iface=tapped", "--no-huge", "--json"]
        runs = Runs(between.middle.command(*words), tmp_path / "stats")
        for _ in range(2):
            with runs.started() as process:
                assert until(lambda: runs.published() and has(between, "tapped"), 120), process.poll()
            assert until(lambda: not has(between, "tapped"))


def has(between: Line, interface: str) -> bool:
    shown = ["ip", "-n", between.middle.name, "link", "show", interface]
    return subprocess.run(shown, capture_output=True, check=False).returncode == 0


def test_the_socket_that_a_killed_vhost_leaves_does_not_stop_the_next(app: Path, tmp_path: Path) -> None:
    path = tmp_path / "vhost.sock"
    device = f"dpdk:net_vhost0,iface={path}"
    words = [sys.executable, "-m", "burstline", "run", str(app), device, "--no-huge", "--json"]
    runs = Runs(words, tmp_path / "stats")
    for _ in range(2):
        with runs.started() as process:
            assert until(lambda: listens(path), 120), process.poll()
            assert until(runs.published, 120)
        assert path.exists() and not listens(path)


def test_a_vhost_socket_has_one_listener_and_who_comes_second_leaves_it_alone(app: Path, tmp_path: Path) -> None:
    path = tmp_path / "vhost.sock"
    device = f"dpdk:net_vhost0,iface={path}"
    words = [sys.executable, "-m", "burstline", "run", str(app), device, "--no-huge", "--json"]
    runs = Runs(words, tmp_path / "stats")
    with runs.started() as first:
        assert until(lambda: listens(path), 120)
        with runs.started() as second:
            assert second.wait(120) == 1
            assert f"{path} is in use by another burstline process (pid {first.pid})" in second.communicate()[1]
        assert listens(path)


def test_a_socket_is_removed_only_when_nobody_listens_on_it(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    device = Device.parse(f"net_vhost0,iface={path}")
    stale.clear(device)  # nothing is there
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        with pytest.raises(BurstlineError, match=r"x.sock is in use by another process"):
            stale.clear(device)
        stale.clear(Device.parse(f"net_vhost0,iface={path},client=1"))
    assert path.exists()
    stale.clear(Device.parse(f"net_vhost0,iface={path},client=1"))
    assert path.exists(), "it is another's to listen on"
    stale.clear(device)
    assert not path.exists()
    path.write_text("no socket")
    stale.clear(device)
    assert path.read_text() == "no socket"


def listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


def test_a_stats_file_that_never_got_its_name_is_removed_when_it_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from burstline.engine.stats_file import StatsFile

    monkeypatch.setenv("BURSTLINE_STATS", str(tmp_path))
    old, fresh = tmp_path / "4194304-1.new", tmp_path / "4194304-2.new"
    old.touch()
    fresh.touch()
    os.utime(old, (0, 0))
    StatsFile().close()
    assert [path.name for path in tmp_path.iterdir()] == [fresh.name]
