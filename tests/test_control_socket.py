"""Requests into a run: answered, refused, and never the end of it."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from burstline.engine.control_socket import ControlSocket, ask
from burstline.errors import BurstlineError, UsageError

LONG = "long" * 40  # a socket's address has 108 bytes


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = tmp_path / LONG
    found.mkdir()
    monkeypatch.setenv("BURSTLINE_STATS", str(found))
    return found


def double(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    if asked["n"] == 0:
        raise UsageError("0 is nothing", "write 1")
    return {"n": 2 * asked["n"]} if asked["n"] < 100 else {"n": 1 // 0}


def test_requests_are_answered_one_after_the_other(place: Path) -> None:
    with ControlSocket({"double": double}) as served:
        assert not served.warnings
        assert [ask(os.getpid(), place, "double", {"n": n})["n"] for n in (1, 2, 3)] == [2, 4, 6]
        with pytest.raises(UsageError, match="0 is nothing") as refused:
            ask(os.getpid(), place, "double", {"n": 0})
        assert refused.value.hint == "write 1"
        with pytest.raises(UsageError, match="ZeroDivisionError"):
            ask(os.getpid(), place, "double", {"n": 100})
        with pytest.raises(UsageError, match="does not know"):
            ask(os.getpid(), place, "halve", {})
        assert ask(os.getpid(), place, "double", {"n": 5}) == {"n": 10}, "it goes on"
    assert list(place.iterdir()) == []
    with pytest.raises(BurstlineError, match="does not answer"):
        ask(os.getpid(), place, "double", {"n": 1})


@pytest.mark.parametrize("text", [b"\n", b"nonsense\n", b"[]\n", b'"double"\n', b"{}\n", b'{"a": 1, "b": 2}\n', b""])
def test_what_is_no_request_ends_nothing(place: Path, text: bytes) -> None:
    with ControlSocket({"double": double}):
        peer = socket.socket(socket.AF_UNIX)
        here = os.open(place, os.O_PATH)
        with peer:
            peer.connect(f"/proc/self/fd/{here}/{os.getpid()}.sock")
            peer.sendall(text)
            peer.shutdown(socket.SHUT_WR)
            assert b"does not know" in peer.recv(1000)
        os.close(here)
        assert ask(os.getpid(), place, "double", {"n": 1}) == {"n": 2}


def test_nobody_else_may_ask(place: Path) -> None:
    with ControlSocket({}):
        mode = (place / f"{os.getpid()}.sock").stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600


def test_sockets_of_processes_that_are_gone_are_removed(place: Path) -> None:
    (place / "4194305.sock").touch()  # above the greatest number that a process can have
    with ControlSocket({}):
        assert [path.name for path in place.iterdir()] == [f"{os.getpid()}.sock"]


def test_without_a_place_the_run_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BURSTLINE_STATS", str(tmp_path / "file/there"))
    with ControlSocket({}) as served:
        assert "will not reach this run" in served.warnings[0]
