"""Profiles of drivers: each setting has its source, is one that the driver knows, and gives way to the user's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from burstline.dpdk.device import Device
from burstline.engine.config import Config, Port
from burstline.engine.live_offloads import LiveOffloads
from burstline.offload.planning.capabilities import PortCapabilities, names, recorded
from burstline.offload.planning.profiles import PROFILES
from burstline.offload.planning.tuning import NO_TUNING, preferred, tune
from burstline.pipeline.offloads import Offloads
from dpdk_source import SOURCE, needs_source

CITED = re.compile(r"((?:nics|net|common)/[\w./]+\.(?:[ch]|rst))(?::(\d+)(?:-(\d+))?| \(([^)]+)\))")
EVERY = sorted(PROFILES, key=str)
THRESHOLDS = {
    "rx_pthresh", "rx_hthresh", "rx_wthresh", "rx_free_thresh", "rx_drop_en",
    "tx_pthresh", "tx_hthresh", "tx_wthresh", "tx_free_thresh", "tx_rs_thresh",
}  # fmt: skip


@pytest.mark.parametrize("which", EVERY, ids=" ".join)
def test_each_setting_has_its_reason_and_its_source(which: tuple[str, str]) -> None:
    for setting in PROFILES[which]:
        assert setting.why
        assert CITED.search(setting.source), setting.source
        assert setting.kind != "threshold" or setting.name in THRESHOLDS
        assert setting.kind != "descriptors" or setting.name in ("rx_descriptors", "tx_descriptors")
    assert len({(s.kind, s.name) for s in PROFILES[which]}) == len(PROFILES[which])


def test_the_drivers_that_matter_have_profiles() -> None:
    for driver in ("mlx5", "ice", "i40e", "ixgbe", "ena", "virtio_user", "bnxt", "af_xdp"):
        for mode in ("throughput", "latency"):
            assert (f"net_{driver}", mode) in PROFILES


@pytest.mark.parametrize("which", EVERY, ids=" ".join)
def test_rings_are_such_as_the_driver_takes(which: tuple[str, str]) -> None:
    driver = which[0].removeprefix("net_")
    if driver not in names():
        pytest.skip(f"{driver} was not recorded")
    can = recorded(driver)
    tuning = tune(which[0], which[1], cpu=["avx512"])  # type: ignore[arg-type]
    for wanted, limits in ((tuning.rx_descriptors, can.rx_descriptors), (tuning.tx_descriptors, can.tx_descriptors)):
        assert wanted is None or limits.nearest(wanted) == wanted


@needs_source
@pytest.mark.parametrize("which", EVERY, ids=" ".join)
def test_the_cited_places_speak_of_the_setting(which: tuple[str, str]) -> None:
    for setting in PROFILES[which]:
        for path, first, last, words in CITED.findall(setting.source):
            file = SOURCE / ("doc/guides" if path.startswith("nics/") else "drivers") / path
            text = file.read_text()
            if words:
                assert words.lower().split(" (")[0] in text.lower(), f"{path}: {words}"
            else:
                lines = "\n".join(text.splitlines()[int(first) - 1 : int(last or first)])
                assert lines.strip(), setting.source
                if setting.kind == "devarg" and path.startswith("nics/"):
                    assert setting.name in lines, f"{setting.name}: {setting.source}"


def test_off_changes_nothing_and_an_unknown_driver_gets_what_it_prefers() -> None:
    assert tune("net_ice", "off", can=recorded("ice")) == NO_TUNING
    can = PortCapabilities("net_hinic", rx_ring=512, tx_ring=256, rx_burst=32)
    tuning = tune("net_hinic", "throughput", can=can)
    assert (tuning.rx_descriptors, tuning.tx_descriptors, tuning.value("burst", "burst")) == (512, 256, 32)
    assert all("default_rxportconf" in s.source for s in tuning.settings)
    assert preferred(PortCapabilities("net_null")) == ()
    assert tune("net_hinic", "latency").settings == ()


def test_what_the_user_wrote_stays() -> None:
    ours = tune("net_mlx5", "throughput", arguments=["mprq_en"], taken=["rx_descriptors"])
    assert "mprq_en" not in ours.devargs
    assert "rxqs_min_mprq" in ours.devargs
    assert (ours.rx_descriptors, ours.tx_descriptors) == (None, 2048)


def test_what_stands_in_the_way_of_a_wish_or_needs_another_cpu_is_left_out() -> None:
    assert "mprq_en" in tune("mlx5_pci", "throughput").devargs
    assert "mprq_en" not in tune("mlx5_pci", "throughput", asked=["buffer_split"]).devargs
    assert tune("net_ice", "throughput", cpu=["avx512"]).eal == ("--force-max-simd-bitwidth=512",)
    assert tune("net_ice", "throughput", cpu=["avx2"]).eal == ()


def test_the_burst_and_the_machine_are_advised_about_not_changed() -> None:
    tuning = tune("net_af_xdp", "throughput")
    kinds = {s["name"]: s["applied"] for s in tuning.as_json()["settings"]}
    assert kinds["busy_budget"] and not kinds["napi_defer_hard_irqs"]
    assert any(line.startswith("advice: echo 2 >") for line in tuning.lines())
    assert any(line.startswith("advice: burst=32") for line in tune("net_ixgbe", "latency").lines())
    assert not NO_TUNING.lines()


def live(offloads: Offloads, *devices: str, **settings: object) -> LiveOffloads:
    config = Config(offloads=offloads, ports=tuple(Port(f"dpdk:{d}") for d in devices)).with_overrides(**settings)
    return LiveOffloads(config, devices, len(devices), None, None)


def test_arguments_are_added_to_the_text_of_a_device_but_for_those_it_has() -> None:
    pytest.importorskip("burstline.dpdk._dpdk")
    fast = Offloads(tune="latency")
    assert live(fast, "net_virtio_user0").text("net_virtio_user0,path=/x,queue_size=64") == (
        "net_virtio_user0,path=/x,queue_size=64,in_order=1"
    )
    assert live(Offloads(), "net_af_xdp").text("net_af_xdp,iface=a") == "net_af_xdp,iface=a"
    assert live(fast, "ring-loop").text("ring-loop,size=64") == "ring-loop,size=64"
    assert Device.parse("0000:3b:00.0,a=1").with_arguments({"a": "2", "b": "3"}).arguments == "a=1,b=3"


def test_the_rings_of_a_profile_are_those_of_ports_that_have_none_set() -> None:
    config = Config(
        offloads=Offloads(tune="throughput"), ports=(Port("dpdk:0000:3b:00.0", tx_descriptors=512, mtu=9000),)
    )
    run = LiveOffloads(config, ["0000:3b:00.0", "0000:3b:00.1"], 2, None, None)
    made = run.tuned([recorded("ice"), recorded("e1000")])
    assert made.port("dpdk:0000:3b:00.0") == Port("dpdk:0000:3b:00.0", None, 1024, 512, 9000)
    assert made.port("dpdk:0000:3b:00.1") == Port("dpdk:0000:3b:00.1", None, 256, 256)
    assert LiveOffloads(Config(), ["0000:3b:00.0"], 1, None, None).tuned([recorded("ice")]) == Config(
        ports=(Port("dpdk:0000:3b:00.0"),)
    )


def test_arguments_of_profiles_are_known_to_the_drivers_that_are_installed() -> None:
    pytest.importorskip("burstline.dpdk._dpdk")
    from burstline.dpdk.drivers import driver_of

    looked_at = 0
    for driver, mode in EVERY:
        known = driver_of(driver)
        for setting in PROFILES[driver, mode]:
            if known is not None and known.arguments and setting.kind == "devarg" and driver != "net_virtio":
                assert f"{setting.name}=" in known.arguments, f"{driver}: {setting.name}"
                looked_at += 1
    if driver_of("net_af_xdp") is not None:
        assert looked_at


def test_the_driver_of_a_device_is_known_before_it_is_opened(tmp_path: Path) -> None:
    pytest.importorskip("burstline.dpdk._dpdk")
    from burstline.dpdk.drivers import driver_for, drivers

    assert driver_for(Device.parse("net_virtio_user0,path=/x")) == "net_virtio_user"
    assert driver_for(Device.parse("0000:3b:00.0"), tmp_path) == ""
    pci = next((d for d in drivers() if d.name == "net_ice"), None)
    if pci is None:
        pytest.skip("DPDK's driver of ice is not installed")
    vendor, device = next(iter(pci.pci))
    (tmp_path / "0000:3b:00.0").mkdir()
    (tmp_path / "0000:3b:00.0/vendor").write_text(f"{vendor:#06x}\n")
    (tmp_path / "0000:3b:00.0/device").write_text(f"{device:#06x}\n")
    assert driver_for(Device.parse("0000:3b:00.0"), tmp_path) == "net_ice"
