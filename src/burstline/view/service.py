"""A running engine's socket, at which it answers what its statistics do not tell: flows, dropped packets, the graph.

A line of JSON each way: `{"ask": "flows", ...}`, and `{"answer": ...}` or `{"error": ..., "hint": ...}`. Only the user
of the run, and root, can connect (unix(7): who may write to the socket's file). Threads of the engine's process answer,
off the workers' cores where there are others.
"""

from __future__ import annotations

import json
import os
import socketserver
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burstline.engine.threads import keep_off
from burstline.errors import BurstlineError
from burstline.view.socket_address import address_of

if TYPE_CHECKING:
    from burstline.view.questions import Viewed

LONGEST = 1 << 16  # bytes of a question


class RunService:
    """Answers about `run`, whose workers have these `cores`, from `open` until `close`."""

    def __init__(self, run: Viewed, cores: Sequence[int] = ()) -> None:
        self._run, self._cores = run, cores
        self._answers: Callable[[dict[str, Any]], Any] | None = None
        self._first = threading.Lock()
        self._server: socketserver.ThreadingUnixStreamServer | None = None
        self._path: Path | None = None

    def open(self, path: Path) -> None:
        """Listen. Raises OSError."""
        with suppress(FileNotFoundError):
            path.unlink()  # of a process that had our number and was killed
        answer, cores = self._answer, self._cores

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with keep_off(cores), suppress(OSError):
                    while line := self.rfile.readline(LONGEST):
                        self.wfile.write(json.dumps(answered(answer, line)).encode() + b"\n")

        with address_of(path) as address:
            server = socketserver.ThreadingUnixStreamServer(address, Handler, bind_and_activate=False)
            server.daemon_threads, server.block_on_close = True, False
            try:
                os.fchmod(server.fileno(), 0o600)  # the file gets the socket's mode
                server.server_bind()
                server.server_activate()
            except OSError:
                server.server_close()
                raise
        self._server, self._path = server, path
        threading.Thread(target=server.serve_forever, args=(0.1,), name="view", daemon=True).start()

    def close(self) -> None:
        """Nobody is answered any more."""
        if self._server is not None and self._path is not None:
            self._server.shutdown()
            self._server.server_close()
            with suppress(FileNotFoundError):
                self._path.unlink()
            self._server = None

    def _answer(self, asked: dict[str, Any]) -> Any:
        with self._first:
            if self._answers is None:  # imported now: what is imported at the start delays the first packet
                from burstline.view.questions import Questions

                self._answers = Questions(self._run).answer
        return self._answers(asked)


def answered(answer: Callable[[dict[str, Any]], Any], line: bytes) -> dict[str, Any]:
    """What is sent back for a line."""
    try:
        asked = json.loads(line)
        if not isinstance(asked, dict):
            raise BurstlineError("a question is a JSON object", '{"ask": "flows"}')
        return {"answer": answer(asked)}
    except BurstlineError as error:
        return {"error": error.message, "hint": error.hint}
    except (ValueError, TypeError, KeyError) as error:
        return {"error": f"not understood: {type(error).__name__}: {error}", "hint": None}
    except Exception as error:  # the run goes on, whatever a question does
        return {"error": f"internal error: {type(error).__name__}: {error}", "hint": "please report it"}
