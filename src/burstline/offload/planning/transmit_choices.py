"""What is done to packets that a port sends: the choices, one function for each offload."""

from __future__ import annotations

from burstline.offload.planning.choice import By, Choice
from burstline.offload.planning.conflicts import (
    BY_DRIVER,
    EXCLUSIONS,
    FILLS_IP_BY_TSO,
    INSERTS_WHILE_STRIPPING,
    TAG_LOST_IN_CHAINS,
    TAKES_CHAINS,
    TSO_IPV4_ONLY,
    costly,
)
from burstline.offload.planning.draft import Draft, named
from burstline.offload.planning.receive_choices import ORDINARY

HEADERS = 40  # of a TCP segment over IPv4, at least
TUNNELS = {"VXLAN_TNL_TSO": "VXLAN", "GRE_TNL_TSO": "GRE"}


def choose_fill(draft: Draft) -> tuple[By, str]:
    """Who fills checksums in, and why: half of the choice of `checksum`. After segmentation. Checksums that are seldom
    there are left to software where asking the port for them would cost its vector functions."""
    asked = draft.intent.checksum in (True, "fill")
    if not draft.use.sends:
        return "off", "nothing is sent on it" if asked else ""
    if not asked and not draft.use.partials:
        return "off", ""
    offered = draft.can.fills if draft.may_use_port else frozenset()
    wanted = ORDINARY if asked else frozenset({"TCP", "UDP"})
    missing = wanted - offered
    software = draft.has("fill", "checksum")
    if missing and not software:
        lacks = "fills no checksums in" if not offered else f"does not fill in checksums of {named(missing)}"
        why = "" if draft.must_be_hardware("checksum") else ", and this version has no software for it"
        instead = 'write checksum = "verify" or false for this port' if asked else "leave lro and gro of the others out"
        draft.refuse("checksum", f"the port {lacks}{why}", instead)
    usual = {f"{name}_CKSUM" for name in offered & ORDINARY}
    others = {f"{name}_CKSUM" for name in offered - ORDINARY}
    left = costly(draft.can.driver, "tx", draft.tx | usual, others)
    offered -= {name.removesuffix("_CKSUM") for name in left}
    draft.tx |= usual | others - left
    draft.filled |= offered
    if software:
        draft.software.add("fill")
    if not offered:
        return "software", "software fills in on send: the port cannot"
    rest = "software the rest" if software else "nobody the rest"
    driver = BY_DRIVER.get(draft.can.driver, {}).get("TCP_CKSUM")
    does = f"{'the peer' if draft.port == 'peer' else 'the port'} fills in {named(offered)} on send, {rest}"
    return draft.port, does + (f"; {driver}" if driver else "")


def choose_segmentation(draft: Draft) -> None:
    """Who cuts packets that are larger than the MTU: `tso` and `gso`."""
    intent, use = draft.intent, draft.use
    if intent.segment_size and intent.segment_size > use.mtu - HEADERS:
        draft.refuse(
            "segment_size", f"with its headers, a segment is larger than the MTU of {use.mtu:,}",
            f"write segment_size = {max(1, use.mtu - HEADERS)}; less where there are options or tunnels",
        )  # fmt: skip
    large = use.sends and (use.emits or use.merges)
    lacking = _lacking(draft)
    by_port = draft.may_use_port and intent.tso is not False and not lacking
    wanted = large or intent.tso is True or intent.gso is True
    if not use.sends or not wanted:
        why = "no packet is larger than the MTU" if use.sends else "nothing is sent on it"
        for name in ("tso", "gso"):
            draft.chosen(name, "off", "not wanted" if getattr(intent, name) is False else why)
        return
    why_not = "not wanted" if intent.tso is False else lacking or "the port is not to do it"
    if not by_port and intent.tso is True and use.peer_segments and draft.may_use_port:
        draft.cuts |= {"TCP over IPv4", "TCP over IPv6"}
        draft.chosen("tso", "peer", "the peer takes large packets as they are (tso=1)")
    elif by_port and (large or intent.tso is True):
        _give_tso(draft)
    elif intent.tso is True and (draft.must_be_hardware("tso") or not _software_cuts(draft)):
        if not draft.must_be_hardware("tso"):
            why_not += ", and gso = false" if intent.gso is False else ", and this version has no software for it"
        draft.refuse("tso", why_not, "write tso = false for this port")
    else:
        draft.chosen("tso", "software" if intent.tso is True else "off", f"software cuts: {why_not}")
    _choose_gso(draft, why_not)


