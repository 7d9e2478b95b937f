"""How ports receive, over what drivers of DPDK 22.11 say that they can do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstline.buffers.classes import DEFAULT, SizeClasses
from burstline.buffers.receive import AROUND, CHAINS, MODES, ORDINARY, Capabilities, ReceivePlan, plan_receive
from burstline.errors import BurstlineError

# As read from each driver's `dev_infos_get` at tag v22.11.11 (file under drivers/net). What only hardware knows, such
# as the MTU, is left at its usual value.
RECORDED = {
    # mlx5_ethdev.c, mlx5_rxq.c: BUFFER_SPLIT unless mprq_en=1; max_nseg 1 << MLX5_MAX_LOG_RQ_SEGS
    "mlx5": Capabilities("mlx5_pci", min_buffer=32, segments=32, segment_pools=True, scatter=True),
    "mlx5 mprq": Capabilities("mlx5_pci", min_buffer=32, scatter=True),
    # ice/ice_ethdev.c: ICE_BUF_SIZE_MIN, ICE_RX_MAX_NSEG, and .buffer_split_supported_hdr_ptypes_get
    "ice": Capabilities("net_ice", min_buffer=1024, segments=2, segment_pools=True, by_headers=True, scatter=True),
    "i40e": Capabilities("net_i40e", min_buffer=1024, scatter=True),  # i40e/i40e_ethdev.c: I40E_BUF_SIZE_MIN
    "ixgbe": Capabilities("net_ixgbe", min_buffer=1024, scatter=True),  # ixgbe/ixgbe_ethdev.c: BSIZEPACKET in SRRCTL
    "ena": Capabilities("net_ena", min_buffer=64, scatter=True),  # ena/ena_ethdev.c: ENA_MIN_FRAME_LEN
    # cnxk/cnxk_ethdev_ops.c: the only one with max_rx_mempools, CNXK_NIX_NUM_POOLS_MAX
    "cnxk": Capabilities("net_cn10k", min_buffer=64, pools=2, scatter=True),
    "virtio": Capabilities("net_virtio", min_buffer=64, scatter=True),  # virtio/virtio_ethdev.c, with F_MRG_RXBUF
    "virtio plain": Capabilities("net_virtio", min_buffer=64),
    "tap": Capabilities("net_tap", scatter=True),  # tap/rte_eth_tap.c: TAP_RX_OFFLOAD
    "af_packet": Capabilities("net_af_packet", min_buffer=2016),  # af_packet/rte_eth_af_packet.c: eth_rx_queue_setup
    "af_xdp": Capabilities("net_af_xdp", max_buffer=3776),  # af_xdp/rte_eth_af_xdp.c: umem chunks of a page
    "null": Capabilities("net_null", mtu=50),  # null/rte_eth_null.c: copies `size` bytes, 64 by default
    "pcap": Capabilities("net_pcap"),  # pcap/pcap_ethdev.c: eth_pcap_rx_jumbo chains
    "vhost": Capabilities("net_vhost"),
    "memif": Capabilities("net_memif"),
}  # fmt: skip


def with_mtu(name: str, mtu: int) -> Capabilities:
    can = RECORDED[name]
    return Capabilities(**{**can.__dict__, "mtu": mtu})


@pytest.mark.parametrize(
    ("name", "mtu", "reads", "mode", "buffers", "whole"),
    [
        ("mlx5", 1500, True, "one pool", (2048,), 0),
        ("mlx5", 1500, False, "split", (128, 2048), 0),
        ("mlx5", 9000, True, "scatter", (2048,), 9216),
        ("mlx5", 9000, False, "split", (128, 2048), 0),
        ("mlx5 mprq", 9000, False, "scatter", (2048,), 0),
        ("ice", 1500, False, "one pool", (2048,), 0),
        ("ice", 9000, True, "scatter", (2048,), 9216),
        ("i40e", 1500, True, "one pool", (2048,), 0),
        ("i40e", 9000, True, "scatter", (2048,), 9216),
        ("ixgbe", 9000, True, "scatter", (2048,), 9216),
        ("ena", 1500, True, "one pool", (2048,), 0),
        ("ena", 9001, True, "scatter", (2048,), 9216),
        ("cnxk", 1500, True, "pools", (640, 2048), 0),
        ("cnxk", 9000, True, "pools", (2048, 9216), 0),
        ("virtio", 1500, True, "one pool", (2048,), 0),
        ("virtio", 9000, True, "scatter", (2048,), 9216),
        ("virtio plain", 9000, True, "one pool", (9216,), 0),
        ("tap", 1500, True, "scatter", (2048,), 9216),
        ("af_packet", 1500, True, "one pool", (2048,), 0),
        ("af_xdp", 1500, True, "one pool", (2048,), 0),
        ("null", 50, True, "one pool", (128,), 0),
        ("null", 1486, True, "one pool", (2048,), 0),
        ("pcap", 1500, True, "scatter", (2048,), 9216),
        ("vhost", 1500, False, "scatter", (2048,), 0),
        ("memif", 1500, True, "scatter", (2048,), 9216),
    ],
)
def test_each_driver_receives_by_the_first_way_that_it_can(
    name: str, mtu: int, reads: bool, mode: str, buffers: tuple[int, ...], whole: int
) -> None:
    plan = plan_receive(with_mtu(name, mtu), DEFAULT, reads=reads)
    assert (plan.mode, plan.buffers, plan.whole) == (mode, buffers, whole)
    assert plan.why and str(plan).endswith(plan.why)


def test_the_reason_names_what_dpdk_calls_it() -> None:
    assert "max_rx_mempools" in plan_receive(RECORDED["cnxk"], DEFAULT, reads=True).why
    assert "BUFFER_SPLIT" in plan_receive(RECORDED["mlx5"], DEFAULT, reads=False).why
    assert "9,026 bytes" in plan_receive(with_mtu("ice", 9000), DEFAULT, reads=True).why
    assert "cannot scatter" in plan_receive(with_mtu("virtio plain", 9000), DEFAULT, reads=True).why


@pytest.mark.parametrize(
    ("name", "wanted", "says"),
    [
        ("i40e", "pools", "max_rx_mempools"),
        ("i40e", "split", "RX_OFFLOAD_BUFFER_SPLIT"),
        ("ice", "split", "by protocol headers, not by size"),
        ("af_packet", "scatter", "RX_OFFLOAD_SCATTER"),
    ],
)
def test_a_way_that_is_demanded_and_not_there_is_refused_with_the_reason(name: str, wanted: str, says: str) -> None:
    with pytest.raises(BurstlineError, match=f"cannot receive by '{wanted}': .*{says}") as caught:
        plan_receive(RECORDED[name], DEFAULT, reads=False, wanted=wanted)  # type: ignore[arg-type]
    assert "receive" in str(caught.value.hint)


def test_a_split_is_made_on_demand_though_stages_read_and_then_gathers() -> None:
    plan = plan_receive(RECORDED["mlx5"], DEFAULT, reads=True, wanted="split")
    assert (plan.mode, plan.buffers, plan.whole) == ("split", (128, 2048), 2048)
    assert plan.offloads == ("BUFFER_SPLIT", "SCATTER")


def test_one_pool_on_demand_takes_the_class_of_a_whole_frame() -> None:
    assert plan_receive(with_mtu("ice", 9000), DEFAULT, reads=True, wanted="one pool").buffers == (9216,)


@pytest.mark.parametrize(
    ("name", "mtu"), [("af_xdp", 3000), ("virtio plain", 16000), ("i40e", 9690), ("af_packet", 9216)]
)
def test_frames_that_no_buffer_holds_are_refused_with_the_class_to_add(name: str, mtu: int) -> None:
    with pytest.raises(BurstlineError, match=f"frames of {mtu + AROUND:,} bytes") as caught:
        plan_receive(with_mtu(name, mtu), DEFAULT, reads=True)
    needed = int(str(caught.value.hint).split()[1])
    assert needed >= mtu + AROUND
    assert plan_receive(with_mtu(name, mtu), SizeClasses((*DEFAULT.sizes, needed)[-1:]), reads=True)


def test_buffers_that_a_driver_does_not_take_are_left_out_or_named() -> None:
    small = SizeClasses((128, 640))
    with pytest.raises(BurstlineError, match="needs buffers of at least 1,024 bytes, and the classes are 128, 640"):
        plan_receive(RECORDED["i40e"], small, reads=True)
    with pytest.raises(BurstlineError, match="buffer_size gives it 640"):
        plan_receive(RECORDED["i40e"], DEFAULT, reads=True, buffer=640)


def test_a_size_that_is_set_is_received_into_whatever_else_there_is() -> None:
    assert plan_receive(RECORDED["cnxk"], DEFAULT, reads=True, buffer=2048).mode == "one pool"
    plan = plan_receive(RECORDED["ena"], DEFAULT, reads=True, buffer=640)
    assert (plan.mode, plan.buffers, plan.whole) == ("scatter", (640,), 2048)


sizes = st.integers(1, 250).map(lambda k: k * 64)
machines = st.builds(
    Capabilities,
    driver=st.sampled_from([*CHAINS, "net_tap", "net_x"]),
    mtu=st.integers(68, 12000),
    min_buffer=st.sampled_from([0, 64, 1024, 2016]),
    max_buffer=st.sampled_from([0, 3776]),
    pools=st.integers(0, 4),
    segments=st.sampled_from([0, 2, 32]),
    segment_pools=st.booleans(),
    by_headers=st.booleans(),
    scatter=st.booleans(),
)


@given(
    can=machines,
    classes=st.sets(sizes, min_size=1, max_size=6).map(lambda s: SizeClasses(tuple(sorted(s)))),
    reads=st.booleans(),
    wanted=st.sampled_from([None, *MODES]),
)
def test_every_plan_is_one_that_the_driver_can_do_and_that_holds_any_frame(
    can: Capabilities, classes: SizeClasses, reads: bool, wanted: str | None
) -> None:
    try:
        plan = plan_receive(can, classes, reads=reads, wanted=wanted)  # type: ignore[arg-type]
    except BurstlineError as refusal:
        assert refusal.hint
        return
    assert wanted in (None, plan.mode)
    assert set(plan.buffers) <= set(classes.sizes) and plan.buffers == tuple(sorted(plan.buffers))
    assert all(can.min_buffer <= b and (not can.max_buffer or b <= can.max_buffer) for b in plan.buffers)
    several = holds_in_one(plan, can) is False
    assert not several or can.chains or plan.mode == "split"
    if plan.mode == "pools":
        assert 2 <= len(plan.buffers) <= can.pools
    if plan.mode == "split":
        assert can.segment_pools and not can.by_headers and len(plan.buffers) == 2
    if plan.mode == "one pool":
        assert plan.buffers[0] >= can.frame and len(plan.buffers) == 1
    if reads and several:
        assert plan.whole >= can.frame or can.any_length
    assert ("SCATTER" in plan.offloads) <= can.scatter
    assert ("BUFFER_SPLIT" in plan.offloads) == (plan.mode == "split")


def holds_in_one(plan: ReceivePlan, can: Capabilities) -> bool:
    """What cannot chain brings no frame in several buffers, however long it may be."""
    longer = can.any_length and can.chains
    return plan.mode != "split" and plan.buffers[-1] >= can.frame and not longer


def test_an_ordinary_frame_is_a_full_one_with_two_tags_and_its_checksum() -> None:
    assert ORDINARY == 1500 + 14 + 2 * 4 + 4
