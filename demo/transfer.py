"""The two ends of the demo's traffic: a TCP transfer with its SHA-256 at both ends, and datagrams counted by sender.

transfer.py receive ADDRESS PORT            transfer.py send ADDRESS PORT MEGABYTES
transfer.py count ADDRESS PORT SECONDS      transfer.py datagrams FROM ADDRESS PORT COUNT
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import time
from collections import Counter

BLOCK = 1 << 20


def receive(address: str, port: str) -> None:
    """Print size and hash of the first connection that carries anything."""
    with socket.create_server((address, int(port))) as server:
        size = 0
        while not size:
            digest = hashlib.sha256()
            with server.accept()[0] as connection:
                while block := connection.recv(BLOCK):
                    digest.update(block)
                    size += len(block)
                if size:
                    connection.sendall(b".")  # all is here
    print(f"received {size:,} bytes, SHA-256 {digest.hexdigest()}")


def send(address: str, port: str, megabytes: str) -> None:
    digest = hashlib.sha256()
    started = time.perf_counter()
    with socket.create_connection((address, int(port)), timeout=60) as connection:
        for _ in range(int(megabytes)):
            block = os.urandom(10**6)
            digest.update(block)
            connection.sendall(block)
        connection.shutdown(socket.SHUT_WR)
        if connection.recv(1) != b".":
            raise SystemExit("the other end closed before it had everything")
    seconds = time.perf_counter() - started
    print(f"in {seconds:.1f} s, {int(megabytes) * 8 / seconds:,.0f} Mbit/s")
    print(f"sent     {int(megabytes) * 10**6:,} bytes, SHA-256 {digest.hexdigest()}")


def count(address: str, port: str, seconds: str) -> None:
    """Print how many datagrams came from whom, once one has come and then none for so many seconds."""
    senders: Counter[str] = Counter()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, int(port)))
        server.settimeout(60)
        try:
            while True:
                senders[server.recvfrom(BLOCK)[1][0]] += 1
                server.settimeout(float(seconds))
        except TimeoutError:
            pass
    print(", ".join(f"{n:,} datagrams from {sender}" for sender, n in senders.items()) or "nothing")


def datagrams(source: str, address: str, port: str, number: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        for k in range(int(number)):
            sender.sendto(b"%d" % k, (address, int(port)))
            time.sleep(0.001)


if __name__ == "__main__":
    {"receive": receive, "send": send, "count": count, "datagrams": datagrams}[sys.argv[1]](*sys.argv[2:])
