"""Flow records as an Arrow IPC stream over TCP: `pyarrow.ipc.open_stream(socket.makefile("rb"))` reads it.

Every connection is a stream of its own, with its schema first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from burstline.export.connection import Connection
from burstline.export.exporter import Exporter
from burstline.export.fault import Unreachable
from burstline.export.formats import needs_arrow
from burstline.export.outlet_options import OF_ALL
from burstline.export.spelling import Target

if TYPE_CHECKING:
    from burstline.export.shape import Shape

END = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # of a stream (Arrow columnar format, IPC streaming format)


class ArrowTcp(Exporter):
    def __init__(self, target: Target) -> None:
        super().__init__(target)
        target.only(*OF_ALL)
        needs_arrow(target)
        self._connection = Connection(target.host, target.port)
        self._shape: Shape | None = None

    @property
    def detail(self) -> dict[str, Any]:
        return {"connections": self._connection.made}

    def prepare(self) -> None:
        self._connection.made = 0

    def open(self, shape: Shape) -> None:
        self._shape = shape

    def write(self, rows: Any) -> None:
        """A batch that was being sent when the connection broke counts as refused."""
        assert self._shape is not None
        table = self._shape.arrow(rows)
        self._begin(table.schema)
        try:
            for batch in table.to_batches():
                self._connection.send([memoryview(batch.serialize())])
        except Unreachable as error:
            self.refused += len(rows)
            raise Unreachable(error.why, rows[:0]) from None
        self.exported += len(rows)

    def _begin(self, schema: Any) -> None:
        if not self._connection.is_open:
            self._connection.open()
            self._connection.send([memoryview(schema.serialize())])

    def close(self) -> None:
        """A run without a flow leaves a stream without a batch."""
        import numpy as np

        assert self._shape is not None
        self._begin(self._shape.arrow(np.zeros(0, self._shape.dtype)).schema)
        self._connection.send([END])
        self._connection.close()

    def abort(self) -> None:
        self._connection.close()
