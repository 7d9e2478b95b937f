"""Metrics alone, over HTTP, for Prometheus."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from burstline.errors import BurstlineError, UsageError
from burstline.view.attached import Attached
from burstline.view.prometheus import exposition

PATIENCE = 10.0  # seconds for a request


class MetricsServer:
    """Serves until it is closed; `where` is its address, with the port that it got where 0 was asked for."""

    def __init__(self, run: Attached, host: str, port: int) -> None:
        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Who asked has gone."""

        class Handler(BaseHTTPRequestHandler):
            timeout = PATIENCE

            def do_GET(self) -> None:
                if self.path.partition("?")[0] != "/metrics":
                    self.send_error(404, "metrics are at /metrics")
                    return
                try:
                    snap = run.snapshot()
                except BurstlineError as error:
                    self.send_error(503, error.message)
                    return
                text, kind = exposition(snap, self.headers.get("accept", ""), run.over is not None)
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Prometheus comes every few seconds."""

        self._server = Server((host, port), Handler)
        self.where = f"{f'[{host}]' if ':' in host else host}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def serve(run: Attached, host: str, port: int) -> MetricsServer:
    """Raises UsageError where it cannot listen."""
    try:
        return MetricsServer(run, host, port)
    except OSError as error:
        raise UsageError(f"cannot listen at {host}:{port}: {error.strerror}", "give another --listen") from None
