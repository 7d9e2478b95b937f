"""Flow records to a Kafka topic, by librdkafka (the `kafka` extra): a JSON message a record, or Arrow by the batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from burstline.errors import BurstlineError
from burstline.export.exporter import Exporter
from burstline.export.fault import Unreachable
from burstline.export.formats import json_rows, needs_arrow
from burstline.export.outlet_options import OF_ALL, PATIENCE
from burstline.export.spelling import Target, one_of, seconds

if TYPE_CHECKING:
    from burstline.export.shape import Shape

DELIVERY = 30.0  # seconds that a message may take until the broker has it
REACH = 5.0  # seconds in which a broker must answer, if there is so much patience
AT_ONCE = 10_000  # messages between two looks at what was delivered
LARGEST = 900_000  # bytes of an Arrow message: a broker takes 1 MB if nothing else is set


class KafkaExporter(Exporter):
    """A record counts as exported when the broker has acknowledged it, and as refused when it has not in time."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        target.only("format", "acks", "compression", *OF_ALL)
        self._arrow = target.option("format", one_of("json", "arrow"), "json") == "arrow"
        acks = target.option("acks", one_of("0", "1", "all"), "all")
        compression = target.option("compression", one_of("zstd", "lz4", "snappy", "gzip", "none"), "lz4")
        needs_arrow(target)
        try:
            import confluent_kafka
        except ImportError:
            hint = 'pip install "burstline[kafka]"'
            raise BurstlineError(f"{target.spelled} needs confluent-kafka", hint) from None
        self._module: Any = confluent_kafka
        self._settings = {
            "bootstrap.servers": target.brokers, "acks": acks, "compression.type": compression, "linger.ms": 20,
            "message.timeout.ms": int(DELIVERY * 1000), "queue.buffering.max.messages": 200_000,
            "logger": _silent(),
        }  # fmt: skip
        self._patience = target.option("patience", seconds, PATIENCE)
        self._producer: Any = None
        self._shape: Shape | None = None

    def open(self, shape: Shape) -> None:
        self._shape = shape
        self._producer = self._module.Producer(self._settings)

    def write(self, rows: Any) -> None:
        assert self._shape is not None
        self._reach()
        if self._arrow:
            self._produce_arrow(rows)
            return
        for at in range(0, len(rows), AT_ONCE):
            for line in json_rows(self._shape.arrow(rows[at : at + AT_ONCE])):
                self._produce(line, 1)
            self._producer.poll(0)

    def _produce_arrow(self, rows: Any) -> None:
        """In as few messages as brokers take."""
        assert self._shape is not None
        message = _stream(self._shape.arrow(rows))
        half = len(rows) // 2
        if len(message) <= LARGEST or not half:
            self._produce(message, len(rows))
            return
        self._produce_arrow(rows[:half])
        self._produce_arrow(rows[half:])

    def _reach(self) -> None:
        """Nothing is begun while no broker answers: what librdkafka has taken cannot be given back."""
        self._producer.poll(0)
        if not self.pending:
            try:
                self._producer.list_topics(self.target.topic, timeout=min(REACH, self._patience))
            except self._module.KafkaException as error:
                raise Unreachable(f"{self.target.brokers}: {error.args[0].str()}") from None

    def _produce(self, value: str | bytes, records: int) -> None:
        done = self._delivered(records)
        deadline = time.monotonic() + 2 * DELIVERY
        while True:
            try:
                self._producer.produce(self.target.topic, value, on_delivery=done)
                self.pending += records
                return
            except BufferError:  # librdkafka's own queue is full: each message leaves it in DELIVERY at the latest
                self._producer.poll(0.1)
                if time.monotonic() > deadline:
                    self.refused += records
                    return

    def _delivered(self, records: int) -> Callable[[Any, Any], None]:
        def done(error: Any, message: Any) -> None:
            self.pending -= records
            if error is None:
                self.exported += records
            else:
                self.refused += records

        return done

    def due(self) -> float | None:
        return 0.1 if self.pending else None

    def tick(self) -> None:
        self._producer.poll(0)

    def close(self) -> None:
        self._producer.flush(2 * DELIVERY)
        self.refused += self.pending
        self.pending = 0

    def abort(self) -> None:
        if self._producer is not None:
            self._producer.purge()


def _stream(table: Any) -> bytes:
    """A whole Arrow IPC stream, so that each message can be read alone."""
    import pyarrow as pa

    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return bytes(out.getvalue())


def _silent() -> Any:
    """What librdkafka has to say of brokers that are away, the exporter tells in its own words."""
    import logging

    logger = logging.getLogger("burstline.kafka")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger
