"""What is done to packets that a port receives: the choices, one function for each offload."""

from __future__ import annotations

from burstline.buffers.receive import CHAINS
from burstline.offload.planning.choice import By, Choice
from burstline.offload.planning.conflicts import BY_DRIVER, LRO_UNMARKED, PEERS, SAYS_BAD_ONLY
from burstline.offload.planning.draft import Draft, named
from burstline.offload.planning.stamp_clocks import NO_STAMPS, STAMP_CLOCKS

ORDINARY = frozenset({"IPV4", "TCP", "UDP"})  # the checksums that most packets have
RSS = ("IPV4", "IPV6", "TCP", "UDP", "SCTP")


def choose_verify(draft: Draft) -> tuple[By, str]:
    """Who verifies checksums, and why: half of the choice of `checksum`."""
    can, asked = draft.can, draft.intent.checksum
    if asked not in (True, "verify"):
        return "off", ""
    if not draft.use.receives:
        return "off", "nothing is received on it"
    offered = can.checks if draft.may_use_port else frozenset()
    if offered and can.driver in PEERS and draft.use.partials_stuck:
        # The peer may then leave checksums open, which nobody could fill in again.
        draft.notes.append(f"receive checksums are not left to the peer: {draft.use.partials_stuck}")
        offered = frozenset()
    missing = ORDINARY - offered
    software = draft.has("verify", "checksum")
    if missing and not software:
        lacks = "verifies no checksums" if not offered else f"does not verify checksums of {named(missing)}"
        why = "" if draft.must_be_hardware("checksum") else ", and this version has no software for it"
        draft.refuse("checksum", f"the port {lacks}{why}", 'write checksum = "fill" or false for this port')
    draft.rx |= {f"{name}_CKSUM" for name in offered}
    if software:
        draft.software.add("verify")
    if not offered:
        return "software", "software verifies on receive: the port cannot"
    rest = "software the rest" if software else "nobody the rest (SCTP, ICMP, tunnels)"
    driver = BY_DRIVER.get(can.driver, {}).get("TCP_CKSUM")
    does = (
        f"{'the peer vouches for' if draft.port == 'peer' else 'the port verifies'} {named(offered)} on receive, {rest}"
    )
    if can.driver in SAYS_BAD_ONLY and software:
        does += f"; it only says what is wrong, and software looks at all others again ({SAYS_BAD_ONLY[can.driver]})"
    return draft.port, does + (f"; {driver}" if driver else "")


def choose_lro(draft: Draft) -> Choice:
    """Merged packets from the port; or else merged by software."""
    can, intent, use = draft.can, draft.intent, draft.use
    if intent.lro is not True:
        return draft.chosen("lro", "off", "not asked for")
    if not use.receives:
        return draft.chosen("lro", "off", "nothing is received on it")
    if use.merged_stuck:
        draft.refuse("lro", use.merged_stuck, "leave lro out, or forward to a port with TSO")
    if draft.may_use_port and use.peer_segments:
        return draft.chosen("lro", "peer", "the peer sends large packets as they are (tso=1)")
    lacking = []
    if "TCP_LRO" not in can.rx:
        lacking.append("the port does not merge (TCP_LRO)")
    elif intent.scatter is False or ("SCATTER" not in can.rx and can.driver not in CHAINS):
        what = "scatter = false" if intent.scatter is False else "it does not scatter (SCATTER)"
        lacking.append(f"merged packets do not fit into one buffer, and {what}")
    elif can.driver in PEERS and use.partials_stuck:
        lacking.append(use.partials_stuck)
    if not lacking and draft.may_use_port:
        # virtio 1.1, 5.1.3.1: GUEST_TSO needs GUEST_CSUM; of others, merged packets are known to be right.
        draft.rx |= {"TCP_LRO", *({"SCATTER"} & can.rx), *({"TCP_CKSUM", "IPV4_CKSUM"} & can.rx)}
        if told := LRO_UNMARKED.get(can.driver):
            draft.notes.append(f"TCP packets longer than the MTU are taken for merged ones: {told}")
        most = f", up to {can.max_lro:,} bytes" if can.max_lro else ""
        return draft.chosen("lro", draft.port, f"{'the peer' if draft.port == 'peer' else 'the port'} merges{most}")
    why = lacking[0] if lacking else "the port is not to do it"
    if intent.gro is not False and draft.has("gro", "lro"):
        draft.software.add("gro")
        return draft.chosen("lro", "software", f"merged by software: {why}")
    if not draft.must_be_hardware("lro"):
        why += ", and gro = false" if intent.gro is False else ", and this version has no software for it"
    draft.refuse("lro", why, "write lro = false for this port")


