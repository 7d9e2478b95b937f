"""The parser compiled in three ways finds the same; as tail calls, every state ends in jumps and touches no stack."""

from __future__ import annotations

import platform
import random
import re
from typing import Any

import pytest

import burstline as bl
import scapy_frames
from both_modes import run_both, stage_of
from burstline.compiler.compile import build_module
from burstline.engine.program import name_state, plan_of
from burstline.native.host import target_machine
from burstline.packet.machine import Machine
from every_field import reader
from test_dispatch import body_of
from test_headers_compiled import mutated

FRAMES = [bytes(f) for f in vars(scapy_frames).values() if isinstance(f, scapy_frames.Scapy)]


@pytest.mark.parametrize("dispatch", ["fused", "tail", "called"])
def test_every_lowering_finds_what_the_interpreted_parser_finds(dispatch: str) -> None:
    read, _ = reader()
    chance = random.Random(11)
    packets = FRAMES + [mutated(chance, chance.choice(FRAMES)) for _ in range(800)]
    assert len(run_both([read], packets, dispatch=dispatch).equal().state["Digest 0"]) == len(packets)


@pytest.fixture(scope="module")
def assembly() -> str:
    """A pipeline that looks at most headers, none of them in tunnels, its states as tail calls."""
    stage = stage_of(
        "def look(pkt):\n    if pkt.tcp.dport == 80 and pkt.payload and not pkt.is_fragment:\n        return bl.DROP"
    )
    pipeline = bl.Pipeline(stage)
    name_state(pipeline)
    from dataclasses import asdict

    from burstline.pipeline.needs import needs_of

    plan = {"mode": "file", "capacity": 64, "dispatch": "tail", "source": "pcap", "sink": "", "mbuf": ()}
    module, _ = build_module(pipeline, plan_of({**plan, **asdict(needs_of(pipeline))}))
    text: str = target_machine().emit_assembly(module)
    return text


def reached_from(states: Any, tables: Any) -> dict[str, set[str]]:
    return {name: set(tables.get(state.selects, {}).values()) for name, state in states.items()}


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 assembly")
def test_tail_called_states_jump_and_neither_call_nor_push_nor_spill(assembly: str) -> None:
    machine = Machine(tunnels=False)
    onward = reached_from(machine.states, machine.tables)
    whole = {name for name in onward if re.search(rf"^state_{re.escape(name)}:", assembly, re.MULTILINE)}
    assert whole >= {"eth", "vlan", "mpls", "ipv4", "ipv6", "ipv6_fragment", "ah", "tcp", "udp", "gre"}
    for name in whole:
        body = body_of(assembly, f"state_{name}")
        assert not re.search(r"^\s+(call|push|pop|ret)", body, re.MULTILINE), name
        assert "rsp" not in body, f"{name} touches the stack"
        jumps = set(re.findall(r"^\s+j\w+\s+state_([\w.]+)\s*$", body, re.MULTILINE))
        assert jumps <= onward[name] | {"the.end", name}, name
        if onward[name] - {name}:
            assert jumps - {"the.end"}, f"{name} leads nowhere"
