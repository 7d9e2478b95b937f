"""Capabilities of ports: recorded ones say what the drivers' source says, and what live ports say."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from burstline import dpdk
from burstline.errors import UsageError
from burstline.offload.planning.capabilities import (
    RECORDED,
    Descriptors,
    PortCapabilities,
    from_table,
    names,
    recorded,
)
from dpdk_source import SOURCE, needs_source

CITED = re.compile(r"((?:drivers|lib|config)/[\w./]+\.[ch])(?::(\d+)(?:-(\d+))?)?")
KNOWN_RX = {
    "VLAN_STRIP", "IPV4_CKSUM", "UDP_CKSUM", "TCP_CKSUM", "TCP_LRO", "QINQ_STRIP", "OUTER_IPV4_CKSUM", "MACSEC_STRIP",
    "VLAN_FILTER", "VLAN_EXTEND", "SCATTER", "TIMESTAMP", "SECURITY", "KEEP_CRC", "SCTP_CKSUM", "OUTER_UDP_CKSUM",
    "RSS_HASH", "BUFFER_SPLIT",
}  # fmt: skip
KNOWN_TX = {
    "VLAN_INSERT", "IPV4_CKSUM", "UDP_CKSUM", "TCP_CKSUM", "SCTP_CKSUM", "TCP_TSO", "UDP_TSO", "OUTER_IPV4_CKSUM",
    "QINQ_INSERT", "VXLAN_TNL_TSO", "GRE_TNL_TSO", "IPIP_TNL_TSO", "GENEVE_TNL_TSO", "MACSEC_INSERT", "MT_LOCKFREE",
    "MULTI_SEGS", "MBUF_FAST_FREE", "SECURITY", "UDP_TNL_TSO", "IP_TNL_TSO", "OUTER_UDP_CKSUM", "SEND_ON_TIMESTAMP",
}  # fmt: skip


def table(name: str) -> dict[str, Any]:
    return tomllib.loads((RECORDED / f"{name}.toml").read_text())


def test_the_drivers_that_matter_are_recorded() -> None:
    wanted = {"mlx5", "ice", "i40e", "ixgbe", "igc", "ena", "virtio", "vmxnet3", "bnxt", "af_xdp"}
    assert wanted | {"tap", "vhost", "e1000", "af_packet"} <= set(names())


@pytest.mark.parametrize("name", names())
def test_each_recorded_value_has_its_source(name: str) -> None:
    """And none is of a kind that a port does not have."""
    found = table(name)
    values = set(found) - {"driver", "assumes", "sources"}
    assert values == set(found["sources"])
    assert values <= {made.name for made in fields(PortCapabilities)}
    for cited in found["sources"].values():
        assert CITED.search(cited), cited


@pytest.mark.parametrize("name", names())
def test_recorded_capabilities_make_sense(name: str) -> None:
    can = recorded(name)
    assert can.driver.startswith("net_")
    assert can.rx <= KNOWN_RX
    assert can.tx <= KNOWN_TX
    assert can.rx_queue <= can.rx
    assert can.tx_queue <= can.tx
    assert can.min_mtu < 1500 <= can.max_mtu
    for ring, limits in ((can.rx_ring, can.rx_descriptors), (can.tx_ring, can.tx_descriptors)):
        assert not ring or limits.nearest(ring) == ring
    assert can.tx_mtu_segments <= can.tx_segments
    assert bool(can.rx_segments) == ("BUFFER_SPLIT" in can.rx)
    assert "22.11" in can.recorded
    assert from_table(table(name)) == can == recorded(can.driver if can.driver == f"net_{name}" else name)


@needs_source
@pytest.mark.parametrize("name", names())
def test_the_cited_lines_name_the_offloads_and_numbers(name: str) -> None:
    found = table(name)
    for key, cited in found["sources"].items():
        text = "\n".join(cited_lines(cited))
        assert text, f"{key}: {cited}"
        value = found[key]
        if key in ("rx", "tx", "rx_queue", "tx_queue"):
            prefix = "RTE_ETH_RX_OFFLOAD_" if key.startswith("rx") else "RTE_ETH_TX_OFFLOAD_"
            assert set(value) <= set(re.findall(prefix + r"(\w+)", text)), f"{key}: {cited}"
        elif defined := re.fullmatch(r"#define\s+\w+\s+(0x[0-9A-Fa-f]+|\d+)U?\s*", text):
            assert int(defined[1], 0) == value, f"{key}: {cited}"


def cited_lines(cited: str) -> list[str]:
    """The lines of DPDK's source that a citation names."""
    lines: list[str] = []
    for path, first, last in CITED.findall(cited):
        if not (SOURCE / path).is_file():
            continue
        whole = (SOURCE / path).read_text().splitlines()
        lines += whole[int(first) - 1 : int(last or first)] if first else whole
    return lines


def test_an_unknown_driver_is_answered_by_the_nearest() -> None:
    with pytest.raises(UsageError, match="no capabilities of 'icee' were recorded") as caught:
        recorded("icee")
    assert caught.value.hint == "did you mean ice?"
    assert recorded("mlx5_pci") == recorded("mlx5")


def test_descriptors_are_adjusted_as_dpdk_does() -> None:
    assert [Descriptors(64, 4096, 32).nearest(n) for n in (1, 65, 1000, 5000)] == [64, 96, 1024, 4096]


def test_checksums_are_told_apart() -> None:
    can = recorded("ice")
    assert can.checks == {"IPV4", "UDP", "TCP", "OUTER_IPV4"}
    assert "SCTP" in can.fills
    assert can.as_json()["rx_descriptors"] == {"least": 64, "most": 4096, "step": 32}


# ---- live ports ----

if not dpdk.available():
    pytest.skip("built without DPDK", allow_module_level=True)

from dpdk_live import alone, needs_root, veth  # noqa: E402


def _offered(devices: list[str], link: bool) -> list[PortCapabilities]:
    from burstline.dpdk import eal
    from burstline.dpdk.port import Port

    if link:
        veth()
    eal.start(huge=False)
    found = []
    for device in devices:
        port = Port.attach(device)
        found.append(PortCapabilities.of(port.info()))
        port.close()
    return found


def test_a_live_port_is_asked() -> None:
    null, ring, pcap = alone(_offered, ["net_null", "net_ring", "net_pcap,tx_pcap=/dev/null"], False)
    assert (null.driver, null.rx, null.tx, null.reta_size) == ("net_null", frozenset(), frozenset(), 128)
    assert (ring.rx, ring.tx) == ({"SCATTER"}, {"MULTI_SEGS"})
    assert pcap.max_mtu == 65535
    assert null.thresholds["tx_rs_thresh"] == 0


@needs_root
def test_virtual_devices_offer_what_was_recorded_of_their_drivers(tmp_path: Path) -> None:
    """The recorded ones come from reading the source: where there is a device here, it says the same."""
    by_name = {
        "tap": "net_tap,iface=bl_tap",
        "af_packet": "net_af_packet,iface=left",
        "af_xdp": "net_af_xdp,iface=right",
        "vhost": f"net_vhost,iface={tmp_path}/vhost",
    }
    for name, live in zip(by_name, alone(_offered, list(by_name.values()), True), strict=True):
        wanted = recorded(name)
        for made in fields(PortCapabilities):
            if made.name not in ("recorded", "thresholds", "max_frame"):
                assert getattr(live, made.name) == getattr(wanted, made.name), f"{name}: {made.name}"
