"""A process that takes flow records by UDP or TCP and forgets them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager

READER = """
import os, socket, sys
kind, *cores = sys.argv[1:]
if cores:
    os.sched_setaffinity(0, map(int, cores))
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
server.bind(("127.0.0.1", 0))
if kind == "tcp":
    server.listen()
print(server.getsockname()[1], flush=True)
buffer = bytearray(1 << 20)
while True:
    reader = server.accept()[0] if kind == "tcp" else server
    while reader.recv_into(buffer):
        pass
"""


@contextmanager
def flow_collector(kind: str, cores: Collection[int] = ()) -> Iterator[str]:
    """Where it listens, as host:port; `kind` is udp or tcp, and `cores` those that it may run on, else all."""
    words = [sys.executable, "-c", READER, kind, *map(str, cores)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        try:
            yield f"127.0.0.1:{int(reader.stdout.readline())}"
        finally:
            reader.kill()
