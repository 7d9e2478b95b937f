"""Records that leave a flow table while packets flow: to a function of the user's, or to a Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from burstline.errors import BurstlineError
from burstline.state.digest import Digest

if TYPE_CHECKING:
    from burstline.state.flow_table import FlowTable


class FlowExports(Digest[Any]):
    """The digest that a table's workers put rows into: entry, cold half and reason, as they lie in memory."""

    def __init__(self, table: FlowTable[Any], capacity: int = 1 << 16) -> None:
        super().__init__(table.record, capacity)
        self._table = table
        self._rows: list[tuple[Any, ...]] = []  # interpreted
        self._file: ParquetFile | None = None

    @property
    def stride(self) -> int:
        return self._table.geometry.row

    @property
    def dtype(self) -> Any:
        import numpy as np

        at = self._table.geometry
        return np.dtype([("entry", "u1", (at.stride,)), ("cold", "u1", (at.cold_stride,)), ("reason", "<u8")])

    @property
    def is_wanted(self) -> bool:
        """Whether somebody takes the records."""
        return self._handler is not None

    def write_to(self, path: str) -> None:
        """Every record that leaves goes to this Parquet file, which is complete when the run is over."""
        self._file = ParquetFile(path, self._table)
        self._handler = self._file.write

    def go_on(self, old: FlowExports) -> None:
        """With the file of a table that this one takes over, if the rows are alike; else with a file beside it."""
        if self._file is not None and old._file is not None and self._file.path == old._file.path:
            if self._table.plain_rows([], True).dtype == old._table.plain_rows([], True).dtype:
                self._file.go_on(old._file)
                old._handler = self._file.write  # of what is still on its way
            else:
                path = Path(old._file.path)
                self._file.path = str(path.with_stem(f"{path.stem}-next"))

    def leave(self, *row: Any) -> None:
        """An interpreted record leaves: its key, whether it goes the other way, the record, the reason."""
        if self.is_wanted:
            self._rows.append(row)

    def drain(self) -> int:
        found = super().drain()
        if self._rows:
            rows, self._rows = self._rows, []
            self._hand(self._table.plain_rows(rows, with_reasons=True))
            found += len(rows)
        return found

    def _give(self, batch: Any) -> None:
        self._hand(self._table.shown(batch["entry"], batch["cold"], batch["reason"]))

    def _hand(self, rows: Any) -> None:
        super()._give(rows)

    def hand_rest(self, rows: Any) -> None:
        """The run is over: what is still in the table goes the same way."""
        self.drain()
        if self.is_wanted and len(rows):
            self._hand(rows)
        if self._file is not None:
            self._file.close(rows[:0])

    def leave_off(self) -> None:
        """Another table goes on with the records, and perhaps with the file."""
        self.drain()
        if self._file is not None and self._file.is_open:
            self._file.close(None)

    def signature(self) -> tuple[Any, ...]:
        return (self._table.geometry.row,)

    def reset(self) -> None:
        super().reset()
        self._rows = []


class ParquetFile:
    """Written batch by batch; needs pyarrow."""

    def __init__(self, path: str, table: FlowTable[Any]) -> None:
        self.path, self._table = path, table
        self._writer: Any = None
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise BurstlineError("a Parquet file of flows needs pyarrow", 'pip install "burstline[arrow]"') from None
        if not Path(path).absolute().parent.is_dir():
            raise BurstlineError(f"cannot write {path}: there is no such directory", "make it first")

    @property
    def is_open(self) -> bool:
        return self._writer is not None

    def write(self, rows: Any) -> None:
        from pyarrow import parquet

        arrow = self._table.arrow(rows)
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self.path, arrow.schema)
        self._writer.write_table(arrow)

    def go_on(self, old: ParquetFile) -> None:
        self.path, self._writer, old._writer = old.path, old._writer, self._writer

    def close(self, none: Any) -> None:
        """A run without a flow leaves a file without a row."""
        if self._writer is None:
            self.write(none)
        self._writer.close()
        self._writer = None
