"""Run tests in a machine of the lab, which QEMU emulates: `make lab`.

python -m tools.lab.run MACHINE [PYTEST ARGUMENTS]   exits as pytest does
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools.lab import needs, qemu
from tools.lab.machines import MACHINES, Machine

ROOT = Path(__file__).parents[2]

NO_ANSWER = 3  # pytest's status for an internal error
BOOT = 400  # seconds for which nothing may be heard of a machine that boots: a slow one goes on telling what it does
DID_NOT_BOOT = "the machine did not boot"


def main(name: str = "", *arguments: str) -> int:
    if name not in MACHINES:
        print(f"there is no machine {name!r} in tools/lab/machines.py: {', '.join(MACHINES)}", file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print("the lab needs root: it makes a network namespace with the wires of its machine", file=sys.stderr)
        return 2
    try:
        vng, kernel = needs.vng(), needs.kernel()
    except needs.Missing as missing:
        print(missing, file=sys.stderr)
        return 2
    machine, results = MACHINES[name], ROOT / "build" / "lab" / name
    results.mkdir(parents=True, exist_ok=True)
    for old in ("status", "junit.xml", "console.log", "failures.txt"):
        (results / old).unlink(missing_ok=True)
    paths = [a for a in arguments if Path(ROOT, a.split("::")[0]).exists()]
    return boot(machine, vng, kernel, results, [*arguments, *([] if paths else [machine.tests])])


def boot(machine: Machine, vng: Path, kernel: Path, results: Path, arguments: list[str]) -> int:
    """Boot the machine and run its tests; returns their exit status."""
    print(f"lab: machine {machine.name}, {kernel.name}: about a minute to boot, up to {machine.minutes} for its tests")
    sys.stdout.flush()
    environment = [f"{key}={os.environ[key]}" for key in ("PYTHONPATH", "BURSTLINE_SIMD") if key in os.environ]
    guest = ["env", *environment, sys.executable, "-m", "tools.lab.guest", machine.name, str(results)]
    words = qemu.command(machine, vng, kernel, results, [*guest, *arguments])
    began = time.monotonic()
    why = attempt(machine, vng, words, results)
    if why == DID_NOT_BOOT:
        # QEMU's emulation of several processors may lose one of them while the kernel patches its own code.
        print(f"lab: {why}: nothing was heard of it for {BOOT} s; once more", flush=True)
        why = attempt(machine, vng, words, results)
    took = f"{time.monotonic() - began:.0f} s"
    status = results / "status"
    if status.exists():
        print(f"lab: done in {took}; results in {results}")
        return int(status.read_text())
    tail = "\n".join(Path(results / "console.log").read_text(errors="replace").splitlines()[-25:])
    print(f"{tail}\nlab: {why} after {took}; the whole console is in {results}/console.log", file=sys.stderr)
    return NO_ANSWER


def attempt(machine: Machine, vng: Path, words: list[str], results: Path) -> str:
    """Run the machine until it is off or its time is over; returns why it ended, if it did so without a result."""
    # All that belongs to the machine goes when its first process goes, which goes with this one: namespaces hold its
    # wires and its processes.
    script = f"{qemu.wires(machine)}\nexec {shlex.join(words)}"
    alone = [*shlex.split("setpriv --pdeathsig KILL unshare --net --pid --fork --kill-child sh -c"), script]
    with open(results / "console.log", "w") as console, tempfile.TemporaryDirectory() as scratch:
        # vng finds the other programs of its package by name, and leaves files when it is killed.
        search = {**os.environ, "PATH": f"{vng.parent}:{os.environ['PATH']}", "TMPDIR": scratch}
        with subprocess.Popen(
            alone, cwd=ROOT, env=search, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:  # fmt: skip
            try:
                return relay(process, console.fileno(), machine.minutes * 60)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def relay(process: subprocess.Popen[bytes], console: int, limit: float) -> str:
    """Show what the guest prints, and write the kernel's console to a file, until the machine is off or out of time."""
    assert process.stdout and process.stderr
    began = heard = time.monotonic()
    spoke = False
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, sys.stdout.fileno())
        selector.register(process.stderr, selectors.EVENT_READ, console)
        while selector.get_map():
            passed = time.monotonic() - began
            if passed > limit:
                return "the machine was stopped: its time was over"
            if not spoke and time.monotonic() - heard > BOOT:
                return DID_NOT_BOOT
            for key, _ in selector.select(1):
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                os.write(key.data, data)
                heard = time.monotonic()
                spoke = spoke or (bool(data) and key.fileobj is process.stdout)
    return "the machine ended before its tests did"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(*sys.argv[1:]))
