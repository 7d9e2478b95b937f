"""Sinks of flow records as they are written."""

from __future__ import annotations

import pytest

from burstline.errors import UsageError
from burstline.export.exporter import exporter_of
from burstline.export.spelling import Rotation, octets, rotation, seconds, target


def test_files_are_known_by_their_names_or_by_a_word_in_front() -> None:
    assert (target("a/b.parquet").kind, target("a/b.parquet").path) == ("parquet", "a/b.parquet")
    assert (target("csv:flows.txt").kind, target("csv:flows.txt").path) == ("csv", "flows.txt")
    assert [target(name).kind for name in ("f.arrows", "f.jsonl", "-")] == ["arrow", "json", "json"]
    assert target("f.parquet?rotate=60s,1GB&group=10").options == {"rotate": "60s,1GB", "group": "10"}


def test_streams_have_a_host_and_a_port_which_may_be_the_usual_one() -> None:
    udp = target("ipfix+udp://[::1]:9995?mtu=9000")
    assert (udp.kind, udp.host, udp.port, udp.options) == ("ipfix+udp", "::1", 9995, {"mtu": "9000"})
    assert [target(f"ipfix+tcp://{host}").port for host in ("collector", "[2001:db8::1]")] == [4739, 4739]
    kafka = target("kafka://a,b:9093/flows")
    assert (kafka.brokers, kafka.topic) == ("a:9092,b:9093", "flows")


def test_times_and_sizes_have_units() -> None:
    assert (seconds("90s"), seconds("1.5m"), seconds("2h"), seconds("7")) == (90, 90, 7200, 7)
    assert (octets("1GB"), octets("4KiB"), octets("10B")) == (10**9, 4096, 10)
    assert rotation("60s,1GB") == Rotation(60, 10**9)
    assert (rotation("1MB"), rotation("1h"), bool(Rotation())) == (Rotation(0, 10**6), Rotation(3600, 0), False)


@pytest.mark.parametrize(
    ("spelled", "match"),
    [
        ("flows.xlsx", "what kind of file is that"),
        ("ftp://host/flows", "flows cannot go to ftp"),
        ("kafka://broker", "names no topic"),
        ("arrow+tcp://host", "is no host with a port"),
        ("ipfix+udp://host:0", "is no host with a port"),
        ("f.parquet?rotate", "is no option"),
        ("parquet:", "names no file"),
    ],
)
def test_what_means_nothing_is_refused(spelled: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        target(spelled)


@pytest.mark.parametrize(
    ("spelled", "match"),
    [
        ("f.parquet?rotate=soon", "is not a time"),
        ("f.parquet?rotate=0s", "is not a time"),
        ("f.parquet?colour=red", "there is no option colour"),
        ("f.parquet?compression=rar", "it is zstd or"),
        ("f.csv?compression=zstd", "there is no option compression"),
        ("parquet:-", "cannot go through a pipe"),
        ("-?rotate=1s", "a pipe cannot be rotated"),
        ("ipfix+udp://h?mtu=100", "out of range"),
        ("ipfix+udp://h?time=days", "it is ms or us or ns"),
        ("kafka://b/t?format=xml", "it is json or arrow"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_runs(spelled: str, match: str) -> None:
    pytest.importorskip("pyarrow")
    if spelled.startswith("kafka"):
        pytest.importorskip("confluent_kafka")
    with pytest.raises(UsageError, match=match):
        exporter_of(target(spelled))
