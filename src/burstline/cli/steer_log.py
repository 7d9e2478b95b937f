"""`burstline steer LOG`: what the controller decided beside live ports, from the log of that run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from burstline.errors import UsageError
from burstline.steering.control.decision_log import KIND, lines_of

HEAD = json.dumps({"log": KIND})[:-1].encode()


def is_log(path: str) -> bool:
    """Whether a file begins as logs of decisions do."""
    try:
        with Path(path).open("rb") as stream:
            return stream.read(len(HEAD)) == HEAD
    except OSError:
        return False


def show_log(path: str, *, explain: bool, as_json: bool) -> int:
    """Print it, for a terminal or as one JSON object. Raises UsageError for a line that is no JSON."""
    about, decisions = read_log(path)
    print(
        json.dumps({**about, "decisions": decisions}, indent=2)
        if as_json
        else "\n".join(_lines(path, about, decisions, explain))
    )
    return 0


def read_log(path: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What is said of the run, and its decisions; a last line that was not written to its end is left out."""
    with Path(path).open(encoding="utf-8") as stream:
        lines = stream.readlines()
    found: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(json.loads(line))
        except ValueError:
            if number == len(lines):
                break
            raise UsageError(f"{path}:{number}: not JSON", "give the log as the run wrote it") from None
    return found[0], found[1:]


def _lines(path: str, about: dict[str, Any], decisions: Sequence[dict[str, Any]], explain: bool) -> Iterator[str]:
    yield f"{path}: {about['source']}, {about['workers']} workers, looks of {1000 * about['look']:.3g} ms"
    dry = ", a dry run: nothing was changed" if about["act"] == "dry-run" else ""
    yield f"steered by {about['back_end']}, {about['buckets']} buckets{dry}"
    yield ""
    kinds = Counter(one["action"] for one in decisions)
    counts = ", ".join(f"{count:,} {name}" for name, count in sorted(kinds.items()))
    yield (
        f"decisions: {len(decisions):,}"
        + (f" ({counts})" if counts else "")
        + ("" if explain else "; --explain shows them")
    )
    for one in decisions if explain else ():
        yield from lines_of(one)
