"""Flow tables as Parquet files, written whole or not at all."""

from __future__ import annotations

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
    tables = {name.rpartition(":")[2]: s for name, s in named_state(pipeline).items() if isinstance(s, FlowTable)}
    if not tables:
        raise UsageError("the pipeline has no flow table to write", "leave --out out: what it counts, `at_end` prints")
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise BurstlineError("a Parquet file of flows needs pyarrow", 'pip install "burstline[arrow]"') from None
    if out.suffix == SUFFIX:
        if len(tables) > 1:
            raise UsageError(
                f"there are several tables, {', '.join(tables)}, for one file", f"name a directory: --out {out.stem}/"
            )
        if not out.absolute().parent.is_dir():
            raise UsageError(f"cannot write {out}: there is no such directory", "make it first")
        return {out: next(iter(tables.values()))}
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is neither a directory nor ends in {SUFFIX}", f"write --out {out}{SUFFIX}")
    return {out / f"{name}{SUFFIX}": table for name, table in tables.items()}


def write_tables(places: dict[Path, FlowTable]) -> None:  # type: ignore[type-arg]
    """Each file has its name when it is whole."""
    from pyarrow import parquet

    for place, table in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        file = WholeFile(place.absolute())
        try:
            parquet.write_table(table.to_arrow(), file.file)
        except BaseException:
            file.discard()
            raise
        file.commit()
