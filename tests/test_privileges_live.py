"""A run between interfaces of the kernel goes on as another user, with what their drivers need of capabilities."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from burstline import dpdk
from burstline.engine.service import privileges
from namespaces import Line, line, until

if not dpdk.available():
    pytest.skip("built without DPDK", allow_module_level=True)
if os.geteuid() != 0:
    pytest.skip("needs root", allow_module_level=True)

APP = """
import burstline as bl

@bl.stage
def across(pkt):
    return bl.send(1 - pkt.port)

pipeline = bl.Pipeline(across)
"""


def come_through(between: Line, sender: socket.socket, receiver: socket.socket, text: bytes) -> None:
    receiver.settimeout(0.05)

    def attempt() -> bool:
        between.check()
        sender.sendto(text, ("10.7.0.2", 5000))
        try:
            return receiver.recv(100) == text
        except TimeoutError:
            return False

    assert until(attempt, 240), "nothing came through"


@pytest.mark.parametrize("driver", ["net_af_packet", "xdp"])
def test_packets_go_on_as_nobody_and_no_program_is_left_behind(driver: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "burstline.toml").write_text('[service]\nuser = "nobody"\n')
    user, kept = privileges.user_of("nobody"), sum(1 << number for number in privileges.needed([driver]))
    with line() as between:
        between.left.ip("address add 10.7.0.1/24 dev outside")
        between.right.ip("address add 10.7.0.2/24 dev inside")
        sender = between.left.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver = between.right.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sender, receiver:
            receiver.bind(("10.7.0.2", 5000))
            between.start(tmp_path / "app.py", driver)
            come_through(between, sender, receiver, b"first")
            assert between.process is not None
            held = {}
            for task in Path(f"/proc/{between.process.pid}/task").iterdir():
                status = dict(each.split(":\t") for each in (task / "status").read_text().splitlines() if ":\t" in each)
                assert status["Uid"].split() == [str(user.uid)] * 4 and status["NoNewPrivs"].strip() == "1"
                held[int(task.name)] = int(status["CapEff"], 16)
            assert held[between.process.pid] == kept
            assert all(capabilities & ~kept == 0 for capabilities in held.values())
            assert list(held.values()).count(kept) >= 2  # a worker, too
            come_through(between, sender, receiver, b"second")
            report = between.stop()
        shown = between.middle.command("ip", "-d", "link", "show", "fw-left")
        text = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
    assert report["packets_out"] >= 2 and "prog/xdp" not in text
