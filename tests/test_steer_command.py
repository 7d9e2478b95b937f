"""`burstline steer`: what it tells of a capture, and how it answers what makes no sense."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from burstline.cli.main import main
from burstline.engine.flow_packets import flow_packets
from burstline.packet.flow_key import flow_key, tuple_of
from burstline.packet.parser import parse
from burstline.ports.capture_reader import read_capture
from burstline.ports.generator_file import write_traffic
from burstline.ports.link_layer import link_of
from burstline.ports.traffic import traffic_of
from burstline.state.toeplitz import DEFAULT_KEY, toeplitz
from burstline.steering.control.decision_log import flow_text

PARAMETERS = {"packets": "60000", "flows": "300", "zipf": "0.9", "rate": "200k"}


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("steer") / "in.pcapng"
    write_traffic(traffic_of(PARAMETERS, str), str(path), None)
    return path


def hashed(key: bytes) -> bytes:
    """What a NIC hashes of a flow."""
    _, src, dst, sport, dport = tuple_of(key)
    assert src and dst
    return src.packed + dst.packed + sport.to_bytes(2, "big") + dport.to_bytes(2, "big")


def test_flows_are_those_of_the_interpreted_key_with_their_packets_and_hashes(capture: Path) -> None:
    found = flow_packets([str(capture)])
    counts: Counter[bytes] = Counter()
    lengths: Counter[bytes] = Counter()
    with capture.open("rb") as stream:
        for packet in read_capture(stream, str(capture)):
            key = flow_key(packet.data, parse(packet.data, len(packet.data), link_of(packet.linktype)))
            counts[key] += 1
            lengths[key] += packet.length
    by_flow = np.bincount(found.numbers)
    assert {key: int(by_flow[k]) for k, key in enumerate(found.keys)} == dict(counts)
    for k, key in enumerate(found.keys):
        assert found.sizes[k] == pytest.approx(lengths[key] / counts[key])
        assert found.hashes[k] == toeplitz(DEFAULT_KEY, hashed(key))
    assert (np.diff(found.times) >= 0).all()


def test_it_compares_and_explains(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["steer", str(capture), "--workers", "4", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["packets"] == 60000 and told["cores"] == 4
    assert told["core_rate"] == pytest.approx(60000 / told["seconds"] / 4 / 0.5)
    assert 1 <= told["steered"]["imbalance"] < told["plain"]["imbalance"]
    for way in ("plain", "steered"):
        assert sum(told[way]["loads"]) == pytest.approx(4 * 0.5, rel=0.02)
    assert len(told["elephants"]) == 10
    assert [e["packets"] for e in told["elephants"]] == sorted((e["packets"] for e in told["elephants"]), reverse=True)
    assert all(decision["reason"] for decision in told["decisions"])
    assert main(["steer", str(capture), "--workers", "4", "--explain"]) == 0
    text = capsys.readouterr().out
    first = told["decisions"][0]
    assert first["reason"] in text and f"{first['time']:.3f} s" in text
    assert told["elephants"][0]["flow"] in text
    assert main(["steer", str(capture), "--workers", "4"]) == 0
    assert first["reason"] not in capsys.readouterr().out


def test_settings_count(capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "burstline.toml"
    config.write_text("[steering_control]\nenter = 60\ndedicate = 1\n")
    assert main(["steer", str(capture), "--config", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["decisions"] == []
    config.write_text("[steering_control]\nenter = 1.2\nleave = 1.5\n")
    assert main(["steer", str(capture), "--config", str(config)]) == 2
    assert "[steering_control] leave is 1.5, above enter = 1.2" in capsys.readouterr().err


def test_without_room_for_rules_no_flow_is_placed(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["steer", str(capture), "--rules", "0", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {decision["action"] for decision in told["decisions"]} == {"MoveBucket"}
    assert told["steered"]["rules"] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dpdk:net_null0"], "is a live port"),
        (["app.py"], "is an application"),
        (["app.py:pipeline"], "is an application"),
        (["gen:packets=1k", "--workers", "1"], "--workers 1"),
        (["gen:packets=1k", "--reta", "100"], "--reta 100 is no power of two"),
        (["gen:packets=1k", "--rules", "-1"], "--rules -1"),
        (["gen:packets=1k", "--core-rate", "fast"], "--core-rate fast is no number"),
        (["gen:packets=1k", "--look", "0"], "--look 0 is not"),
        (["gen:packets=0"], "has no packets"),
        (["gen:packets=1"], "came at the same time"),
    ],
)
def test_what_makes_no_sense_is_one_message_with_a_hint(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["steer", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert message in lines[0] and lines[1].startswith("  hint: ") and len(lines) == 2


def test_a_file_that_is_none_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["steer", str(tmp_path / "none.pcap")]) == 1
    assert "none.pcap" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("06 04 5000 0004 0000 0a000001 c0000201", "tcp 10.0.0.1:80 > 192.0.2.1:1024"),
        ("11 06 3500 0010 0000 20010db8000000000000000000000001 20010db8000000000000000000000002",
         "udp [2001:db8::1]:53 > [2001:db8::2]:4096"),
        ("01 04 0000 0000 0000 0a000001 c0000201", "icmp 10.0.0.1 > 192.0.2.1"),
        ("2f 04 0000 0000 0000 0a000001 c0000201", "protocol 47 10.0.0.1 > 192.0.2.1"),
        ("00 00 0608 0000", "not IP"),
    ],
)  # fmt: skip
def test_flows_are_spelled_as_people_do(key: str, shown: str) -> None:
    assert flow_text(bytes.fromhex(key).ljust(40, b"\0")) == shown
