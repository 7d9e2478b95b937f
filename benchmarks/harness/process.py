"""Programs that are measured: run to their end on one core, their output kept, their failure told."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from burstline.errors import BurstlineError

_LAST_LINES = 12


def measuring_core() -> int:
    """The core that every single-core measurement runs on: the last one, as the first has the most interrupts."""
    return max(cores())


def cores() -> list[int]:
    """The cores that this process may use, in order."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pinned(core: int | None) -> Callable[[], None] | None:
    """What a child process does first to stay on `core`; systems without affinity let it float."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        return None
    only = {core}
    return lambda: os.sched_setaffinity(0, only)


def output(
    command: Sequence[str | Path],
    *,
    core: int | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 1800,
    into: Path | None = None,
    cwd: Path | None = None,
) -> str:
    """Standard output of a program that must succeed (empty when it went `into` a file); `timeout` in seconds."""
    words = [str(word) for word in command]
    with contextlib.ExitStack() as stack:
        try:
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=stack.enter_context(open(into, "wb")) if into else subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                preexec_fn=pinned(core),
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BurstlineError(f"{words[0]} did not end within {timeout:.0f} s", shlex.join(words)) from None
        except OSError as error:
            raise BurstlineError(f"{words[0]} cannot be run: {error.strerror}", shlex.join(words)) from None
    if done.returncode:
        said = "\n".join(done.stderr.decode(errors="replace").splitlines()[-_LAST_LINES:])
        raise BurstlineError(f"{words[0]} ended with code {done.returncode}:\n{said}", shlex.join(words))
    return "" if into else done.stdout.decode(errors="replace")
