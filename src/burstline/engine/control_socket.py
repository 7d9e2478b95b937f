"""The way from other processes into a live run: a socket beside the file of its statistics, for its user and root.

A request is a line of JSON with one name and its arguments, the answer a line with `done`, or `error` and `hint`.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from burstline.engine.stats_file import directory
from burstline.errors import BurstlineError, UsageError

SUFFIX = ".sock"
LONGEST = 1 << 16  # bytes of a request
PATIENCE = 60.0  # seconds for an answer: pages of large tables move meanwhile
Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class ControlSocket:
    """Answers requests of some names, one at a time, in a thread of its own. Where there is no place for a socket, it
    does nothing but complain in `warnings`."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers, self.warnings = answers, list[str]()
        self._socket: socket.socket | None = None
        self._path = Path()
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)

    def __enter__(self) -> ControlSocket:
        try:
            place = directory()
            _clean(place)
            self._path = place / f"{os.getpid()}{SUFFIX}"
            self._path.unlink(missing_ok=True)
            made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            with _address(self._path) as address:
                made.bind(address)
            os.chmod(self._path, 0o600)  # before anybody can connect
            made.listen(4)
        except OSError as error:
            self.warnings.append(f"`burstline move` will not reach this run: {error.strerror}")
            return self
        self._socket = made
        self._thread.start()
        return self

    def __exit__(self, *what: object) -> None:
        if self._socket is None:
            return
        with suppress(OSError):
            self._path.unlink()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # which ends the accept() that waits
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        assert self._socket is not None
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            with peer, suppress(OSError):
                peer.settimeout(PATIENCE)
                peer.sendall(json.dumps(self._answer(_line(peer))).encode() + b"\n")

    def _answer(self, text: bytes) -> Mapping[str, Any]:
        try:
            asked = json.loads(text)
            ((name, arguments),) = asked.items()
            answer = self._answers[name]
        except (ValueError, AttributeError, KeyError):
            return {"error": "the run does not know this request", "hint": "use the command of the same burstline"}
        try:
            return {"done": answer(arguments)}
        except BurstlineError as error:
            return {"error": error.message, "hint": error.hint}
        except Exception as error:  # of the request's making: the run goes on
            return {"error": f"{type(error).__name__}: {error}", "hint": None}


def ask(pid: int, place: Path, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a run answers whose statistics lie in `place`. Raises BurstlineError."""
    try:
        with _address(place / f"{pid}{SUFFIX}") as address, socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(PATIENCE)
            peer.connect(address)
            peer.sendall(json.dumps({name: arguments}).encode() + b"\n")
            found: Mapping[str, Any] = json.loads(_line(peer))
    except (OSError, ValueError) as error:
        raise BurstlineError(
            f"process {pid} does not answer: {getattr(error, 'strerror', None) or error}",
            "it must be a compiled run between ports, of this user or asked by root",
        ) from None
    if "error" in found:
        raise UsageError(found["error"], found.get("hint"))
    done: Mapping[str, Any] = found["done"]
    return done


def _line(peer: socket.socket) -> bytes:
    found = b""
    while not found.endswith(b"\n") and len(found) < LONGEST and (part := peer.recv(LONGEST)):
        found += part
    return found


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """Of a socket: the path itself may be longer than an address can be (unix(7): 108 bytes)."""
    opened = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{opened}/{path.name}"
    finally:
        os.close(opened)


def _clean(place: Path) -> None:
    """Remove what processes left behind that were killed."""
    for path in place.glob(f"*{SUFFIX}"):
        if path.stem.isdecimal() and not Path(f"/proc/{path.stem}").exists():
            with suppress(OSError):
                path.unlink()
