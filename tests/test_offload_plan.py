"""Plans of offloads: consistent for every port and every wish, with a reason for each choice and each refusal."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burstline.errors import BurstlineError
from burstline.offload.planning.capabilities import PortCapabilities, names, recorded
from burstline.offload.planning.choice import PortUse
from burstline.offload.planning.conflicts import EXCLUSIONS, PEERS, VECTOR_PATHS, vector_notes
from burstline.offload.planning.plan import SOFTWARE, TWINS, Asked, OffloadPlan, plan_offloads, plan_ports, replanned
from burstline.pipeline.offloads import DEFAULTS, NAMES, Offloads
from burstline.schema import keys

ALL = frozenset(SOFTWARE)
NONE = frozenset[str]()
RX = (
    "VLAN_STRIP", "IPV4_CKSUM", "UDP_CKSUM", "TCP_CKSUM", "SCTP_CKSUM", "TCP_LRO", "SCATTER", "TIMESTAMP", "RSS_HASH",
    "OUTER_IPV4_CKSUM", "OUTER_UDP_CKSUM", "BUFFER_SPLIT", "KEEP_CRC",
)  # fmt: skip
TX = (
    "VLAN_INSERT", "IPV4_CKSUM", "UDP_CKSUM", "TCP_CKSUM", "SCTP_CKSUM", "TCP_TSO", "OUTER_IPV4_CKSUM", "MULTI_SEGS",
    "VXLAN_TNL_TSO", "GRE_TNL_TSO", "MBUF_FAST_FREE", "OUTER_UDP_CKSUM", "UDP_TSO",
)  # fmt: skip
DRIVERS = ("net_unknown", "net_ice", "net_virtio", "net_vhost", "net_tap", "net_pcap", "net_ena", "net_af_xdp")


RECEIVE = [NONE, frozenset({"SCATTER"}), frozenset({"BUFFER_SPLIT", "SCATTER"})]
SEEDS = st.integers(0, 2**40)  # a case is drawn from one number: there are many choices in each


def subset(rng: Random, of: Iterable[str]) -> frozenset[str]:
    return frozenset(name for name in sorted(of) if rng.random() < 0.5)


def some_twins(rng: Random) -> frozenset[str]:
    return rng.choice([ALL, NONE, subset(rng, ALL)])


def intent_of(rng: Random) -> Offloads:
    """Mostly few wishes, as people have them: of many, one is always refused."""

    def wish() -> Any:
        return rng.choice(["auto"] * 4 + [True, False])

    return Offloads(
        checksum=rng.choice([True, False, "verify", "fill"]),
        tso=wish(), gso=wish(), lro=rng.random() < 0.25, gro=wish(),
        gro_timeout=rng.choice([0, 0.00005]),
        vlan=rng.choice([False, False, 1, 4094]),
        rss=rng.choice(["auto", "auto", True, False, "symmetric"]),
        scatter=wish(), buffer_split=wish(), multi_segment=wish(), fast_free=wish(),
        timestamp=rng.random() < 0.25,
        segment_size=rng.choice([None, None, 1, 1400, 1500]),
        require=rng.choice(["auto"] * 4 + ["hardware", "software", ("tso",), ("checksum", "lro"), NAMES]),
    ).over(DEFAULTS)  # fmt: skip


def port_of(rng: Random, name: str = "dpdk:0") -> Asked:
    rx, tx, driver = subset(rng, RX), subset(rng, TX), rng.choice(DRIVERS)
    can = PortCapabilities(
        driver=driver,
        rx=rx,
        tx=tx,
        rss=subset(rng, ("IPV4", "NONFRAG_IPV4_TCP", "L2_PAYLOAD")),
        key_size=rng.choice([0, 40]),
        max_lro=rng.choice([0, 65280]),
    )
    use = PortUse(
        port=name,
        queues=rng.choice([1, 4]),
        receives=rng.random() < 0.7,
        sends=rng.random() < 0.7,
        receive_offloads=tuple(sorted(rx & rng.choice(RECEIVE))),
        chains=rng.random() < 0.5,
        emits=rng.random() < 0.3,
        pools=rng.choice([1, 2]),
        shared=rng.random() < 0.2,
        peer_segments=driver == "net_vhost" and rng.random() < 0.5,
    )
    return Asked(intent_of(rng), can, use)


def consistent(plan: OffloadPlan, twins: frozenset[str]) -> None:
    """What holds for every plan that is made."""
    intent, can, use = plan.asked.intent, plan.asked.can, plan.asked.use
    rx, tx = set(plan.rx), set(plan.tx)
    assert rx <= can.rx
    assert tx <= can.tx
    assert plan.software <= twins
    for rule in EXCLUSIONS:
        assert not {rule.one, rule.other} <= (rx if rule.side == "rx" else tx)
    assert [choice.name for choice in plan.choices] == list(NAMES)
    for choice in plan.choices:
        assert choice.why
        if choice.by == "peer":
            assert can.driver in PEERS
    # What was demanded is done.
    demanded = [name for name in NAMES if getattr(intent, name) not in (False, "auto")]
    here = {
        "checksum": (use.receives and intent.checksum in (True, "verify"))
        or (use.sends and intent.checksum in (True, "fill")),
        **dict.fromkeys(("tso", "gso", "multi_segment", "fast_free"), use.sends),
        **dict.fromkeys(("lro", "gro", "rss", "scatter", "buffer_split", "timestamp"), use.receives),
    }
    for name in demanded:
        assert plan.choice(name).active or not here.get(name, True), name
        if intent.must_be_hardware(name) and plan.choice(name).active:
            assert plan.choice(name).by in ("hardware", "peer"), name
    # What was refused is not.
    for name in ("tso", "gso", "lro", "gro", "scatter", "multi_segment", "fast_free", "vlan", "rss"):
        if getattr(intent, name) is False and name not in ("multi_segment",):
            assert not plan.choice(name).active, name
    if intent.require == "software":
        given = rx - set(use.receive_offloads) - ({"SCATTER"} if intent.scatter is True else set())
        assert not given
        assert not tx
    # TSO comes with what it needs (rte_mbuf_core.h, RTE_MBUF_F_TX_TCP_SEG).
    if "TCP_TSO" in tx:
        assert {"TCP_CKSUM", "MULTI_SEGS"} <= tx
        assert "TCP" in plan.filled_by_port
    if "TCP_LRO" in rx:
        assert "SCATTER" in rx or can.driver in ("net_pcap", "net_vhost")
    # lib/ethdev/rte_ethdev.c refuses hashes without RSS.
    assert "RSS_HASH" not in rx or plan.choice("rss").active
    assert plan.tso == bool(plan.cut_by_port)
    assert plan.gro <= (plan.verify or {"TCP_CKSUM", "IPV4_CKSUM"} <= rx)
    assert {f"{name}_CKSUM" for name in plan.filled_by_port} <= tx
    # Large packets are cut by somebody, and packets in several buffers are taken or copied, or it is said that not.
    if use.sends and (use.merges or use.emits):
        assert plan.tso or plan.gso
    if "MBUF_FAST_FREE" in tx:
        assert use.pools == 1 and not use.shared and not plan.gso
    json.dumps(plan.as_json())
    assert all(plan.lines())


@settings(max_examples=4000)
@given(seed=SEEDS)
def test_every_plan_is_consistent_and_every_refusal_tells_what_and_why(seed: int) -> None:
    rng = Random(seed)
    twins = some_twins(rng)
    asked = [port_of(rng, f"dpdk:{k}") for k in range(rng.randint(1, 3))]
    try:
        plans = plan_ports(asked, twins)
    except BurstlineError as error:
        assert error.message.startswith("dpdk:")
        assert any(f"{name} = " in error.message for name in (*NAMES, "segment_size"))
        assert error.hint
        return
    for plan in plans:
        consistent(plan, twins)
    # What one port merges, all others can cut.
    if any({"TCP_LRO"} & set(plan.rx) or plan.gro for plan in plans):
        assert all(plan.tso or plan.gso for plan in plans if plan.asked.use.sends)


def test_most_of_the_cases_above_are_plans_and_some_are_refusals() -> None:
    made = 0
    for seed in range(500):
        rng = Random(seed)
        twins = some_twins(rng)
        with suppress(BurstlineError):
            made += bool(plan_ports([port_of(rng)], twins))
    assert 60 < made < 400


@settings(max_examples=1000)
@given(seed=SEEDS)
def test_with_all_software_what_is_asked_of_no_one_in_particular_is_never_refused(seed: int) -> None:
    """So that the bytes that leave are the same whatever the port can do."""
    asked = port_of(Random(seed))
    intent = replace(
        asked.intent, require="auto", fast_free="auto", rss="auto", scatter="auto", buffer_split="auto",
        segment_size=1400,
        gso=True if asked.intent.gso is False else asked.intent.gso,
        gro="auto" if asked.intent.gro is False else asked.intent.gro,
    )  # fmt: skip
    plan = plan_ports([replace(asked, intent=intent)], ALL)[0]
    consistent(plan, ALL)
    if intent.checksum is True and asked.use.receives and asked.use.sends:
        assert plan.verify and plan.fill and plan.drops_bad


@given(seed=SEEDS)
def test_a_plan_is_made_again_only_when_it_changes(seed: int) -> None:
    rng = Random(seed)
    twins, asked = some_twins(rng), port_of(rng)
    try:
        plan = plan_offloads(asked, twins)
    except BurstlineError:
        return
    assert replanned(plan, twins=twins) is None
    assert replanned(plan, mtu=asked.use.mtu, can=asked.can, twins=twins) is None
    changed = replanned(plan, mtu=9000, twins=twins)
    assert changed is not None
    assert (changed.mtu, changed.asked.intent) == (9000, asked.intent)


# ---- drivers as recorded ----


def plan(driver: str, twins: frozenset[str] = ALL, use: PortUse | None = None, **intent: object) -> OffloadPlan:
    asked = Offloads(**intent).over(DEFAULTS)
    return plan_ports([Asked(asked, recorded(driver), use or PortUse(f"dpdk:{driver}", queues=4))], twins)[0]


def refused(driver: str, twins: frozenset[str] = ALL, use: PortUse | None = None, **intent: object) -> BurstlineError:
    with pytest.raises(BurstlineError) as caught:
        plan(driver, twins, use, **intent)
    return caught.value


@pytest.mark.parametrize("driver", names())
@pytest.mark.parametrize("twins", [NONE, ALL], ids=["hardware alone", "with software"])
def test_without_wishes_nothing_is_set_that_changes_packets(driver: str, twins: frozenset[str]) -> None:
    made = plan(driver, twins)
    assert set(made.tx) <= {"MBUF_FAST_FREE"}
    assert not made.rx
    assert not made.software
    consistent(made, twins)


@pytest.mark.parametrize("driver", names())
def test_with_software_every_recorded_driver_gets_everything(driver: str) -> None:
    made = plan(driver, checksum=True, tso=True, lro=True, gro=True, vlan=7)
    consistent(made, ALL)
    assert made.verify and made.fill and made.gso and made.gro
    assert (made.choice("lro").by == "software") == ("TCP_LRO" not in recorded(driver).rx)


WHO = {  # by whom: checksum, tso, lro, vlan, rss
    "mlx5": "hardware hardware hardware hardware hardware",
    "ice": "hardware hardware software hardware hardware",
    "i40e": "hardware hardware software hardware hardware",
    "ixgbe": "hardware hardware hardware hardware hardware",
    "igc": "hardware hardware software hardware hardware",
    "igb": "hardware hardware software hardware hardware",
    "ena": "hardware hardware software software hardware",
    "virtio": "peer peer peer peer peer",
    "virtio_user": "peer peer peer peer off",
    "vmxnet3": "peer peer peer peer peer",
    "bnxt": "hardware hardware hardware hardware hardware",
    "e1000": "hardware software software hardware off",
    "tap": "hardware hardware software software hardware",
    "vhost": "peer software software peer off",
    "af_packet": "software software software hardware off",
    "af_xdp": "software software software software off",
}


@pytest.mark.parametrize("driver", names())
def test_who_does_what_on_recorded_drivers(driver: str) -> None:
    made = plan(driver, checksum=True, tso=True, lro=True, vlan=7)
    found = [made.choice(name).by for name in ("checksum", "tso", "lro", "vlan", "rss")]
    assert " ".join(found) == WHO[driver]


def test_what_the_drivers_do_otherwise_is_known() -> None:
    ena, ice, vmxnet3, mlx5 = (plan(d, tso=True, checksum=True) for d in ("ena", "ice", "vmxnet3", "mlx5"))
    assert ena.cut_by_port == ("TCP over IPv4",)
    assert ena.gso, "software cuts what is over IPv6"
    assert ice.cut_by_port == ("TCP over IPv4", "TCP over IPv6")
    assert "IPV4" not in vmxnet3.filled_by_port
    assert "TCP in VXLAN" in mlx5.cut_by_port
    assert vmxnet3.max_mtu_segments == 16
    e1000 = plan("e1000", checksum=True, vlan=7)
    assert "only says what is wrong, and software looks at all others again" in e1000.choice("checksum").why


def test_tags_that_a_port_would_lose_are_taken_off_by_software() -> None:
    """Where frames may come in several buffers; and nothing else is."""
    chains = PortUse("dpdk:e1000", receive_offloads=("SCATTER",), chains=True)
    whole, scattered = plan("e1000", vlan=7), plan("e1000", use=chains, vlan=7)
    assert "VLAN_STRIP" in whole.rx and "vlan_strip" not in whole.software
    assert "vlan_strip" in scattered.software and not {"VLAN_STRIP"} & set(scattered.rx)
    assert "VLAN_INSERT" in whole.tx and "vlan_insert" not in whole.software
    assert "vlan_insert" in scattered.software and "VLAN_INSERT" not in scattered.tx, "CTRL.VME is for both"
    assert "vlan_insert" in plan("e1000", use=PortUse("dpdk:e1000", receives=False), vlan=7).software
    assert "VLAN_INSERT" in plan("igb", use=PortUse("dpdk:igb", receives=False), vlan=7).tx
    assert "tags are not left to the port" in scattered.notes[0]
    assert "VLAN_STRIP" in plan("igb", use=chains, vlan=7).rx
    assert "cannot be had: the port cannot (VLAN_STRIP)" in str(
        refused("e1000", use=chains, vlan=7, require="hardware")
    )
    assert plan("mlx5", lro=True).max_lro == 65280
    assert plan("ixgbe", lro=True).max_lro == 0, "DPDK refuses any number where the driver tells none"


def test_what_switches_vector_functions_off_is_noted() -> None:
    assert "TCP_LRO switches the vector functions of net_ixgbe off" in plan("ixgbe", lro=True).notes[0]
    assert any("MULTI_SEGS" in note and "net_ice" in note for note in plan("ice", tso=True).notes)
    assert not plan("ice", checksum=True).notes
    assert not {"OUTER_IPV4_CKSUM", "OUTER_UDP_CKSUM"} & set(plan("ice", checksum=True).tx), "software does these"
    assert "OUTER_IPV4_CKSUM" in plan("ice", checksum=True, tso=True).tx, "nothing is lost by it then"
    assert vector_notes("net_i40e", NONE, frozenset({"MBUF_FAST_FREE"})) == []
    assert all(path.source.startswith("net/") for path in VECTOR_PATHS)


def test_packets_are_stamped_by_the_port_where_its_clock_can_be_read() -> None:
    by = {driver: plan(driver, timestamp=True).choice("timestamp").by for driver in names()}
    assert {driver for driver, who in by.items() if who == "hardware"} == {"mlx5", "ice"}
    assert set(by.values()) == {"hardware", "software"}
    for driver, kind in (("mlx5", "counter"), ("ice", "timesync")):
        made = plan(driver, timestamp=True)
        assert "TIMESTAMP" in made.rx and made.stamps is not None and made.stamps.kind == kind
        assert plan(driver, timestamp=True, require="software").stamps is None
    pcap = plan_ports([Asked(Offloads(timestamp=True).over(DEFAULTS), PortCapabilities("net_pcap"), PortUse("dpdk:x"))])
    assert pcap[0].stamps is not None and pcap[0].stamps.kind == "microseconds" and not pcap[0].rx
    assert plan("ice", use=PortUse("dpdk:ice", receives=False), timestamp=True).choice("timestamp").by == "off"


def test_fast_free_and_packets_in_several_buffers_exclude_each_other() -> None:
    alone, use = PortUse("dpdk:x", pools=1), PortUse("dpdk:x", pools=1, chains=True)
    assert "MBUF_FAST_FREE" in plan("ice", use=alone).tx
    both = plan("ice", use=use)
    assert ("MULTI_SEGS" in both.tx, "MBUF_FAST_FREE" in both.tx) == (True, False)
    assert "one mempool" in both.choice("fast_free").why
    forced = plan("ice", use=use, fast_free=True)
    assert (forced.copies, forced.choice("fast_free").by) == (True, "hardware")
    assert "MULTI_SEGS" not in forced.tx
    assert "fast_free = true cannot be had" in refused("ice", NONE, use, fast_free=True).message
    assert "several size classes" in refused("ice", NONE, use, fast_free=True, multi_segment=True).message
    assert "2 mempools" in refused("ice", use=replace(alone, pools=2), fast_free=True).message
    assert "clone packets" in refused("ice", use=replace(alone, shared=True), fast_free=True).message


def test_what_is_merged_must_be_cut_again_where_it_leaves() -> None:
    source = Asked(Offloads(lro=True).over(DEFAULTS), recorded("mlx5"), PortUse("dpdk:in", sends=False))
    sink = Asked(DEFAULTS, recorded("ice"), PortUse("dpdk:out", receives=False))
    merged, cut = plan_ports([source, sink], NONE)
    assert "TCP_LRO" in merged.rx
    assert "TCP_TSO" in cut.tx
    poor = replace(sink, can=recorded("af_xdp"))
    with pytest.raises(BurstlineError, match=r"dpdk:in .*lro = true cannot be had: dpdk:out could not cut") as caught:
        plan_ports([source, poor], NONE)
    assert "forward to a port with TSO" in str(caught.value.hint)
    assert plan_ports([source, poor], ALL)[1].gso
    assert plan_ports([source], NONE)[0].choice("lro").by == "hardware", "nothing leaves: nothing is to be cut"


def test_a_peer_is_not_told_that_it_may_leave_checksums_open_where_nobody_fills_them_in() -> None:
    source = Asked(Offloads(checksum="verify").over(DEFAULTS), recorded("virtio"), PortUse("dpdk:in", sends=False))
    sink = Asked(DEFAULTS, recorded("af_xdp"), PortUse("dpdk:out", receives=False))
    checks = plan_ports([source, sink], frozenset({"verify"}))[0]
    assert not checks.rx
    assert checks.choice("checksum").by == "software"
    assert "left to the peer" in checks.notes[0]
    checks, fills = plan_ports([source, sink], ALL)
    assert "TCP_CKSUM" in checks.rx
    assert fills.fill


def test_refusals_name_the_port_the_offload_what_is_lacking_and_what_to_write() -> None:
    error = refused("ice", require=["lro"], lro=True)
    assert error.message == (
        "dpdk:ice (net_ice): lro = true, required of hardware, cannot be had: the port does not merge (TCP_LRO)"
    )
    assert error.hint == "write lro = false for this port"
    assert "TCP_TSO" in refused("e1000", require="hardware", tso=True).message
    assert "IPv4" in refused("virtio", require="hardware", checksum=True).message
    assert "required of software" in refused("ice", NONE, require="software", checksum=True).message
    assert "no software for it" in refused("ice", NONE, lro=True).message
    assert "gro = false" in refused("ice", ALL, lro=True, gro=False).message
    assert "write tso = true" in str(refused("ice", gso=True, require="hardware").hint)
    assert "write lro = true" in str(refused("ice", gro=True, require="hardware").hint)
    assert "scatter = false" in refused("mlx5", NONE, lro=True, scatter=False, gro=False).message
    assert (
        "RSS key" in refused("vhost", rss="symmetric").message or "RSS functions" in refused("vhost", rss=True).message
    )
    assert "does not stamp" in refused("vmxnet3", timestamp=True, require=["timestamp"]).message
    assert "keeps stamps to itself" in refused("bnxt", timestamp=True, require=["timestamp"]).message


def test_bad_sizes_are_refused() -> None:
    wide = PortUse("dpdk:x", mtu=9001, mtu_asked=True)
    error = refused("vmxnet3", use=wide)
    assert error.message == "dpdk:x (net_vmxnet3): an MTU of 9,001 is not to be had: it takes at most 9,000"
    assert error.hint == "write mtu = 9000 in its [[ports]], or leave it out"
    assert "at least 128" in refused("ena", use=replace(wide, mtu=127)).message
    assert plan("vmxnet3", use=replace(wide, mtu=9000)).mtu == 9000
    assert "larger than the MTU of 1,500" in refused("ice", segment_size=1461).message
    assert plan("ice", segment_size=1460).segment_size == 1460
    assert plan("ice").segment_size == 1460


def test_what_is_not_there_in_software_is_not_claimed() -> None:
    """TWINS are those that the engine has linked."""
    assert TWINS <= ALL
    assert plan("af_packet", NONE, vlan=7).choice("vlan").by == "hardware"
    assert "no software for it" in refused("af_xdp", NONE, vlan=7).message
    assert "no software that copies" in refused("af_xdp", NONE, multi_segment=True).message
    chained = plan("af_xdp", NONE, PortUse("dpdk:x", chains=True))
    assert "does not say that it takes" in chained.notes[0]


def test_vhost_hands_large_packets_on_though_no_offload_says_so() -> None:
    use = PortUse("dpdk:x", peer_segments=True)
    made = plan("vhost", NONE, use, tso=True, lro=True)
    assert (made.choice("tso").by, made.choice("lro").by) == ("peer", "peer")
    assert made.cut_by_port == ("TCP over IPv4", "TCP over IPv6")


def test_a_plan_can_be_read() -> None:
    made = plan("ice", NONE, checksum="fill")
    lines = made.lines()
    assert lines[0].split()[:3] == ["checksum", "fill", "hardware"]
    assert "set: receive nothing; send IPV4_CKSUM" in lines[len(NAMES)]
    assert made.summary == "checksum by hardware, rss by hardware"
    told = made.as_json()
    assert told["choices"][0] == {
        "name": "checksum", "asked": "fill", "by": "hardware",
        "why": "the port fills in IPv4, TCP, UDP and SCTP on send, nobody the rest",
    }  # fmt: skip
    assert set(keys(Offloads)) > set(NAMES)
