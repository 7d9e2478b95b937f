"""What a probe finds, in three outcomes: yes, no, could not tell; and how it is asked without a crash."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any


class Outcome(Enum):
    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """An outcome and its reason; `mend` is the command that turns a no into a yes, `facts` are for programs."""

    outcome: Outcome
    detail: str
    mend: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def yes(detail: str, **facts: Any) -> Finding:
    return Finding(Outcome.YES, detail, None, facts)


def no(detail: str, mend: str | None = None, **facts: Any) -> Finding:
    return Finding(Outcome.NO, detail, mend, facts)


def unknown(detail: str, mend: str | None = None) -> Finding:
    return Finding(Outcome.UNKNOWN, detail, mend)


@dataclass(frozen=True)
class Probe:
    """One question to the machine; `root` is where its /proc and /sys lie, so that a test can bring its own."""

    group: str
    name: str
    function: Callable[[Path], Finding]
    essential: bool = False  # without it not even the offline half works

    def ask(self, root: Path = Path("/")) -> Finding:
        """The finding; what a system without this file, or a strange one, makes of the probe is "could not tell"."""
        try:
            return self.function(root)
        except FileNotFoundError as error:
            return unknown(f"there is no {error.filename} here")
        except OSError as error:
            return unknown(f"{error.filename or 'the system'}: {error.strerror or error}")
        except Exception as error:
            return unknown(f"the probe failed: {type(error).__name__}: {error}")


def read(path: Path) -> str:
    """The text of a file of /proc or /sys, without the end of its last line."""
    return path.read_text(errors="replace").strip()


def labelled(path: Path) -> dict[str, str]:
    """A file of `label: value` lines, such as /proc/self/status; the first line of each label counts."""
    found: dict[str, str] = {}
    for line in read(path).splitlines():
        label, _, value = line.partition(":")
        found.setdefault(label.strip(), value.strip())
    return found


def size(kibibytes: int) -> str:
    """A size for people: 2048 is `2 MiB`."""
    value, unit = float(kibibytes), "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.1f}".removesuffix(".0") + f" {unit}"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
