"""Flow records to Kafka: to librdkafka's mock of a cluster, and to a real broker where `$BURSTLINE_KAFKA` names one."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from burstline.export.outlet import Outlet
from export_rows import rows, shape

confluent_kafka = pytest.importorskip("confluent_kafka")
pytest.importorskip("pyarrow")


@pytest.fixture(params=["mock", "real"])
def broker(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "real":
        if "BURSTLINE_KAFKA" not in os.environ:
            pytest.skip("no Kafka broker: start one, and set BURSTLINE_KAFKA=host:port")
        yield os.environ["BURSTLINE_KAFKA"]
        return
    cluster = confluent_kafka.Producer({"test.mock.num.brokers": 1, "log_level": 0})
    (address,) = cluster.list_topics(timeout=60).brokers.values()
    yield f"{address.host}:{address.port}"
    del cluster


def consumed(broker: str, topic: str, messages: int) -> list[bytes]:
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": broker, "group.id": str(uuid.uuid4()), "auto.offset.reset": "earliest", "log_level": 0}
    )
    consumer.subscribe([topic])
    found: list[bytes] = []
    while len(found) < messages:
        for message in consumer.consume(1000, timeout=1.0):
            assert message.error() is None
            found.append(message.value())
    consumer.close()
    return found


def export(broker: str, topic: str, given: Any, options: str = "") -> dict[str, Any]:
    outlet = Outlet(f"kafka://{broker}/{topic}{options}")
    outlet.begin(shape())
    outlet.put(given, waits=True)
    outlet.close()
    return outlet.status()


def test_records_are_json_messages(broker: str) -> None:
    topic, given = f"flows-{uuid.uuid4()}", rows(2500)
    assert export(broker, topic, given)["exported"] == 2500
    found = [json.loads(message) for message in consumed(broker, topic, 2500)]
    assert sorted(one["bytes"] for one in found) == list(range(2500))
    by_bytes = {one["bytes"]: one for one in found}
    expected = shape().arrow(given).column("src").to_pylist()
    assert [by_bytes[k]["src"] for k in range(2500)] == expected


def test_batches_are_arrow_messages(broker: str) -> None:
    import pyarrow as pa

    topic, given = f"flows-{uuid.uuid4()}", rows(10_000)
    assert export(broker, topic, given, "?format=arrow")["exported"] == 10_000
    messages = consumed(broker, topic, 2)
    tables = [pa.ipc.open_stream(message).read_all() for message in messages]
    while sum(table.num_rows for table in tables) < 10_000:
        messages = consumed(broker, topic, len(messages) + 1)
        tables = [pa.ipc.open_stream(message).read_all() for message in messages]
    tables.sort(key=lambda table: table.column("bytes")[0].as_py())
    assert pa.concat_tables(tables).equals(shape().arrow(given))


def test_without_a_broker_all_is_refused_and_counted() -> None:
    status = export("127.0.0.1:9", "flows", rows(100), "?patience=0.1s")
    assert (status["exported"], status["refused"], status["waiting"]) == (0, 100, 0)
    assert "127.0.0.1:9" in status["trouble"]
