"""Questions to a run: answered, refused, and never the end of it."""

from __future__ import annotations

import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from burstline.errors import BurstlineError
from burstline.view.client import NotAnswered, ask
from burstline.view.question_server import QuestionServer, answered
from burstline.view.socket_address import address_of


@bl.stage
def everything(pkt: Any) -> bl.Verdict:
    return bl.PASS


class OverFile:
    """A run that is not live."""

    view = None

    @property
    def running(self) -> bl.Pipeline:
        return bl.Pipeline(everything)


@pytest.fixture(params=["short", "longer than an address can be " * 5])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    folder = tmp_path / request.param
    folder.mkdir()
    yield folder / "1.sock"


def opened(path: Path) -> QuestionServer:
    """A server that answers by now: it begins in a thread of its own."""
    server = QuestionServer(OverFile())
    server.open(path)
    end = time.monotonic() + 120
    while True:
        try:
            ask(path, "flows")
            return server
        except NotAnswered:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_run_answers_and_goes_on_when_it_cannot(path: Path) -> None:
    server = opened(path)
    try:
        assert ask(path, "flows") == {"tables": [], "columns": [], "rows": [], "total": 0, "matched": 0}
        for question in ("drops", "measure"):
            with pytest.raises(BurstlineError, match="between ports only"):
                ask(path, question)
        with pytest.raises(BurstlineError, match="between ports only") as refused:
            ask(path, "move", worker=0, cpu=1)
        assert refused.value.hint == "over a file, give --cores to the run"
        with pytest.raises(BurstlineError, match="no question is called 'weather'"):
            ask(path, "weather")
        assert ask(path, "flows")["total"] == 0, "it goes on"
    finally:
        server.close()
    assert not path.exists()
    with pytest.raises(NotAnswered):
        ask(path, "flows")


@pytest.mark.parametrize("text", [b"\n", b"nonsense\n", b"[]\n", b'"flows"\n', b"{}\n", b'{"ask": 7}\n'])
def test_what_is_no_question_ends_nothing(path: Path, text: bytes) -> None:
    server = opened(path)
    try:
        with address_of(path) as address, socket.socket(socket.AF_UNIX) as peer:
            peer.connect(address)
            peer.sendall(text)
            peer.shutdown(socket.SHUT_WR)
            assert b'{"error": ' in peer.recv(1000)
        assert ask(path, "flows")["total"] == 0
    finally:
        server.close()


def test_an_error_of_ours_is_told_and_not_raised() -> None:
    def fails(asked: dict[str, Any]) -> Any:
        raise RuntimeError("on purpose")

    assert answered(fails, b"{}")["error"] == "internal error: RuntimeError: on purpose"


def test_nobody_else_may_ask(path: Path) -> None:
    server = opened(path)
    mode = path.stat().st_mode
    server.close()
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600


def test_a_socket_that_a_killed_process_left_is_taken_over(path: Path) -> None:
    path.touch()
    server = opened(path)
    try:
        assert ask(path, "flows")["total"] == 0
    finally:
        server.close()
