"""A running engine's socket, at which it answers what its statistics do not tell: flows, dropped packets, the graph.

A line of JSON each way: `{"ask": "flows", ...}`, and `{"answer": ...}` or `{"error": ..., "hint": ...}`. Only the user
of the run, and root, can connect (unix(7): who may write to the socket's file). Threads of the engine's process answer,
off the workers' cores where there are others.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burstline.engine.threads import keep_off
from burstline.errors import BurstlineError
from burstline.view.socket_address import address_of

if TYPE_CHECKING:
    from socketserver import ThreadingUnixStreamServer

    from burstline.view.questions import Viewed

LONGEST = 1 << 16  # bytes of a question
POLL = 0.1  # seconds in which the end is noticed
PATIENCE = 5.0  # seconds in which it listens


class QuestionServer:
    """Answers about `run`, whose workers have these `cores`, from `open` until `close`."""

    def __init__(self, run: Viewed, cores: Sequence[int] = ()) -> None:
        self._run, self._cores = run, cores
        self._answers: Callable[[dict[str, Any]], Any] | None = None
        self._lock = threading.Lock()
        self._server: ThreadingUnixStreamServer | None = None
        self._path: Path | None = None
        self._begun = threading.Event()  # it listens, or cannot

    def open(self, path: Path) -> None:
        """Listen there, soon: in a thread of its own, since packets wait for who calls this."""
        self._path = path
        threading.Thread(target=self._serve, args=(path,), name="view", daemon=True).start()

    def hand_over(self, uid: int, gid: int) -> None:
        """This user can connect from now on. Waits until it listens: the user may not be able to make the socket."""
        self._begun.wait(PATIENCE)
        with self._lock, suppress(OSError):  # root can still ask
            if self._path is not None:
                os.chown(self._path, uid, gid)

    def close(self) -> None:
        """Nobody is answered any more."""
        with self._lock:
            server, path, self._server, self._path = self._server, self._path, None, None
        if path is not None:
            with suppress(OSError):  # it may be of root, whom this run was: the next one removes it
                path.unlink(missing_ok=True)
        if server is not None:
            threading.Thread(target=_end, args=(server,), daemon=True).start()  # the run need not wait for that

    def _serve(self, path: Path) -> None:
        from socketserver import StreamRequestHandler, ThreadingUnixStreamServer

        answer, cores = self._answer, self._cores

        class Handler(StreamRequestHandler):
            def handle(self) -> None:
                with keep_off(cores), suppress(OSError):
                    while line := self.rfile.readline(LONGEST):
                        self.wfile.write(json.dumps(answered(answer, line)).encode() + b"\n")

        try:
            with self._lock, address_of(path) as address:
                if self._path is None:  # it is over already
                    return
                server = ThreadingUnixStreamServer(address, Handler, bind_and_activate=False)
                server.daemon_threads, server.block_on_close = True, False
                try:
                    path.unlink(missing_ok=True)  # of a process that had our number and was killed
                    os.fchmod(server.fileno(), 0o600)  # the file gets the socket's mode
                    server.server_bind()
                    server.server_activate()
                except OSError:
                    server.server_close()
                    raise
                self._server = server
        except OSError:  # no place for it: who asks is told that nobody answers
            return
        finally:
            self._begun.set()
        with keep_off(cores):
            server.serve_forever(POLL)

    def _answer(self, asked: dict[str, Any]) -> Any:
        with self._lock:
            if self._answers is None:  # imported now: what is imported at the start delays the first packet
                from burstline.view.questions import Questions

                self._answers = Questions(self._run).answer
        return self._answers(asked)


def _end(server: ThreadingUnixStreamServer) -> None:
    server.shutdown()
    server.server_close()


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
