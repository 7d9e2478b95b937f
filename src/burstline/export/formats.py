"""Formats of files and streams of flow records: Parquet, Arrow IPC, CSV, JSON lines."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from burstline.errors import BurstlineError
from burstline.export.spelling import Target, count, one_of

if TYPE_CHECKING:
    from burstline.export.shape import Shape

GROUP = 1 << 18  # rows of a Parquet row group, where nothing else is said


class RowWriter(ABC):
    """Rows into an open binary file, which `close` closes unless it is to become a whole one."""

    def __init__(self, out: Any, shape: Shape, target: Target) -> None:
        self.out, self.shape, self.target = out, shape, target

    @abstractmethod
    def write(self, rows: Any) -> None: ...

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return int(self.out.tell())

    def flush(self) -> None:
        self.out.flush()

    def close(self) -> None:
        self.out.flush()


class Parquet(RowWriter):
    """Rows are gathered into row groups: small ones make large files and slow readers."""

    def __init__(self, out: Any, shape: Shape, target: Target) -> None:
        from pyarrow import parquet

        super().__init__(out, shape, target)
        self._group = max(1, target.option("group", count, GROUP))
        schema = shape.arrow(_none(shape)).schema
        compression = target.option("compression", one_of(*COMPRESSIONS), "zstd")
        # A dictionary pays where values repeat: texts do not among addresses of many flows, ports and reasons do.
        self._writer = parquet.ParquetWriter(
            out, schema, compression=compression, compression_level=1 if compression == "zstd" else None,
            use_dictionary=[name for name in schema.names if name in REPEATING], write_statistics=True,
        )  # fmt: skip
        self._parts: list[Any] = []
        self._rows = 0

    def write(self, rows: Any) -> None:
        self._parts.append(self.shape.arrow(rows))
        self._rows += len(rows)
        if self._rows >= self._group:
            self._write_group()

    def _write_group(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.concat_tables(self._parts), row_group_size=max(self._rows, 1))
        self._parts, self._rows = [], 0

    def close(self) -> None:
        if self._parts:
            self._write_group()
        self._writer.close()
        super().close()


REPEATING = ("reason", "protocol", "version", "sni", "ja4", "dns_name", "alpn", "capture")
COMPRESSIONS = ("zstd", "snappy", "lz4", "gzip", "none")


class ArrowIpc(RowWriter):
    """The streaming format: readers need not wait for its end."""

    def __init__(self, out: Any, shape: Shape, target: Target) -> None:
        import pyarrow as pa

        super().__init__(out, shape, target)
        self._writer = pa.ipc.new_stream(out, shape.arrow(_none(shape)).schema)

    def write(self, rows: Any) -> None:
        self._writer.write_table(self.shape.arrow(rows))

    def close(self) -> None:
        self._writer.close()
        super().close()


class Csv(RowWriter):
    def __init__(self, out: Any, shape: Shape, target: Target) -> None:
        from pyarrow import csv

        super().__init__(out, shape, target)
        self._writer = csv.CSVWriter(out, texts(shape.arrow(_none(shape))).schema)

    def write(self, rows: Any) -> None:
        self._writer.write_table(texts(self.shape.arrow(rows)))

    def close(self) -> None:
        self._writer.close()
        super().close()


class JsonLines(RowWriter):
    """An object a line; what is not there is left out."""

    def write(self, rows: Any) -> None:
        self.out.write("".join(f"{line}\n" for line in json_rows(self.shape.arrow(rows))).encode())


def json_rows(table: Any) -> list[str]:
    """Each row as a JSON object."""
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    table = texts(table)
    columns = [(name, table.column(name).to_pylist()) for name in table.column_names]
    return [encode({n: v for (n, _), v in zip(columns, row, strict=True) if v is not None})
            for row in zip(*(values for _, values in columns), strict=True)]  # fmt: skip


def texts(table: Any) -> Any:
    """Bytes as hexadecimal text and times as numbers of nanoseconds, which CSV and JSON have."""
    import pyarrow as pa

    for place, column in enumerate(table.schema):
        if pa.types.is_binary(column.type):
            hexes = [None if value is None else value.hex() for value in table.column(place).to_pylist()]
            table = table.set_column(place, column.name, pa.array(hexes, pa.string()))
        elif pa.types.is_timestamp(column.type) or pa.types.is_duration(column.type):
            table = table.set_column(place, column.name, table.column(place).cast(pa.int64()))
    return table


def _none(shape: Shape) -> Any:
    import numpy as np

    return np.zeros(0, shape.dtype)


@dataclass(frozen=True)
class Format:
    writer: Callable[[Any, Any, Target], RowWriter]
    options: tuple[str, ...] = ()

    def check(self, target: Target) -> None:
        """Raises UsageError for values that it cannot take."""
        target.option("compression", one_of(*COMPRESSIONS), "zstd")
        target.option("group", count, GROUP)


FORMATS = {
    "parquet": Format(Parquet, ("compression", "group")),
    "arrow": Format(ArrowIpc),
    "csv": Format(Csv),
    "json": Format(JsonLines),
}


def needs_arrow(target: Target) -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        hint = 'pip install "burstline[arrow]"'
        raise BurstlineError(f"{target.spelled}: a Parquet file of flows needs pyarrow", hint) from None
