"""Ctrl-C ends a run between packets, and between batches of digests: what it ends is counted whole."""

from __future__ import annotations

import signal
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from burstline.engine.interpreter import Interpreter
from burstline.engine.interrupts import Interrupts, interrupts_held
from burstline.engine.offline import FileRun
from burstline.ports.capture_reader import read_capture
from burstline.ports.source import open_stream
from test_threads import blocked

ENDLESS = "gen:packets=1e12,flows=10"


class Query(bl.Record):
    time: bl.i64


def test_an_interrupt_within_a_packet_waits_for_its_count(tmp_path: Path) -> None:
    seen = bl.Counter("seen")

    @bl.stage
    def judge(pkt: Any) -> None:
        seen.add()
        if seen.value == 20:
            signal.raise_signal(signal.SIGINT)
        if seen.value == 21:
            raise AssertionError("it ends before")

    out = tmp_path / "out.pcap"
    report = Interpreter(bl.Pipeline(judge), ENDLESS).run_file(ENDLESS, str(out), None, None)
    assert report.stopped
    assert (report.received.packets, report.sent.packets, seen.value) == (20, 20, 20)
    with open_stream(str(out)) as stream:
        assert len(list(read_capture(stream, "out.pcap"))) == 20
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_interrupt_ends_a_stage_that_does_not_return() -> None:
    @bl.stage
    def wait(pkt: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        while True:
            signal.raise_signal(signal.SIGINT)

    report = Interpreter(bl.Pipeline(wait), ENDLESS).run_file(ENDLESS, None, None, None)
    assert report.stopped
    assert not report.received.packets


def test_an_interrupt_between_packets_ends_a_read_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    from burstline.engine import interpreter

    def waits(*_: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the read goes on")
        yield

    monkeypatch.setattr(interpreter, "read_capture", waits)

    @bl.stage
    def judge(pkt: Any) -> None:
        pass

    assert Interpreter(bl.Pipeline(judge), ENDLESS).run_file(ENDLESS, None, None, None).stopped


def test_an_interrupt_within_a_handler_loses_no_digest() -> None:
    queries = bl.Digest(Query, capacity=1 << 10)
    got = list[int]()

    @queries.batches
    def keep(batch: Any) -> None:
        if threading.current_thread() is threading.main_thread() and not interrupted:
            interrupted.append(True)
            signal.raise_signal(signal.SIGINT)
        got.extend(batch["time"].tolist())

    @bl.stage
    def ask(pkt: Any) -> None:
        query = queries.new()
        query.time = pkt.time

    interrupted = list[bool]()
    run = FileRun(bl.Pipeline(ask), ENDLESS, None)
    report = run.run()
    assert report.stopped
    assert interrupted
    assert len(got) == report.received.packets
    assert all(a < b for a, b in pairwise(got)), "each once, in their order"


def test_an_interrupt_waits_to_the_end_of_what_is_whole_and_a_second_one_does_not() -> None:
    interrupts, happened = Interrupts(), list[str]()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for times in (1, 2, 1):  # what one left does not make the next one's first a second
            with pytest.raises(KeyboardInterrupt), interrupts.taken(), interrupts.whole():
                for _ in range(times):
                    signal.raise_signal(signal.SIGTERM)
                    happened.append("goes on")
        assert happened == ["goes on"] * 3
        assert not interrupts.asked
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_signal_that_means_something_else_is_left_alone() -> None:
    heard = list[int]()
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        with Interrupts().taken():
            signal.raise_signal(signal.SIGINT)
        assert heard == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_was_held_comes_when_it_is_let_go() -> None:
    with pytest.raises(KeyboardInterrupt), interrupts_held():
        signal.raise_signal(signal.SIGINT)
        assert blocked()
    assert not blocked()
