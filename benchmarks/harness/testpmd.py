"""`dpdk-testpmd` as a peer: driven by its prompt, its rate read from its own port statistics.

https://doc.dpdk.org/guides-22.11/testpmd_app_ug/testpmd_funcs.html
"""

from __future__ import annotations

import os
import re
import select
import shlex
import statistics
import subprocess
import time
from dataclasses import dataclass

from benchmarks.harness.process import cores
from burstline.errors import BurstlineError

_PROMPT = b"testpmd> "
_RATE = re.compile(r"Rx-pps:\s*(\d+)")
_START_UP = 60.0  # seconds; EAL clears its hugepages first


@dataclass(frozen=True)
class Device:
    """A virtual device, and how many packets must be put into it before it gives any."""

    name: str
    vdev: str
    preloaded: int = 0


NULL = Device("net_null", "net_null0,size=64,copy=0")
RING = Device("net_ring loop", "net_ring0", preloaded=512)


def command(testpmd: str, device: Device, burst: int) -> list[str]:
    """The main thread on the first core, forwarding alone on the last; no PCI device, no file left behind."""
    usable = cores()
    eal = ["-l", f"{usable[0]},{usable[-1]}", "--main-lcore", str(usable[0]), "--no-pci", "--in-memory"]
    forward = ["-i", "--forward-mode=macswap", f"--burst={burst}", "--nb-cores=1", "--no-lsc-interrupt"]
    pool = ["--total-num-mbufs=16383", "--mbcache=256"]  # as burstline.dpdk.pool.Pool has it
    return [testpmd, *eal, f"--vdev={device.vdev}", "--", *forward, *pool]


def start(device: Device, burst: int) -> str:
    """The command that starts forwarding; `tx_first` sends so many bursts before it."""
    return f"start tx_first {device.preloaded // burst}" if device.preloaded else "start"


def macswap_rate(testpmd: str, device: Device, burst: int, seconds: float) -> float:
    """Packets/s, the median of three intervals that fill `seconds`, after a third of that as a warm-up."""
    words = command(testpmd, device, burst)
    interval = seconds / 3
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            said = _wait_for_prompt(process, words)
            for order in (start(device, burst), *["show port stats all"] * 4):
                _tell(process, order)
                time.sleep(interval)
            rest, _ = process.communicate(b"stop\nquit\n", timeout=_START_UP)
            said += rest
        except (subprocess.TimeoutExpired, BrokenPipeError):
            raise BurstlineError("dpdk-testpmd does not answer any more", shlex.join(words)) from None
        finally:
            process.kill()  # it has ended by itself unless something went wrong
    text = said.decode(errors="replace")
    # Each `show` gives the rate since the one before it; the first has none before it.
    rates = [float(rate) for rate in _RATE.findall(text)][1:]
    if process.returncode or len(rates) != 3 or not all(rates):
        raise BurstlineError(f"dpdk-testpmd did not forward:\n{text[-2000:]}", shlex.join(words))
    return statistics.median(rates)


def _tell(process: subprocess.Popen[bytes], order: str) -> None:
    assert process.stdin is not None
    process.stdin.write(order.encode() + b"\n")
    process.stdin.flush()


def _wait_for_prompt(process: subprocess.Popen[bytes], words: list[str]) -> bytes:
    """What testpmd said until it asked for its first command (its prompt is not buffered)."""
    assert process.stdout is not None
    said = b""
    until = time.monotonic() + _START_UP
    while _PROMPT not in said:
        if not select.select([process.stdout], [], [], max(until - time.monotonic(), 0))[0]:
            raise subprocess.TimeoutExpired(words, _START_UP)
        more = os.read(process.stdout.fileno(), 65536)
        if not more:
            text = said.decode(errors="replace")
            raise BurstlineError(f"dpdk-testpmd does not start:\n{text[-2000:]}", shlex.join(words))
        said += more
    return said
