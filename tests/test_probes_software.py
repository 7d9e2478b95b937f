"""The probes of what is installed: packages, DPDK and its drivers, the extension."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from burstline.engine.probes import Outcome, software
from burstline.errors import BurstlineError

NO, UNKNOWN = Outcome.NO, Outcome.UNKNOWN


def test_a_missing_package_is_mended_by_pip(tmp_path: Path) -> None:
    finding = software.package("no-such-package-here", "for this test")(tmp_path)
    assert (finding.outcome, finding.mend) == (NO, f"{sys.executable} -m pip install no-such-package-here")


@pytest.mark.parametrize(
    ("release", "mend"),
    [
        ("ID=debian\n", "apt-get install -y libdpdk-dev pkg-config"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "apt-get install -y libdpdk-dev pkg-config"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf install -y dpdk-devel pkgconf-pkg-config"),
        ("ID=unheard\n", "https://core.dpdk.org/download/"),
    ],
)
def test_a_missing_dpdk_is_mended_as_the_system_installs_it(
    release: str, mend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(software, "pkg_config", lambda option: None)
    monkeypatch.setattr(software, "loaded_from", lambda: None)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text(release)
    finding = software.dpdk(tmp_path)
    assert finding.outcome is NO
    assert mend in str(finding.mend)


def test_without_pkg_config_nothing_is_known_of_dpdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "pkg_config", lambda option: None)
    monkeypatch.setattr(software, "loaded_from", lambda: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert software.dpdk(tmp_path).outcome is UNKNOWN


def test_drivers_are_listed_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "pkg_config", lambda option: "/usr/lib/x")
    place = tmp_path / "usr/lib/x/dpdk/pmds-23.0"
    place.mkdir(parents=True)
    for name in (
        "net_af_xdp.so",
        "net_af_xdp.so.23",
        "net_af_xdp.so.23.0",
        "net_ice.so.23",
        "bus_pci.so",
        "net_odd.so",
    ):
        (place / f"librte_{name}").touch()
    finding = software.drivers(tmp_path)
    assert finding.facts["drivers"] == ["af_xdp", "ice", "odd"]
    assert finding.detail == "3 network drivers, among them af_xdp, ice"


def test_an_extension_that_does_not_load_tells_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def require() -> None:
        raise BurstlineError("librte_eal.so.23 is gone")

    monkeypatch.setattr(software, "require", require)
    finding = software.extension(tmp_path)
    assert (finding.outcome, finding.detail) == (NO, "librte_eal.so.23 is gone")
    assert finding.mend
