"""`burstline doctor dpdk:DEVICE`: how ports would receive."""

from __future__ import annotations

from pathlib import Path

import pytest

from burstline import dpdk
from burstline.cli.main import main

if not dpdk.available():
    pytest.skip("built without DPDK", allow_module_level=True)

from dpdk_live import python


def test_what_is_no_port_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "capture.pcap"]) == 2
    assert "capture.pcap is no port" in capsys.readouterr().err


def test_ports_that_are_named_are_told_with_how_they_would_receive(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[dpdk]\nhugepages = false\n[pools]\ncache = 512\n")
    words = ["doctor", "dpdk:net_null,size=300", f"dpdk:net_pcap,tx_pcap={tmp_path}/x.pcap"]
    script = (
        f"from burstline.cli.main import main; raise SystemExit(main({[*words, '--config', str(tmp_path / 'c.toml')]}))"
    )
    done = python(script)
    assert done.returncode == 0, done.stderr
    assert "dpdk:net_null,size=300 (net_null)\n  one pool, buffers of 640 bytes: a frame has at most 312" in done.stdout
    assert "(net_pcap)\n  scatter, buffers of 2,048 bytes, gathered into 9,216: it chains" in done.stdout
    assert "receive rings of a worker: 2 x" in done.stdout
    assert "free buffers of a core: (1.5 x 512" in done.stdout


def test_a_port_that_cannot_be_had_is_an_error() -> None:
    done = python("from burstline.cli.main import main; raise SystemExit(main(['doctor', 'dpdk:net_nulll']))")
    assert done.returncode != 0
    assert "net_null" in done.stderr
