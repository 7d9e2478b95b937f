"""Rules from a CSV file; what is wrong is said with its line and column."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from burstline.errors import BurstlineError, UsageError
from burstline.state.rule import FIELDS, BadField, Rule, rule_of


def load_rules(path: str | os.PathLike[str]) -> tuple[list[Rule], list[str]]:
    """The rules of a file whose first line names the fields, and where each stands: `FILE:LINE`. `#` begins a line of
    comment. Raises UsageError for a file that is no such table."""
    try:
        text = Path(path).read_text()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text", f"write a table with a first line {','.join(FIELDS)}") from None
    except OSError as error:
        raise BurstlineError(f"cannot read rules from {path}: {error.strerror}") from None
    lines = text.splitlines()
    names: list[str] | None = None
    rules, places = list[Rule](), list[str]()
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        cells = next(csv.reader(io.StringIO(line), skipinitialspace=True))
        if names is None:
            names = [cell.strip().lower() for cell in cells]
            _check_names(names, f"{path}:{number}", line)
            continue
        if len(cells) > len(names):
            message = f"{path}:{number}: {len(cells)} cells under {len(names)} names"
            raise UsageError(message, f"the first line names {', '.join(names)}")
        try:
            rules.append(rule_of(dict(zip(names, cells, strict=False)), len(rules)))
        except BadField as error:
            column = _column(line, names.index(error.name))
            message = f"{path}:{number}:{column}: {error.name}: {error.problem}\n    {line}\n    {' ' * (column - 1)}^"
            raise UsageError(message, error.hint) from None
        places.append(f"{path}:{number}")
    if names is None:
        raise UsageError(f"{path} is empty", f"its first line names the fields: {','.join(FIELDS)}")
    return rules, places


def _check_names(names: list[str], where: str, line: str) -> None:
    for k, name in enumerate(names):
        wrong = "is there twice" if name in names[:k] else "is no field of a rule" if name not in FIELDS else ""
        if wrong:
            column = _column(line, k)
            message = f"{where}:{column}: {name!r} {wrong}\n    {line}\n    {' ' * (column - 1)}^"
            raise UsageError(message, f"the fields are {', '.join(FIELDS)}")


def _column(line: str, cell: int) -> int:
    """Where a cell begins, counted from 1. Quoted cells with commas are rare enough to be pointed at too far left."""
    parts = line.split(",")
    start = sum(len(part) + 1 for part in parts[:cell])
    return start + len(parts[cell]) - len(parts[cell].lstrip()) + 1 if cell < len(parts) else start