def choose_gro(draft: Draft) -> Choice:
    """Merging by software."""
    intent, use = draft.intent, draft.use
    if "gro" in draft.software:
        why = "in the place of lro"
    elif intent.gro is not True:
        return draft.chosen("gro", "off", "not asked for" if intent.gro == "auto" else "not wanted")
    elif not use.receives:
        return draft.chosen("gro", "off", "nothing is received on it")
    else:
        if draft.must_be_hardware("gro"):
            draft.refuse("gro", "GRO is the software's own name for it", "write lro = true to have the port merge")
        if use.merged_stuck:
            draft.refuse("gro", use.merged_stuck, "leave gro out, or forward to a port with TSO")
        if "gro" not in draft.twins:
            draft.refuse("gro", "this version has no software for it", "write gro = false")
        why = "TCP and UDP segments are merged"
    checks = draft.can.checks & ORDINARY if draft.may_use_port else frozenset()
    if draft.can.driver in PEERS and use.partials_stuck:
        checks = frozenset()
    if "verify" in draft.twins:
        draft.software.add("verify")
    elif not {"TCP", "IPV4"} <= checks:
        name = "lro" if intent.gro is not True else "gro"
        draft.refuse(
            name, "only packets known to be right are merged, and nobody verifies their checksums",
            f"write {name} = false",
        )  # fmt: skip
    draft.rx |= {f"{name}_CKSUM" for name in checks}
    draft.software.add("gro")
    held = f", held for up to {intent.gro_timeout:g} s" if intent.gro_timeout else " within a burst"
    return draft.chosen("gro", "software", f"{why}{held}")


def choose_rss(draft: Draft) -> Choice:
    """Spreading flows over queues."""
    can, intent, use = draft.can, draft.intent, draft.use
    asked = intent.rss
    functions = {f for f in can.rss if any(word in f for word in RSS)}
    if asked is False:
        return draft.chosen("rss", "off", "not wanted")
    if asked == "auto" and use.queues == 1:
        return draft.chosen("rss", "off", "it has one queue")
    if not use.receives:
        return draft.chosen("rss", "off", "nothing is received on it")
    lacks = ""
    if not functions:
        lacks = "the port has no RSS functions"
    elif not draft.may_use_port:
        lacks = "there is no software for it"
    elif asked == "symmetric" and not can.key_size:
        lacks = "the port takes no RSS key"
    if lacks:
        if asked != "auto" or (isinstance(intent.require, tuple) and "rss" in intent.require):
            draft.refuse("rss", lacks, "write rss = false for this port, or --workers 1")
        return draft.chosen("rss", "off", f"{lacks}: what queue a packet comes by is not known")
    if "RSS_HASH" in can.rx and (asked != "auto" or "gro" in draft.software):
        draft.rx.add("RSS_HASH")
    spread = "both directions of a flow to one queue" if asked == "symmetric" else "flows over queues"
    return draft.chosen("rss", draft.port, f"it spreads {spread} by {len(functions)} hash functions")


def choose_scatter(draft: Draft) -> Choice:
    """Frames in several buffers: the receive plan has settled it."""
    can, asked = draft.can, draft.intent.scatter
    chains = "SCATTER" in can.rx or can.driver in CHAINS
    if "SCATTER" in draft.rx or (draft.use.chains and can.driver in CHAINS and draft.use.receives):
        if asked is False:
            draft.refuse(
                "scatter", "frames may come that fit into no single buffer", "write scatter = true, or a smaller mtu"
            )
        return draft.chosen("scatter", draft.port, "long frames come in several buffers")
    if asked is True and draft.use.receives:
        if not chains:
            draft.refuse("scatter", "the port puts each frame into one buffer", "write scatter = false for this port")
        if "SCATTER" in can.rx:
            draft.rx.add("SCATTER")
        return draft.chosen("scatter", draft.port, "asked for")
    why = (
        "not wanted"
        if asked is False
        else "a frame fits into a buffer"
        if draft.use.receives
        else "nothing is received on it"
    )
    return draft.chosen("scatter", "off", why)


def choose_split(draft: Draft) -> Choice:
    """Headers and payload in buffers of different sizes: the receive plan has settled it."""
    asked = draft.intent.buffer_split
    if "BUFFER_SPLIT" in draft.rx:
        return draft.chosen("buffer_split", draft.port, "the beginning of a packet has a buffer of its own")
    if asked is True and draft.use.receives:
        lacks = "the port cannot (BUFFER_SPLIT)" if "BUFFER_SPLIT" not in draft.can.rx else (
            "the receive plan has it otherwise"
        )  # fmt: skip
        draft.refuse("buffer_split", lacks, 'write buffer_split = false, or [pools] receive = "split"')
    return draft.chosen("buffer_split", "off", "not wanted" if asked is False else "it would only make work")


def choose_timestamp(draft: Draft) -> Choice:
    """The time of a packet: as the port stamped it, or the worker's clock."""
    can, worker = draft.can, "pkt.time is the worker's clock at its burst"
    if draft.intent.timestamp is not True:
        return draft.chosen("timestamp", "off", f"not asked for: {worker}")
    if not draft.use.receives:
        return draft.chosen("timestamp", "off", "nothing is received on it")
    clock = STAMP_CLOCKS.get(can.driver)
    offered = "TIMESTAMP" in can.rx
    if clock and (offered or clock.always) and draft.may_use_port:
        draft.rx |= {"TIMESTAMP"} & can.rx
        draft.stamps = clock
        return draft.chosen("timestamp", draft.port, f"pkt.time is what {clock.says} ({clock.source})")
    lacks = "the port does not stamp packets (TIMESTAMP)"
    if offered:
        lacks = NO_STAMPS.get(can.driver, "the clock by which its driver stamps packets is not known")
    if draft.must_be_hardware("timestamp"):
        draft.refuse("timestamp", lacks, "leave timestamp to the worker's clock")
    return draft.chosen("timestamp", "software", f"{worker}: {lacks if draft.may_use_port else 'as is required'}")
