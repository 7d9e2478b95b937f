"""What the tests of live ports share: a process and a network namespace for each, since EAL starts only once in a
process; both vanish with the process, however it ends."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from burstline.dpdk import eal
from burstline.dpdk.pool import Pool
from burstline.errors import BurstlineError

if TYPE_CHECKING:
    from burstline.engine.live import LiveRun
    from burstline.engine.report import Report

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
CLONE_NEWNET = 0x40000000
TIMEOUT = 300  # seconds for what runs in a process of its own


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of `function` in a fresh process; if that takes too long, it says where it is and ends."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        return executor.submit(_in_time, function, *arguments).result()


def _in_time(function: Callable[..., Any], *arguments: Any) -> Any:
    faulthandler.dump_traceback_later(TIMEOUT, exit=True)  # also from loops in C or compiled code
    try:
        return function(*arguments)
    finally:
        faulthandler.cancel_dump_traceback_later()


def python(script: str) -> subprocess.CompletedProcess[str]:
    """The same with all that it prints, EAL included."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False)


@contextmanager
def pool(count: int = 8191, **options: Any) -> Iterator[Pool]:
    """A pool from which nothing leaks; EAL started without huge pages, so that tests run anywhere."""
    eal.start(huge=False)
    with Pool(count, **options) as made:
        yield made
        assert made.in_use == 0, f"{made.in_use} mbufs leaked"


def veth() -> None:
    """Into a network namespace with one pair of interfaces, left and right, on which nobody speaks unasked."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    for which in ("all", "default"):
        Path(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6").write_text("1")
    for command in ("link add left type veth peer name right", "link set left up", "link set right up"):
        subprocess.run(["ip", *command.split()], check=True)


def run_beside(run: LiveRun, work: Callable[[], None], over: threading.Event) -> Report:
    """The report of a run, beside which a thread works until `over` is set, as it is when the run is through."""
    other = threading.Thread(target=work)
    other.start()
    try:
        return run.run()
    finally:
        over.set()
        other.join()


def raised(action: Callable[[], object]) -> BurstlineError:
    try:
        action()
    except BurstlineError as error:
        return error
    raise AssertionError("nothing was raised")


def packet(number: int, size: int = 60) -> bytes:
    return (b"\xff" * 6 + b"\x02" * 6 + b"\x88\xb5" + struct.pack("!I", number)).ljust(size, bytes([number % 256]))