def _choose_gso(draft: Draft, why_not: str) -> Choice:
    intent, use = draft.intent, draft.use
    large = use.emits or use.merges
    if draft.must_be_hardware("gso") and intent.gso is True:
        draft.refuse("gso", "GSO is the software's own name for it", "write tso = true to have the port cut")
    if _software_cuts(draft):
        draft.software.add("gso")
        left = "what the port cannot cut" if draft.cuts else "TCP and UDP"
        return draft.chosen("gso", "software", f"cuts {left} into segments that fit the MTU of {use.mtu:,}")
    if intent.gso is True:
        draft.refuse("gso", "this version has no software for it", "write gso = false for this port")
    if large and not draft.cuts:
        lacks = f"{why_not}, and {'gso = false' if intent.gso is False else 'this version has no software for it'}"
        draft.refuse("tso", lacks, "send packets that fit the MTU")
    why = "not wanted" if intent.gso is False else "this version has no software for it"
    return draft.chosen("gso", "off", why)


def _lacking(draft: Draft) -> str:
    """Why the port cannot do TSO: rte_mbuf_core.h, RTE_MBUF_F_TX_TCP_SEG, says what comes with it."""
    can = draft.can
    if "TCP_TSO" not in can.tx:
        return "the port does not cut (TCP_TSO)"
    needed = {"TCP_CKSUM", "MULTI_SEGS"} | (set() if can.driver in FILLS_IP_BY_TSO else {"IPV4_CKSUM"})
    if needed - can.tx:
        return f"its TSO is of no use without {' and '.join(sorted(needed - can.tx))}"
    if draft.intent.multi_segment is False:
        return "multi_segment = false, and large packets lie in several buffers"
    return ""


def can_cut(draft: Draft) -> bool:
    """Whether large TCP packets could be sent on this port, by whom ever."""
    by_port = draft.may_use_port and draft.intent.tso is not False and not _lacking(draft)
    peer = draft.use.peer_segments and draft.intent.tso is True
    return by_port or peer or _software_cuts(draft)


def _software_cuts(draft: Draft) -> bool:
    """Whether GSO is there and may be used."""
    kept_out = draft.must_be_hardware("tso") and draft.intent.gso is not True
    return draft.intent.gso is not False and "gso" in draft.twins and not kept_out


def _give_tso(draft: Draft) -> None:
    can = draft.can
    draft.tx |= {"TCP_TSO", "TCP_CKSUM", "MULTI_SEGS", *({"IPV4_CKSUM"} & can.tx)}
    draft.filled |= {"TCP", *({"IPV4"} & can.fills)}
    draft.cuts |= {"TCP over IPv4"} if can.driver in TSO_IPV4_ONLY else {"TCP over IPv4", "TCP over IPv6"}
    for offload, tunnel in TUNNELS.items():
        if offload in can.tx and "OUTER_IPV4_CKSUM" in can.tx:
            draft.tx |= {offload, "OUTER_IPV4_CKSUM"}
            draft.filled.add("OUTER_IPV4")
            draft.cuts.add(f"TCP in {tunnel}")
    who = "the peer" if draft.port == "peer" else "the port"
    most = f", of up to {can.tx_segments:,} buffers" if can.tx_segments < 65535 else ""
    driver = BY_DRIVER.get(can.driver, {}).get("TCP_TSO")
    only = TSO_IPV4_ONLY.get(can.driver)
    extra = "".join(f"; {text}" for text in (driver, only and f"not over IPv6 ({only})") if text)
    draft.chosen("tso", draft.port, f"{who} cuts {', '.join(sorted(draft.cuts))}{most}{extra}")


def choose_multi_segment(draft: Draft) -> Choice:
    """Sending packets in several mbufs. After segmentation, which may need it."""
    can, intent, use = draft.can, draft.intent, draft.use
    chains = use.sends and (use.chains or use.merges or bool({"gso"} & draft.software) or "MULTI_SEGS" in draft.tx)
    asked = intent.multi_segment
    if not use.sends:
        return draft.chosen("multi_segment", "off", "nothing is sent on it")
    copying = "copies" in draft.twins
    offered = "MULTI_SEGS" in can.tx and draft.may_use_port
    if "MULTI_SEGS" in draft.tx:
        return draft.chosen("multi_segment", draft.port, "as TSO needs it")
    if (chains and asked == "auto") or asked is True:
        exclusive = chains and intent.fast_free is True and copying
        if offered and not exclusive:
            draft.tx.add("MULTI_SEGS")
            why = "packets may lie in several buffers" if chains else "asked for"
            return draft.chosen("multi_segment", draft.port, why)
        if can.driver in TAKES_CHAINS and draft.may_use_port:
            return draft.chosen("multi_segment", draft.port, f"its driver takes them ({TAKES_CHAINS[can.driver]})")
    if asked is True and draft.must_be_hardware("multi_segment"):
        draft.refuse("multi_segment", "the port takes one buffer for each packet (MULTI_SEGS)", "leave it out")
    if chains or asked is True:
        if copying and not draft.must_be_hardware("multi_segment"):
            draft.software.add("copies")
            why = "not wanted" if asked is False else "the port takes one buffer for each packet"
            return draft.chosen("multi_segment", "software", f"packets in several buffers are copied into one: {why}")
        if asked is True:
            draft.refuse(
                "multi_segment", "the port takes one buffer for each packet (MULTI_SEGS), and this version has no "
                "software that copies", "write multi_segment = false for this port",
            )  # fmt: skip
        draft.notes.append(
            "packets in several buffers may be sent, which the port does not say that it takes (MULTI_SEGS)"
        )
    return draft.chosen("multi_segment", "off", "not wanted" if asked is False else "each packet lies in one buffer")


