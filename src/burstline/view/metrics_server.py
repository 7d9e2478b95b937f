"""Metrics alone, over HTTP, for Prometheus."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from burstline.errors import UsageError
from burstline.view.attached import Attached
from burstline.view.prometheus import exposition


class MetricsServer:
    """Serves until it is closed; `where` is its address, with the port that it got where 0 was asked for."""

    def __init__(self, run: Attached, host: str, port: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.partition("?")[0] != "/metrics":
                    self.send_error(404, "metrics are at /metrics")
                    return
                text, kind = exposition(run.snapshot(), self.headers.get("accept", ""), run.over is not None)
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Prometheus comes every few seconds."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self.where = f"{host}:{self._server.server_address[1]}"
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
