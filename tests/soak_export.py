"""Flow export for a long time: flows that never repeat leave a table for files and for a collector that is killed and
started again, as are readers of metrics and of the web page. Memory stays flat, and every record is accounted for.

    python tests/soak_export.py [--seconds 1800]

`make soak-export` runs it; as root.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

APP = """
import burstline as bl


class Flow(bl.Record):
    first: bl.i64
    last: bl.i64
    packets: bl.u64
    bytes: bl.u64


flows = bl.FlowTable(Flow, capacity=300_000, idle=1, active=5)
limit = bl.Meter(rate=20_000, burst=1000)
packets = bl.Counter("packets")


@bl.stage
def count(pkt):
    flow = flows[pkt]
    if flow.packets == 0:
        flow.first = pkt.time
    flow.last = pkt.time
    flow.packets += 1
    flow.bytes += pkt.length
    packets.add(1)
    if limit.allow(pkt):  # when it has gone round it is of another flow
        chance = (pkt.udp.sport * 25173 + 13849) & 0xFFFF
        pkt.udp.sport = chance
        pkt.ipv4.id = pkt.ipv4.id + 1 & 0xFFFF
        if chance == 7:
            pkt.udp.dport = pkt.udp.dport + 1 & 0xFFFF
    return bl.send(0)


pipeline = bl.Pipeline(count)
"""
COLLECTOR = """
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
while True:
    peer, _ = listener.accept()
    while peer.recv(1 << 20):
        pass
"""
LOOK = 1.0  # seconds between two looks at memory
SETTLED, FLAT = 0.34, 8 << 20  # the part of the time that is not looked at; bytes that memory may grow by from then on


class Comings:
    """A program that is killed, and started again, by chance."""

    def __init__(self, name: str, words: list[str], lives: float, pause: float) -> None:
        self.name, self.words, self.lives, self.pause = name, words, lives, pause
        self.kills = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._next = 0.0

    def step(self, chance: random.Random) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        if self._process is None:
            self._process = subprocess.Popen(
                self.words, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            self._next = now + chance.uniform(0.5, 1.5) * self.lives
        else:
            self.end()
            self._next = now + chance.uniform(0.5, 1.5) * self.pause

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process, self.kills = None, self.kills + 1


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def burstline(*words: str) -> list[str]:
    return [sys.executable, "-m", "burstline", *words]


def frames(path: Path) -> None:
    """64 packets of UDP that go round."""
    ip = bytes.fromhex("4500002e00000000401100000a0000010a000002")
    udp = (bytes([16 + k, k, 0, 53, 0, 26, 0, 0]) for k in range(64))
    each = [bytes(12) + b"\x08\0" + ip + head + bytes(18) for head in udp]
    head = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")
    path.write_bytes(head + b"".join(bytes(8) + 2 * len(f).to_bytes(4, "little") + f for f in each))


def resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def soak(seconds: float, folder: Path) -> dict[str, Any]:
    """What was seen. Raises AssertionError where a record is lost or memory grows."""
    chance, port = random.Random(1), free_port()
    (folder / "app.py").write_text(APP)
    (folder / "out").mkdir()
    frames(folder / "loop.pcap")
    command = burstline(
        "run", str(folder / "app.py"), f"dpdk:ring-loop,capture={folder}/loop.pcap", "--no-huge", "--json",
        "--duration", str(seconds), "--idle", "adaptive", "--export", f"ipfix+tcp://127.0.0.1:{port}?queue=50000",
        "--export", f"{folder}/out/%H%M%S.parquet?rotate=10s",
    )  # fmt: skip
    run = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    beside = [
        Comings("collector", [sys.executable, "-c", COLLECTOR, str(port)], 12, 6),
        Comings("metrics", burstline("metrics", str(run.pid), "--listen", f"127.0.0.1:{free_port()}"), 20, 10),
        Comings("serve", burstline("serve", str(run.pid), "--listen", f"127.0.0.1:{free_port()}"), 20, 10),
    ]
    memory: list[int] = []
    started = time.monotonic()
    try:
        while run.poll() is None and time.monotonic() - started < seconds + 120:
            for each in beside:
                each.step(chance)
            memory.append(resident(run.pid))
            time.sleep(LOOK)
        out, err = run.communicate(timeout=60)
    finally:
        for each in beside:
            each.end()
        run.send_signal(signal.SIGKILL) if run.poll() is None else None
    assert run.returncode == 0, err
    report: dict[str, Any] = json.loads(out)
    assert report["packets_in"] == report["packets_out"], report["drops"]
    to_ipfix, to_files = report["exports"]
    left = to_files["exported"] + to_files["refused"]
    assert to_ipfix["exported"] + to_ipfix["refused"] == left, "what left went to both, or was refused"
    rows = sum(pq.read_metadata(path).num_rows for path in (folder / "out").iterdir())  # type: ignore[no-untyped-call]
    assert rows == to_files["exported"], "what was exported is in whole files"
    assert not list((folder / "out").glob(".*")), "and nothing else is there"
    assert to_ipfix["exported"] > 0 and all(each.kills for each in beside)
    settled = memory[int(len(memory) * SETTLED) : -5]
    half = len(settled) // 2
    grown = max(settled[half:]) - max(settled[:half])
    assert grown <= FLAT, f"memory has grown by {grown:,} bytes from one half to the other"
    return {
        "packets": report["packets_in"], "records": left, "ipfix": to_ipfix, "files": to_files, "grown": grown,
        "resident": max(settled), "kills": {each.name: each.kills for each in beside}, "seconds": report["seconds"],
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        found = soak(seconds, Path(folder))
    print(
        f"{found['packets']:,} packets in {found['seconds']:,.0f} s, {found['records']:,} flow records left the table"
    )
    for kind in ("ipfix", "files"):
        print(f"{kind}: {found[kind]['exported']:,} exported, {found[kind]['refused']:,} refused")
    print(", ".join(f"{name} killed {count} times" for name, count in found["kills"].items()))
    print(f"{found['resident'] / 1e6:.0f} MB in memory, grown by {found['grown'] / 1e6:.1f} MB in the last third")
    return 0


if __name__ == "__main__":
    sys.exit(main())
