"""bl.match as a stage, and asked within a stage: compiled = interpreted."""

from __future__ import annotations

from pathlib import Path

import pytest

import burstline as bl
from burstline.engine.interpreter import Interpreter
from burstline.engine.offline import FileRun
from burstline.ports.generator_file import write_traffic
from burstline.ports.traffic import traffic_of


@pytest.mark.parametrize("suffix", ["pcap", "pcapng"])
def test_as_a_stage_and_within_one_compiled_is_interpreted(tmp_path: Path, suffix: str) -> None:
    capture = tmp_path / f"in.{suffix}"
    write_traffic(traffic_of({"packets": "3000", "flows": "200", "ipv6": "0.3"}, str), str(capture), None)
    web = bl.match("port 443")
    seen = bl.Counter("seen")

    @bl.stage
    def count(pkt):  # type: ignore[no-untyped-def]
        if pkt in web:
            seen.add(1)

    pipeline = bl.Pipeline(bl.match("tcp and not (ip[8] < 3)"), count)
    compiled = FileRun(pipeline, str(capture), None).run()
    counted = seen.value
    interpreted = Interpreter(pipeline, str(capture)).run_file(str(capture), None, None, None)
    assert compiled.consumed == interpreted.consumed
    assert compiled.drops == interpreted.drops
    assert set(compiled.drops) == {"tcp and not (ip[8] < 3)"}
    assert counted == seen.value
    assert 0 < counted < compiled.consumed.packets
