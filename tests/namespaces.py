"""Network namespaces joined by veth pairs, with burstline between them and the kernel's own stack at the ends.

All vanish when the test ends. Sockets are made in a namespace by a thread that enters it for that moment.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

CLONE_NEWNET = 0x40000000
LEFT_MAC, RIGHT_MAC = "02:00:00:00:00:02", "02:00:00:00:01:02"
NO_OFFLOADS = ("tx", "off", "tso", "off", "gso", "off", "gro", "off")
_serial = itertools.count()
T = TypeVar("T")


def sh(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr}")


@dataclass
class Namespace:
    """One network namespace; made by `namespace()`."""

    name: str

    def ip(self, command: str) -> None:
        sh("ip", "-n", self.name, *command.split())

    def command(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *words]

    def inside(self, make: Callable[[], T]) -> T:
        """What `make` returns, called in the namespace."""

        def enter() -> T:
            with open(f"/run/netns/{self.name}") as handle:
                if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            return make()

        with ThreadPoolExecutor(1) as thread:  # which ends, and with it its stay in the namespace
            return thread.submit(enter).result()

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket that lives in the namespace, with a timeout of 30 seconds."""
        made = self.inside(lambda: socket.socket(family, kind, protocol))
        made.settimeout(30)
        return made


@contextmanager
def namespace() -> Iterator[Namespace]:
    if missing := [program for program in ("ip", "ethtool") if not shutil.which(program)]:
        pytest.skip(f"needs {' and '.join(missing)}")
    made = Namespace(f"burstline-{os.getpid()}-{next(_serial)}")
    try:
        sh("ip", "netns", "add", made.name)
    except OSError as error:
        if not any(words in str(error) for words in ("not permitted", "Permission denied")):
            raise
        pytest.skip(str(error))  # not root, or root in a container that may not
    try:
        yield made
    finally:
        sh("ip", "netns", "delete", made.name)


def join(a: Namespace, a_end: str, b: Namespace, b_end: str) -> None:
    """A veth pair between two namespaces. No offloads: what leaves must be what a wire could carry."""
    sh("ip", "link", "add", a_end, "netns", a.name, "type", "veth", "peer", "name", b_end, "netns", b.name)
    for place, end in ((a, a_end), (b, b_end)):
        sh(*place.command("ethtool", "-K", end, *NO_OFFLOADS))
        place.ip(f"link set {end} up")


@dataclass
class Line:
    """left (`outside`) - fw-left, fw-right - right (`inside`), where burstline runs on the two in the middle."""

    left: Namespace
    middle: Namespace
    right: Namespace
    process: subprocess.Popen[str] | None = field(default=None)

    def start(self, app: Path, driver: str, ports: tuple[str, ...] = ("fw-left", "fw-right")) -> None:
        """Run `app` on the ports; it forwards when a first packet comes through."""
        sources = [f"dpdk:{driver},iface={port}" for port in ports]
        words = [sys.executable, "-m", "burstline", "run", str(app), *sources, "--json", "--no-huge"]
        path = os.pathsep.join(p for p in sys.path if p)
        self.process = subprocess.Popen(
            self.middle.command(*words), env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def hand_over(self) -> None:
        """Once the run has made two TAP interfaces, of its ports' names, and polls them: they go to the ends."""

        def started() -> bool:
            self.check()
            shown = self.middle.command("ip", "link", "show", "up")
            text = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
            return text.count("PROMISC") == 2  # the last that the driver asks of them, or nearly

        assert until(started, 300), "it does not start"  # compiled first
        time.sleep(0.2)
        for port, place, end in (("fw-left", self.left, "outside"), ("fw-right", self.right, "inside")):
            self.middle.ip(f"link set {port} netns {place.name}")
            place.ip(f"link set {port} name {end}")
            place.ip(f"link set {end} up")

    def stop(self) -> dict[str, Any]:
        """End the run as a service manager would; its report."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        out, said = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, said
        report: dict[str, Any] = json.loads(out)
        return report

    def check(self) -> None:
        """The run goes on. Skips where this machine has another driver to offer instead."""
        assert self.process is not None
        if self.process.poll() is not None:
            said = self.process.communicate()[1]
            (pytest.skip if "use net_af_packet" in said else pytest.fail)(said)


@contextmanager
def line(*, joined: bool = True) -> Iterator[Line]:
    """`joined` by veth pairs; or the ends have no interfaces until the run makes some (`hand_over`)."""
    with ExitStack() as stack:
        left, middle, right = (stack.enter_context(namespace()) for _ in range(3))
        if joined:
            join(left, "outside", middle, "fw-left")
            join(right, "inside", middle, "fw-right")
            left.ip(f"link set outside address {LEFT_MAC}")
            right.ip(f"link set inside address {RIGHT_MAC}")
        made = Line(left, middle, right)
        try:
            yield made
        finally:
            if made.process:
                with made.process as process:  # closes its pipes and waits for it
                    process.kill()


def until(action: Any, seconds: float = 120) -> Any:
    """Try again until `action` gives something true; None when the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := action():
            return found
        time.sleep(0.05)
    return None