def choose_fast_free(draft: Draft) -> Choice:
    """Giving sent mbufs back without looking at them. After all that excludes it."""
    can, asked, use = draft.can, draft.intent.fast_free, draft.use
    if asked is False:
        return draft.chosen("fast_free", "off", "not wanted")
    if not use.sends:
        return draft.chosen("fast_free", "off", "nothing is sent on it")
    rule = next(e for e in EXCLUSIONS if e.one == "MBUF_FAST_FREE")
    if "MBUF_FAST_FREE" not in can.tx:
        why, instead = "the port does not offer it (MBUF_FAST_FREE)", "leave fast_free out"
    elif not draft.may_use_port:
        why, instead = "the port is not to do it", "leave fast_free out"
    elif "gso" in draft.software:
        why, instead = f"GSO sends indirect mbufs: {rule.why}", "write gso = false, or leave fast_free out"
    elif rule.other in draft.tx:
        why, instead = f"{rule.why} ({rule.source})", "write multi_segment = false, or leave fast_free out"
    elif use.pools != 1:
        why, instead = f"mbufs come from {use.pools} mempools ({rule.source})", "give [pools] classes one size"
    elif use.shared:
        why, instead = f"stages clone packets, which are then referred to twice ({rule.source})", "leave fast_free out"
    else:
        draft.tx.add("MBUF_FAST_FREE")
        return draft.chosen("fast_free", draft.port, "all mbufs come from one mempool, with one reference each")
    if asked is True:
        draft.refuse("fast_free", why, instead)
    return draft.chosen("fast_free", "off", why)


def choose_vlan(draft: Draft) -> Choice:
    """Taking the tag of one VLAN off on receive, and putting it on again on send."""
    can, asked, use = draft.can, draft.intent.vlan, draft.use
    if asked is False or asked is None:
        return draft.chosen("vlan", "off", "not asked for")
    done = []
    for side, offload, twin, here in (
        ("rx", "VLAN_STRIP", "vlan_strip", use.receives),
        ("tx", "VLAN_INSERT", "vlan_insert", use.sends),
    ):
        if not here:
            continue
        offered = draft.may_use_port and offload in (can.rx if side == "rx" else can.tx)
        lost = _tags_lost(draft, offload) if offered else ""
        if lost:
            draft.notes.append(lost)
        if offered and not lost:
            (draft.rx if side == "rx" else draft.tx).add(offload)
            done.append((draft.port, offload))
        elif draft.has(twin, "vlan"):
            draft.software.add(twin)
            done.append(("software", offload))
        else:
            why = "" if draft.must_be_hardware("vlan") else ", and this version has no software for it"
            draft.refuse("vlan", f"the port cannot ({offload}){why}", "write vlan = false for this port")
    by_software = [offload for by, offload in done if by == "software"]
    driver = BY_DRIVER.get(can.driver, {}).get("VLAN_STRIP")
    why = f"tag {asked} is taken off on receive and put on on send"
    if by_software:
        why += f", by software where the port cannot: {' and '.join(by_software)}"
    return draft.chosen("vlan", "software" if by_software else draft.port, why + (f"; {driver}" if driver else ""))


def _tags_lost(draft: Draft, offload: str) -> str:
    """Why a port that offers it is not to see to tags; nothing where it is."""
    driver = draft.can.driver
    if offload == "VLAN_STRIP" and "SCATTER" in draft.rx and (why := TAG_LOST_IN_CHAINS.get(driver)):
        return f"tags are not left to the port, since frames may come in several buffers: {why}"
    if offload == "VLAN_INSERT" and "VLAN_STRIP" not in draft.rx and (why := INSERTS_WHILE_STRIPPING.get(driver)):
        return f"the port puts no tags on, since it takes none off: {why}"
    return ""
