"""A TCP connection to a collector, which may go away and come back."""

from __future__ import annotations

import select
import socket
from contextlib import suppress

from burstline.export.fault import Unreachable

CONNECT, SEND = 5.0, 30.0  # seconds that it may take


class Connection:
    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._socket: socket.socket | None = None
        self.made = 0  # connections

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def open(self) -> None:
        """Raises Unreachable."""
        try:
            self._socket = socket.create_connection((self.host, self.port), CONNECT)
        except OSError as error:
            raise Unreachable(f"{self.host} port {self.port}: {error.strerror or error}") from None
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(SEND)
        self.made += 1

    def send(self, buffers: list[bytes | memoryview]) -> None:
        """All of them. Raises Unreachable, and is closed then: nobody knows how much of them arrived."""
        assert self._socket is not None
        try:
            if self._has_ended():
                raise ConnectionResetError(104, "the other end has closed the connection")
            sent = self._socket.sendmsg(buffers)
            for buffer in buffers:
                if sent < len(buffer):
                    self._socket.sendall(memoryview(buffer)[sent:])
                sent = max(0, sent - len(buffer))
        except OSError as error:
            self.close()
            raise Unreachable(f"{self.host} port {self.port}: {error.strerror or error}") from None

    def _has_ended(self) -> bool:
        """A collector says nothing: what can be read is the end."""
        assert self._socket is not None
        readable, _, _ = select.select([self._socket], [], [], 0)
        return bool(readable) and self._socket.recv(4096) == b""

    def close(self) -> None:
        """With everything sent, as far as the other end takes it."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
            self._socket.close()
            self._socket = None
