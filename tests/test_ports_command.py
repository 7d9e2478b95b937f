"""`burstline ports`: real virtual devices, and drivers as recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from burstline import dpdk
from burstline.cli.main import main
from burstline.pipeline.offloads import NAMES

APP = """\
import burstline as bl


@bl.stage
def keep(pkt):
    if not pkt.ipv4:
        return bl.DROP


pipeline = bl.Pipeline(keep, offloads=bl.Offloads(checksum="fill", tune="throughput"))
"""


@pytest.fixture
def app(tmp_path: Path) -> str:
    (tmp_path / "app.py").write_text(APP)
    return str(tmp_path / "app.py")


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["ports", *words]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["ports", *words]) != 0
    return capsys.readouterr().err


def test_a_run_is_planned_for_a_nic_that_is_not_here(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, app, "--as", "ice", "--out", "dpdk:ice")
    lines = [line.strip() for line in out.splitlines()]
    assert lines[0] == "dpdk:ice (net_ice), MTU 1,500"
    assert lines[1].startswith("as recorded from DPDK 22.11: an E810")
    assert [line.split()[0] for line in lines[6 : 6 + len(NAMES)]] == list(NAMES)
    assert any(line.startswith("checksum       fill") and "hardware" in line for line in lines)
    assert "set: receive nothing; send IPV4_CKSUM, SCTP_CKSUM, TCP_CKSUM, UDP_CKSUM" in out
    assert "note:" not in out
    assert "tuned: rx_descriptors=1024" in out


def test_the_same_as_json(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(
        printed(capsys, app, "dpdk:0000:3b:00.0", "--out", "dpdk:0000:3b:00.1", "--as", "net_mlx5", "--json")
    )
    first, second = found["ports"]
    assert (first["device"], second["device"]) == ("dpdk:0000:3b:00.0", "dpdk:0000:3b:00.1")
    assert (first["driver"], first["can"]["max_lro"]) == ("net_mlx5", 65280)
    assert first["tx_offloads"] == []
    assert "TCP_CKSUM" in second["tx_offloads"]
    assert {choice["name"] for choice in second["choices"]} == set(NAMES)


def test_what_cannot_be_had_is_an_error_before_any_port_is_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.toml").write_text('[offloads]\ntso = true\nrequire = "hardware"\n')
    err = refused(capsys, "--as", "e1000", "--config", str(tmp_path / "c.toml"))
    assert "dpdk:e1000 (net_e1000_em): tso = true, required of hardware, cannot be had: the port does not cut" in err
    (tmp_path / "c.toml").write_text('[[ports]]\ndevice = "dpdk:vmxnet3"\nmtu = 9600\n')
    err = refused(capsys, "--as", "vmxnet3", "--config", str(tmp_path / "c.toml"))
    assert "an MTU of 9,600 is not to be had: it takes at most 9,000" in err


def test_words_that_make_no_sense_are_refused(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "are several applications" in refused(capsys, app, "other.py")
    assert "is no port" in refused(capsys, "dpdk:net_null", "--out", "x.pcap")
    assert "did you mean ice?" in refused(capsys, "--as", "icee")


def test_without_ports_the_devices_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys)
    assert "PCI network devices\n" in out
    assert "drivers to plan for with --as\n  af_packet, af_xdp, bnxt" in out
    assert "mlx5" in json.loads(printed(capsys, "--json"))["recorded"]


# ---- live ----

if not dpdk.available():
    pytest.skip("built without DPDK", allow_module_level=True)

import burstline as bl  # noqa: E402
from burstline.engine.config import Config, load  # noqa: E402
from burstline.engine.live import LiveRun  # noqa: E402
from burstline.engine.live_ports import LivePorts  # noqa: E402
from dpdk_live import alone, needs_root, python, raised, veth  # noqa: E402


def shown(*words: str) -> str:
    done = python(f"from burstline.cli.main import main; raise SystemExit(main({['ports', *words]}))")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ports_of_software_are_opened_asked_and_closed(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[dpdk]\nhugepages = false\n")
    out = shown(
        "dpdk:net_null",
        f"dpdk:net_pcap,tx_pcap={tmp_path}/x.pcap",
        "dpdk:ring-loop",
        "--config",
        str(tmp_path / "c.toml"),
    )
    null, pcap, ring = out.split("\n\n")
    assert null.startswith("dpdk:net_null (net_null), MTU 1,500\n  can receive: nothing\n")
    assert "(net_pcap)" in pcap
    assert "  burst: the driver does not tell" in pcap
    assert "can send: MULTI_SEGS" in ring


def _tap(tmp_path: str) -> list[dict[str, Any]]:
    veth()
    file = Path(tmp_path) / "c.toml"
    file.write_text(
        '[dpdk]\nhugepages = false\n[offloads]\ntune = "throughput"\n'
        '[[ports]]\ndevice = "dpdk:net_tap,iface=bl1"\noffloads = { tso = true, rss = true, require = ["tso"] }\n'
        '[[ports]]\ndevice = "dpdk:net_af_packet,iface=left"\n'
    )
    ports = LivePorts(["net_tap,iface=bl1", "net_af_packet,iface=left"], None, load(file), 2)
    ports.start_eal()
    with ports.opened() as made:
        from burstline.dpdk.binding import native

        return [
            {
                **plan.as_json(),
                "text": str(port.device),
                "known": set(plan.tx) <= set(native.TX_OFFLOADS),
                "rss": port.rss,
            }
            for plan, port in zip(ports.offloads.plans, made, strict=True)
        ]


@needs_root
def test_a_tap_is_given_what_is_asked_and_a_profile_adds_arguments(tmp_path: Path) -> None:
    tap, packet = alone(_tap, str(tmp_path))
    assert {"TCP_TSO", "TCP_CKSUM", "IPV4_CKSUM", "MULTI_SEGS"} <= set(tap["tx_offloads"])
    assert tap["cut_by_port"] == ["TCP over IPv4"]
    assert tap["known"] and tap["rss"]
    assert packet["text"].endswith("iface=left,qdisc_bypass=1,qpairs=2")
    assert packet["tuning"]["settings"][0]["value"] == 1


def _virtio(folder: str) -> list[dict[str, Any]]:
    """Nothing is sent: merged packets need not be cut again."""
    file = Path(folder) / "c.toml"
    file.write_text(
        f'[dpdk]\nhugepages = false\n[[ports]]\ndevice = "dpdk:net_virtio_user0,path={folder}/s"\n'
        'offloads = { lro = true, tune = "latency" }\n'
    )
    devices = [f"net_vhost0,iface={folder}/s,tso=1", f"net_virtio_user0,path={folder}/s"]
    config = load(file).with_overrides(duration=0.2)

    @bl.stage
    def eat(pkt: Any) -> Any:
        return bl.CONSUME

    return LiveRun(bl.Pipeline(eat), devices, None, config).run().ports


@needs_root
def test_a_peer_is_told_to_merge(tmp_path: Path) -> None:
    """net_virtio_user is planned for before it is there, and set up as it says then."""
    vhost, virtio = alone(_virtio, str(tmp_path))
    assert vhost["offloads"]["rx_offloads"] == []
    assert virtio["offloads"]["rx_offloads"] == ["SCATTER", "TCP_CKSUM", "TCP_LRO"]
    assert virtio["offloads"]["summary"] == "lro by peer, scatter by peer"
    assert [s["name"] for s in virtio["offloads"]["tuning"]["settings"]] == ["in_order", "queue_size"]


def _bad(text: str) -> str:
    config = Config().with_overrides(hugepages=False, duration=0.1)
    offloads = bl.Offloads(**json.loads(text))

    @bl.stage
    def keep(pkt: Any) -> Any:
        return bl.PASS

    run = LiveRun(bl.Pipeline(keep, offloads=offloads), ["net_null0"], "dpdk:net_null1", config)
    return raised(run.run).message


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ('{"tso": true, "require": "hardware"}', "dpdk:net_null1 (net_null): tso = true, required of hardware"),
        ('{"rss": "symmetric"}', "the port takes no RSS key"),
        ('{"segment_size": 1461}', "larger than the MTU of 1,500"),
        ('{"fast_free": true}', "the port does not offer it (MBUF_FAST_FREE)"),
        ('{"lro": true, "gro": false}', "lro = true cannot be had"),
    ],
)
def test_a_run_with_bad_wishes_ends_before_its_ports_start(asked: str, says: str) -> None:
    assert says in alone(_bad, asked)
