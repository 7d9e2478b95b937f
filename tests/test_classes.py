"""Size classes: which one a frame goes into, and that the proposed ones waste least memory."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from both_modes import pcap_of
from burstline.buffers.classes import DEFAULT, LARGEST, OVERHEAD, SizeClasses, clairvoyant, histogram, propose, rounded
from burstline.cli.main import main
from burstline.engine.config import Pools, load
from burstline.errors import UsageError
from burstline.ports.frame_sizes import size_table

few_frames = st.dictionaries(st.integers(1, 900), st.integers(1, 1000), min_size=1, max_size=12)
ONE = SizeClasses((9216,))
# Simple IMIX (RFC 6985, appendix A.1 has it with 64, 570 and 1518 bytes), with a jumbo frame for each full one.
IMIX = {64: 7, 570: 4, 1518: 1, 9018: 1}
GENERATED = {**histogram(size_table(600, 64)), 9018: 100}  # of `burstline gen`, and a tenth of jumbo frames


def brute_force(frames: Mapping[int, int], k: int) -> int:
    """The least memory of all choices of at most k whole numbers of lines."""
    lines = range(64, rounded(max(frames)) + 1, 64)
    needed = lines[-1]
    return min(
        SizeClasses((*chosen, needed)).memory(frames)
        for count in range(k)
        for chosen in itertools.combinations(lines[:-1], count)
    )


@given(frames=few_frames, k=st.integers(1, 3))
def test_no_other_sizes_hold_the_frames_in_less_memory(frames: dict[int, int], k: int) -> None:
    classes = propose(frames, k)
    assert len(classes.sizes) <= k
    assert classes.memory(frames) == brute_force(frames, k)


@given(frames=few_frames, k=st.integers(1, 6))
def test_one_more_size_never_takes_more_memory_and_one_for_each_takes_the_least(frames: dict[int, int], k: int) -> None:
    fewer, more = propose(frames, k).memory(frames), propose(frames, k + 1).memory(frames)
    assert clairvoyant(frames) <= more <= fewer
    assert propose(frames, 16).memory(frames) == clairvoyant(frames)


@given(frames=few_frames, k=st.integers(1, 6), largest=st.integers(900, 9216))
def test_the_largest_size_is_the_one_that_is_given(frames: dict[int, int], k: int, largest: int) -> None:
    classes = propose(frames, k, largest)
    assert classes.largest == rounded(largest)
    assert len(classes.sizes) <= k


@given(size=st.integers(0, 20000), sizes=st.sets(st.integers(1, 200), min_size=1).map(sorted))
def test_a_frame_goes_into_the_smallest_buffer_that_holds_it(size: int, sizes: list[int]) -> None:
    classes = SizeClasses(tuple(64 * s for s in sizes))
    fits = [s for s in classes.sizes if s >= size]
    assert classes.class_for(size) == (min(fits) if fits else None)


def test_memory_counts_what_each_buffer_takes_and_as_many_as_a_long_frame_needs() -> None:
    classes = SizeClasses((128, 2048))
    assert OVERHEAD == 64 + 128 + 128
    assert classes.memory({60: 2, 128: 1, 129: 1}) == 3 * (128 + OVERHEAD) + 2048 + OVERHEAD
    assert classes.memory({5000: 1}) == 3 * (2048 + OVERHEAD)
    assert clairvoyant({60: 2, 65: 1}) == 2 * (64 + OVERHEAD) + 128 + OVERHEAD


@pytest.mark.parametrize("frames", [IMIX, GENERATED], ids=["imix", "generated"])
def test_classes_hold_mixed_traffic_in_a_third_of_what_one_size_takes(frames: dict[int, int]) -> None:
    classes = propose(frames, 6, 9216)
    assert classes.memory(frames) <= 0.35 * ONE.memory(frames)
    assert DEFAULT.memory(frames) <= 0.35 * ONE.memory(frames)
    assert classes.memory(frames) <= 1.15 * clairvoyant(frames)


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ((), "not in rising order"),
        ((128, 64), "not in rising order"),
        ((64, 64), "not in rising order"),
        ((100,), "multiples of 64"),
        ((LARGEST + 64,), "multiples of 64"),
    ],
)
def test_sizes_that_are_none_are_refused(sizes: tuple[int, ...], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        SizeClasses(sizes)


def test_what_cannot_be_proposed_is_refused() -> None:
    for frames, k, largest in (({}, 4, None), ({64: 1}, 0, None), ({2000: 1}, 4, 1500)):
        with pytest.raises(UsageError):
            propose(frames, k, largest)


# ---- settings ----


def test_the_size_that_is_set_to_receive_into_is_a_class() -> None:
    assert Pools().size_classes == DEFAULT
    assert Pools().buffer is None
    assert Pools(buffer_size=2176).size_classes == DEFAULT
    assert Pools(buffer_size=300).buffer == 192
    assert Pools(buffer_size=300).size_classes.sizes == (128, 192, 640, 2048, 9216)
    assert Pools(buffer_size=65535).buffer == LARGEST


@pytest.mark.parametrize("text", ["[]", "[128, 64]", "[100]", "[64, 64]", "128", '["64"]'])
def test_classes_in_settings_are_checked(text: str, tmp_path: Path) -> None:
    (tmp_path / "burstline.toml").write_text(f"[pools]\nclasses = {text}\n")
    with pytest.raises(UsageError, match=r"burstline.toml:2: \[pools\] classes"):
        load(tmp_path / "burstline.toml")


def test_a_queue_takes_sixteen_classes_and_no_more(tmp_path: Path) -> None:
    file = tmp_path / "burstline.toml"
    file.write_text(f"[pools]\nclasses = {[64 * k for k in range(1, 17)]}\n")
    assert len(load(file).pools.size_classes.sizes) == 16
    file.write_text(f"[pools]\nclasses = {[64 * k for k in range(1, 17)]}\nbuffer_size = 2176\n")
    with pytest.raises(UsageError, match="has 17 sizes"):
        load(file)


# ---- the command ----


def capture(tmp_path: Path) -> str:
    (tmp_path / "x.pcap").write_bytes(pcap_of([bytes(size) for size in (60, 60, 60, 594, 594, 1500)]))
    return str(tmp_path / "x.pcap")


def test_the_command_shows_frames_and_settings_that_can_be_pasted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["buffers", capture(tmp_path), "--classes", "3"]) == 0
    shown = capsys.readouterr().out
    assert "6 frames of 60 to 1,500 bytes" in shown
    assert "0 - 64                 3   50.0 %" in shown
    pasted = tmp_path / "burstline.toml"
    pasted.write_text(shown[shown.index("[pools]") :])
    assert load(pasted).pools.classes == (64, 640, 2048)


def test_the_command_compares_the_settings_that_it_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.toml").write_text("[pools]\nclasses = [1536]\n")
    assert (
        main(["buffers", capture(tmp_path), "--json", "--config", str(tmp_path / "c.toml"), "--largest", "9000"]) == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told["sizes"] == {"60": 3, "594": 2, "1500": 1}
    assert told["classes"]["configured"] == {"sizes": [1536], "memory": 6 * (1536 + OVERHEAD)}
    assert told["classes"]["proposed"]["sizes"] == [64, 640, 1536, 9024]
    assert told["classes"]["proposed"]["memory"] == told["exact"]


@pytest.mark.parametrize("arguments", [["--classes", "0"], ["--classes", "17"], ["--largest", "100"]])
def test_the_command_refuses_what_makes_no_sense(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["buffers", capture(tmp_path), *arguments]) == 2
    (tmp_path / "empty.pcap").write_bytes(pcap_of([]))
    assert main(["buffers", str(tmp_path / "empty.pcap")]) == 2
    assert "has no packets" in capsys.readouterr().err
