"""Flow tables as Parquet files, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from burstline.engine.carry import named_state
from burstline.errors import BurstlineError, UsageError
from burstline.export.whole_file import WholeFile
from burstline.pipeline.pipeline import Pipeline
from burstline.state.flow_table import FlowTable

SUFFIX = ".parquet"


def places_of(pipeline: Pipeline, out: Path) -> dict[Path, FlowTable]:  # type: ignore[type-arg]
    """Where each table goes: to `out` itself, of one table; or into the directory `out`, by their names. Raises
    UsageError, also of what only would fail at the end."""
    tables = _tables(pipeline)
    if not tables:
        raise UsageError("the pipeline has no flow table to write", "leave --out out: what it counts, `at_end` prints")
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise BurstlineError("a Parquet file of flows needs pyarrow", 'pip install "burstline[arrow]"') from None
    if out.suffix == SUFFIX and not out.is_dir():
        if len(tables) > 1:
            raise UsageError(
                f"there are several tables, {', '.join(tables)}, for one file", f"name a directory: --out {out.stem}/"
            )
        if not out.absolute().parent.is_dir():
            raise UsageError(f"cannot write {out}: there is no such directory", "make it first")
        _check_writable(out.absolute().parent)
        return {out: next(iter(tables.values()))}
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is neither a directory nor ends in {SUFFIX}", f"write --out {out}{SUFFIX}")
    out.mkdir(parents=True, exist_ok=True)
    _check_writable(out)
    return {out / f"{name}{SUFFIX}": table for name, table in tables.items()}


def _tables(pipeline: Pipeline) -> dict[str, FlowTable]:  # type: ignore[type-arg]
    """By their names; with their modules where several modules have one of that name."""
    found = {name: state for name, state in named_state(pipeline).items() if isinstance(state, FlowTable)}
    names = [name.rpartition(":")[2] for name in found]
    return {
        short if names.count(short) == 1 else name.replace(":", "."): found[name]
        for name, short in zip(found, names, strict=True)
    }


def _check_writable(directory: Path) -> None:
    if not os.access(directory, os.W_OK):
        raise UsageError(f"cannot write to {directory}: permission denied", "name another place: --out OUT")


def write_tables(places: dict[Path, FlowTable]) -> None:  # type: ignore[type-arg]
    """Each file has its name when it is whole."""
    if not places:
        return
    from pyarrow import parquet

    for place, table in places.items():
        file = WholeFile(place.absolute())
        try:
            parquet.write_table(table.to_arrow(), file.file)
        except BaseException:
            file.discard()
            raise
        file.commit()
