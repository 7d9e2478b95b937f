"""Meters against a token bucket of fractions, worked out without any rounding, in both modes."""

from __future__ import annotations

import random
import re
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import burstline as bl
from both_modes import pcap_of, run_both, stage_of
from burstline.engine.offline import FileRun
from burstline.errors import UsageError
from burstline.native.kernel import Kernel
from burstline.state.meter import MOST_BURST, MOST_RATE, MeterBlock

quickly = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
RATES = st.one_of(st.integers(1, 5000), st.integers(1, MOST_RATE))
BURSTS = st.one_of(st.integers(1, 5000), st.integers(1, MOST_BURST))
STEPS = st.one_of(
    st.integers(-5, 2000), st.integers(-(10**6), 10**10), st.sampled_from([10**18, -(10**18), 9 * 10**18, -9 * 10**18])
)
PACKETS = st.lists(st.tuples(STEPS, st.one_of(st.integers(0, 2000), st.integers(0, (1 << 32) - 1))), max_size=30)
SHARES = st.lists(st.tuples(st.integers(-1, 10), st.integers(0, 10)), max_size=30)  # eighths
LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1
allow = Kernel("burstline.state.meter_kernel:allow", MeterBlock, int, int)


class Exact:
    """The bucket as RFC 2697 has it, in fractions of tokens and seconds."""

    def __init__(self, rate: Fraction, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self.level, self.last = Fraction(burst), None

    def allow(self, time: int, tokens: int) -> bool:
        if self.last is None or time > self.last:
            passed = time - self.last if self.last is not None else 0
            self.level = min(Fraction(self.burst), self.level + self.rate * passed / 10**9)
            self.last = time
        if tokens > self.level:
            return False
        self.level -= tokens
        return True


def times(packets: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Times and lengths."""
    found, now = [], 1_700_000_000 * 10**9
    for step, length in packets:
        now = min(max(now + step, LOWEST), HIGHEST)
        found.append((now, length))
    return found


@quickly
@given(RATES, BURSTS, st.sampled_from(["packets", "bytes"]), PACKETS, st.sampled_from([1, 2, 3, 64]))
def test_it_is_the_exact_token_bucket(
    rate: int, burst: int, unit: Any, packets: list[tuple[int, int]], workers: int
) -> None:
    compare(rate, burst, unit, packets, workers)


@quickly
@given(RATES, BURSTS, SHARES, st.sampled_from([1, 2, 3, 64]))
def test_it_is_exact_where_the_bucket_is_nearly_full_and_nearly_empty(
    rate: int, burst: int, shares: list[tuple[int, int]], workers: int
) -> None:
    fill_time = burst * 10**9 * workers // rate
    compare(rate, burst, "bytes", [(fill_time * a // 8, burst * b // 8) for a, b in shares], workers)


def compare(rate: int, burst: int, unit: Any, packets: list[tuple[int, int]], workers: int) -> None:
    """Steps in time and lengths, through the meter of one worker, of several, and both exact ones."""
    meter = bl.Meter(rate, burst, unit)
    for _ in range(workers):
        meter.attach()
    exact, share = Exact(Fraction(rate), burst), Exact(Fraction(rate, workers), burst)
    for k, (time, length) in enumerate(times(packets)):
        tokens = length if unit == "bytes" else 1
        packet: Any = SimpleNamespace(time=time, length=length)
        assert meter.allow(packet) == exact.allow(time, tokens), k
        assert allow(meter.addresses()[0], time, length) == share.allow(time, tokens), k
    assert meter.allowed + meter.exceeded == 2 * len(packets)


def test_in_stages_packets_above_the_rate_are_told_apart() -> None:
    by_packets, by_bytes = bl.Meter(200_000, 3), bl.Meter(10_000_000, 200, "bytes")  # a packet comes every microsecond
    source = """
def police(pkt):
    if not by_bytes.allow(pkt):
        return bl.drop("too many bytes")
    if not by_packets.allow(pkt):
        return bl.drop("too many packets")
"""
    pipeline = bl.Pipeline(stage_of(source, by_packets=by_packets, by_bytes=by_bytes))
    packets = [bytes(14 + k * 7 % 90) for k in range(500)]
    outcome = run_both(pipeline, packets).equal()
    octets, count = Exact(Fraction(10_000_000), 200), Exact(Fraction(200_000), 3)
    wanted = {"too many bytes": 0, "too many packets": 0}
    for k, packet in enumerate(packets):
        if not octets.allow(1000 * k, len(packet)):
            wanted["too many bytes"] += 1
        elif not count.allow(1000 * k, 1):
            wanted["too many packets"] += 1
    assert {name: n for name, (n, _) in outcome.counts["drops"].items()} == wanted
    assert min(wanted.values()) > 0
    assert by_bytes.exceeded == wanted["too many bytes"]
    assert by_packets.allowed == len(outcome.written)


def test_workers_share_the_rate(tmp_path: Any) -> None:
    meter = bl.Meter(1000, 5)
    pipeline = bl.Pipeline(
        stage_of("def police(pkt):\n    if not meter.allow(pkt):\n        return bl.DROP", meter=meter)
    )
    path = tmp_path / "in.pcap"
    path.write_bytes(pcap_of([bytes(14)] * 10))
    FileRun(pipeline, str(path), None, workers=2).run()
    assert [b.get("parts") for b in meter._blocks] == [2 * 10**9] * 2
    assert meter.allowed == 5


def test_the_meter_of_each_flow_in_the_documentation_is_the_same() -> None:
    page = (Path(__file__).parents[1] / "docs" / "state.md").read_text()
    found = re.search(r"^```python\n(# per_flow.py\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found
    space: dict[str, Any] = {"__name__": "per_flow"}
    exec(compile(found.group(1), "per_flow.py", "exec", dont_inherit=True), space)
    chance = random.Random(3)
    head, rest = bytes(12) + b"\x08\0\x45\0\0\x1c" + bytes(5) + b"\x11\0\0", b"\0\x08\0\0"
    flows = [chance.randrange(8) for _ in range(2000)]  # a packet each microsecond
    outcome = run_both(space["pipeline"], [head + bytes(7) + bytes([k]) + bytes(4) + rest for k in flows]).equal()
    buckets = [Exact(Fraction(space["RATE"]), space["BURST"]) for _ in range(8)]
    passed = sum(buckets[k].allow(1000 * n, 1) for n, k in enumerate(flows))
    assert len(outcome.written) == passed
    assert outcome.counts["drops"]["too fast"][0] == 2000 - passed > 0


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((0, 1), r"rate is 0"),
        ((1, 0), r"burst is 0"),
        ((1.5, 1), r"rate is 1.5"),
        ((MOST_RATE + 1, 1), r"rate is"),
        ((1, MOST_BURST + 1), r"burst is"),
        ((1, 1, "bits"), r"unit is 'bits'"),
    ],
)
def test_what_is_no_rate_is_refused(arguments: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        bl.Meter(*arguments)
