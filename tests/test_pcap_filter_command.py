"""`burstline filter` writes what tcpdump writes, for all formats, and ends as commands do."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from burstline.cli.main import main
from burstline.ports.capture_reader import CapturedPacket, read_capture
from burstline.ports.generator_file import write_traffic
from burstline.ports.traffic import traffic_of


def packets(path: Path) -> list[CapturedPacket]:
    with path.open("rb") as stream:
        return list(read_capture(stream, str(path)))


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filter") / "in.pcap"
    traffic = traffic_of({"packets": "4000", "flows": "300", "ipv6": "0.2", "vlan": "0.2"}, str)
    write_traffic(traffic, str(path), None)
    return path


@pytest.mark.parametrize("expression", ["tcp port 443", "vlan", "ip6 or greater 1000"])
@pytest.mark.parametrize("suffix", ["pcap", "pcapng"])
def test_it_writes_what_tcpdump_writes(capture: Path, tmp_path: Path, expression: str, suffix: str) -> None:
    tcpdump = shutil.which("tcpdump", path="/usr/bin:/usr/sbin:/sbin:/usr/local/bin")
    if tcpdump is None:
        pytest.skip("tcpdump is not here")
    ours, theirs = tmp_path / f"ours.{suffix}", tmp_path / "theirs.pcap"
    assert main(["filter", expression, str(capture), "-o", str(ours)]) == 0
    command = [tcpdump, "--nano", "-r", str(capture), "-w", "-", expression]
    theirs.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    assert packets(ours) == packets(theirs)
    assert 0 < len(packets(ours)) < 4000


def test_inverted_counted_and_compressed(capture: Path, tmp_path: Path) -> None:
    packed = tmp_path / "in.pcap.gz"
    packed.write_bytes(gzip.compress(capture.read_bytes()))
    kept, left, few = (tmp_path / f"{name}.pcap" for name in ("kept", "left", "few"))
    assert main(["filter", "tcp", str(packed), "-o", str(kept)]) == 0
    assert main(["filter", "tcp", str(packed), "-o", str(left), "-v"]) == 0
    assert main(["filter", "tcp", str(packed), "-o", str(few), "-c", "5"]) == 0
    assert packets(few) == packets(kept)[:5]
    assert sorted(packets(kept) + packets(left)) == sorted(packets(capture))


def test_through_pipes(capture: Path) -> None:
    command = [sys.executable, "-m", "burstline", "filter", "udp", "-", "-o", "-"]
    done = subprocess.run(command, input=capture.read_bytes(), capture_output=True, check=True)
    assert done.stdout[:4] == b"\x0a\x0d\x0d\x0a"
    assert b"sent" in done.stderr


def test_a_wrong_filter_and_a_wrong_file_are_told(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["filter", "tcp prot 80", str(capture)]) == 2
    told = capsys.readouterr().err
    assert "column 5" in told
    assert "^" in told
    assert main(["filter", "tcp", str(capture.with_name("absent.pcap"))]) == 1
    assert main(["filter", "tcp", str(capture), "-o", str(capture)]) == 2
