"""Captures that still grow are followed: whatever is added comes, once, in its order, until the run is stopped."""

from __future__ import annotations

import gzip
import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

import burstline as bl
from both_modes import pcap_of
from burstline.cli.main import main
from burstline.engine.offline import FileRun
from burstline.errors import BurstlineError
from burstline.ports.capture_writer import CaptureWriter
from burstline.ports.follow import Follower

PACKETS = 40


def frame(number: int) -> bytes:
    return bytes(12) + b"\x88\xb5" + bytes(46 + number)


class Seen:
    """A pipeline that counts, and adds up the numbers of packets, which their lengths tell."""

    def __init__(self) -> None:
        self.count, self.sum = bl.Counter("count"), bl.Counter("sum")
        count, total = self.count, self.sum

        @bl.stage
        def look(pkt: Any) -> bl.Verdict:
            count.add(1)
            total.add(pkt.length - 60)
            return bl.PASS

        self.pipeline = bl.Pipeline(look)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def followed(path: Path, add: Callable[[Callable[[int], None]], None]) -> Seen:
    """Run over what `add` makes grow; it may wait until so many packets were seen."""
    seen = Seen()
    run = FileRun(seen.pipeline, f"follow:{path}", None)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            run.run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        add(lambda count: until(lambda: bool(failures) or seen.count.value >= count))
    finally:
        run.stop()
        thread.join()
    if failures:
        raise failures[0]
    return seen


def write(path: Path, numbers: range, mode: str = "wb") -> None:
    with path.open(mode) as stream, CaptureWriter(stream) as writer:
        for number in numbers:
            writer.write(frame(number), 60 + number, 10**18 + number)


@pytest.mark.parametrize("open_", [open, gzip.open, zstandard.open], ids=["plain", "gzip", "zstd"])
def test_packets_are_seen_as_they_are_added(tmp_path: Path, open_: Any) -> None:
    path = tmp_path / "grows.pcap"
    whole = pcap_of(frame(number) for number in range(PACKETS))
    ends = [24 + sum(16 + 60 + k for k in range(last)) for last in range(PACKETS + 1)]
    assert ends[-1] == len(whole)

    def add(wait_for: Callable[[int], None]) -> None:
        with path.open("wb", buffering=0) as raw:
            for first, last in ((0, 10), (10, 11), (11, PACKETS)):
                part = whole[ends[first] if first else 0 : ends[last]]
                if open_ is open:
                    raw.write(part[:-7])  # a packet in two parts
                    raw.write(part[-7:])
                else:
                    with open_(raw, "wb") as stream:  # a member, or frame, of its own
                        stream.write(part)
                wait_for(last)

    path.touch()
    seen = followed(path, add)
    assert (seen.count.value, seen.sum.value) == (PACKETS, sum(range(PACKETS)))


def test_files_of_a_directory_come_one_after_the_other_the_last_as_it_grows(tmp_path: Path) -> None:
    write(tmp_path / "01.pcapng", range(5))

    def add(wait_for: Callable[[int], None]) -> None:
        wait_for(5)
        write(tmp_path / "01.pcapng", range(5, 8), "ab")  # a section more: it was not at its end
        wait_for(8)
        write(tmp_path / "02.pcapng", range(8, 9))
        (tmp_path / "03.pcapng.zst").write_bytes(zstandard.compress(capture(range(9, 30))))
        wait_for(30)
        write(tmp_path / "04.pcapng", range(30, PACKETS))
        wait_for(PACKETS)

    seen = followed(tmp_path, add)
    assert (seen.count.value, seen.sum.value) == (PACKETS, sum(range(PACKETS)))


def capture(numbers: range) -> bytes:
    stream = io.BytesIO()
    with CaptureWriter(stream) as writer:
        for number in numbers:
            writer.write(frame(number), 60 + number, 10**18 + number)
    return stream.getvalue()


def test_what_cannot_be_followed_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BurstlineError, match="no such file or directory"):
        Follower(str(tmp_path / "none"))
    (tmp_path / "one.pcap").write_bytes(pcap_of([frame(1)]))
    (tmp_path / "app.py").write_text("import burstline as bl\npipeline = bl.Pipeline(bl.match('ip'))\n")
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "one.pcap").rename(folder / "one.pcap")
    assert main(["run", str(tmp_path / "app.py"), f"follow:{folder}"]) == 2
    assert "only captures in pcapng can be followed" in capsys.readouterr().err


def test_a_run_with_an_end_in_time_ends_though_nothing_comes(tmp_path: Path) -> None:
    write(tmp_path / "one.pcapng", range(3))
    seen = Seen()
    report = FileRun(seen.pipeline, f"follow:{tmp_path}/one.pcapng", None, duration=0.3).run()
    assert report.received.packets == 3 and report.stopped
