"""Which ports a live run opens, and what is refused before any is opened."""

from __future__ import annotations

import pytest

from burstline.engine.config import Config, Port
from burstline.engine.live_ports import LivePorts
from burstline.errors import UsageError


def ports(*sources: str, out: str | None = None, workers: int = 1, config: Config | None = None) -> LivePorts:
    return LivePorts(sources, out, config or Config(), workers)


def test_sources_come_first_and_a_new_sink_gets_the_next_number() -> None:
    made = ports("net_null0", "net_null1", out="dpdk:net_null2")
    assert made.devices == ["net_null0", "net_null1", "net_null2"]
    assert made.out == 2
    assert [made.receives(number) for number in range(3)] == [True, True, False]


def test_a_sink_that_is_a_source_is_opened_once() -> None:
    made = ports("net_null0", "net_null1", out="dpdk:net_null1")
    assert made.devices == ["net_null0", "net_null1"]
    assert made.out == 1


def test_a_file_is_no_port() -> None:
    made = ports("net_null0", out="out.pcapng")
    assert (made.out, made.out_file, made.devices) == (-1, "out.pcapng", ["net_null0"])


def test_a_port_named_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="named twice"):
        ports("net_null0", "net_null0")


def test_more_ports_than_a_pipeline_can_send_to_are_refused() -> None:
    with pytest.raises(UsageError, match="65 ports are more than the 64"):
        ports(*(f"net_null{k}" for k in range(65)))


@pytest.mark.parametrize(("queues", "workers"), [(1, 2), (4, 2), (2, 1)])
def test_queues_that_no_worker_or_two_workers_would_poll_are_refused(queues: int, workers: int) -> None:
    config = Config(ports=(Port("dpdk:net_null0", queues=queues),))
    with pytest.raises(UsageError, match=f"set to {queues} queue") as caught:
        ports("net_null0", workers=workers, config=config)
    assert f"--workers {queues}" in str(caught.value.hint)
    assert ports("net_null0", workers=queues, config=config).devices == ["net_null0"]
