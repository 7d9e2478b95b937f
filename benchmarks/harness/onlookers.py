"""All that can look at a run, for the operate bench."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import pty
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.harness.engine import command
from benchmarks.harness.forwarding import Forwarding
from benchmarks.harness.process import cores, measuring_core
from burstline.errors import BurstlineError

PATIENCE = 300.0  # seconds until each must have been answered
NEEDED = ("textual", "starlette", "uvicorn", "prometheus_client", "opentelemetry.sdk", "pyarrow")
ASKED = ("api/flows?limit=50", "api/drops", "api/snapshot", "metrics")


def missing() -> list[str]:
    """Packages that are not installed."""
    return [name for name in NEEDED if importlib.util.find_spec(name.partition(".")[0]) is None]


class Onlookers:
    """Everything that looks at a run, between entering and leaving the block."""

    def __init__(self, engine: Forwarding) -> None:
        self._engine, self._over = engine, threading.Event()
        self._web, self._metrics = (_free_port() for _ in range(2))
        self._counts = dict.fromkeys((*ASKED, "stream", "scrape", "export", "top"), 0)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Onlookers:
        others = set(cores()) - {measuring_core()}
        self._before = cores()
        os.sched_setaffinity(0, others)  # all that is started from here on
        pid = str(self._engine.process.pid)
        collector = _collector(self._counts)
        self._collector = collector
        otlp = f"http://127.0.0.1:{collector.server_address[1]}/v1/metrics"
        listen = ("--listen", f"127.0.0.1:{self._metrics}")
        self._start("serve", pid, "--listen", f"127.0.0.1:{self._web}")
        self._start("metrics", pid, *listen, "--otlp", otlp, "--period", "1")
        self._top(pid)
        for work in (collector.serve_forever, self._follow, self._ask, self._scrape):
            self._threads.append(threading.Thread(target=work, daemon=True))
            self._threads[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for process in self._processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
        self._collector.shutdown()
        self._collector.server_close()
        for thread in self._threads:
            thread.join(10)
        os.close(self._terminal)
        os.sched_setaffinity(0, set(self._before))

    def wait(self) -> None:
        """Until each has been answered."""
        deadline = time.monotonic() + PATIENCE
        while not all(self._counts.values()):
            if time.monotonic() > deadline:
                lacking = [name for name, count in self._counts.items() if not count]
                raise BurstlineError(f"nothing came of {', '.join(lacking)}", "try `burstline serve` by hand")
            time.sleep(0.1)

    @contextmanager
    def going(self) -> Iterator[None]:
        """They look on in the block, and stand still after it."""
        for process in self._processes:
            process.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            for process in self._processes:
                process.send_signal(signal.SIGSTOP)

    def answers(self) -> int:
        """That came, of all kinds."""
        return sum(self._counts.values())

    def _start(self, *words: str, terminal: int | None = None) -> None:
        out: Any = subprocess.DEVNULL if terminal is None else terminal
        environment = {**self._engine.environment, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        self._processes.append(subprocess.Popen(command(*words), env=environment, stdin=out, stdout=out, stderr=out))

    def _top(self, pid: str) -> None:
        self._terminal, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self._start("top", pid, terminal=inside)
        os.close(inside)
        self._threads.append(threading.Thread(target=self._watch_top, daemon=True))
        self._threads[-1].start()

    def _watch_top(self) -> None:
        with suppress(OSError):
            while os.read(self._terminal, 1 << 16):
                self._counts["top"] += 1

    def _follow(self) -> None:
        """The stream, as a browser does."""
        while not self._over.is_set():
            with (
                suppress(OSError, HTTPException),
                urllib.request.urlopen(f"http://127.0.0.1:{self._web}/api/stream", timeout=5) as stream,
            ):
                for line in stream:
                    self._counts["stream"] += line.startswith(b"data:")
                    if self._over.is_set():
                        return
            self._over.wait(0.2)

    def _ask(self) -> None:
        while not self._over.wait(1.0):
            for path in ASKED:
                self._counts[path] += _answered(f"http://127.0.0.1:{self._web}/{path}")

    def _scrape(self) -> None:
        while not self._over.wait(1.0):
            self._counts["scrape"] += _answered(f"http://127.0.0.1:{self._metrics}/metrics")


def _answered(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.read())
    except (OSError, HTTPException):  # the engine may end meanwhile
        return False


def _collector(counts: dict[str, int]) -> ThreadingHTTPServer:
    """Takes what is exported."""

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            counts["export"] += 1
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Collector)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
