"""The parser's tables are whole, and the picture of them is theirs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from burstline.packet.fields import HEADERS
from burstline.packet.machine import Machine
from burstline.packet.transitions import LINKS, STATES, TABLES

DOCS = Path(__file__).parents[1] / "docs"
SOURCES = Path(__file__).parents[1] / "src" / "burstline" / "packet" / "states"


def test_every_transition_leads_to_a_state_and_every_state_is_reached() -> None:
    assert {target for table in TABLES.values() for target in table.values()} | set(LINKS.values()) <= set(STATES)
    assert set(Machine().states) == set(STATES)
    assert {s.selects for s in STATES.values()} - {""} <= set(TABLES)


def test_every_header_has_a_state_and_every_state_says_what_it_follows() -> None:
    shown = {"inner_vlan": "vlan", "inner_mpls": "mpls"}
    assert {shown.get(h.name, h.name) for h in HEADERS} <= set(STATES)
    for state in STATES.values():
        assert re.search(r"RFC \d+|IEEE|ISO|3GPP|tcpdump\.org", state.source), state.name


def test_each_state_has_a_file_of_its_own() -> None:
    if not SOURCES.is_dir():
        pytest.skip("the source is not here")
    files = [f for f in SOURCES.glob("*.py") if f.name != "__init__.py"]
    assert len(files) == len(STATES)
    assert all(f.read_text().count("@parser_state(") == 1 for f in files)


def test_without_tunnels_no_state_in_one_is_reached() -> None:
    found = set(Machine(tunnels=False).states)
    assert not found & {"vxlan", "geneve", "gtpu"}
    assert {"gre", "ipv4", "ipv6", "udp"} <= found


def test_the_picture_in_the_documentation_is_made_of_these_tables() -> None:
    if not (DOCS / "_ext").is_dir():
        pytest.skip("the documentation is not here")
    sys.path.insert(0, str(DOCS / "_ext"))
    from parser_graph import dot

    text = dot(Machine())
    assert (DOCS / "parser.dot").read_text() == text, "run docs/_ext/parser_graph.py"
    drawn = {
        t.replace("&#45;&gt;", "->") for t in re.findall(r"<title>(.*?)</title>", (DOCS / "parser.svg").read_text())
    }
    for line in re.findall(r"^  (.+?) \[", text, re.MULTILINE):
        name = line.replace('"', "").replace(" -> ", "->")
        if name not in ("node", "edge"):
            assert name in drawn, f"{name} is not in parser.svg: run docs/_ext/parser_graph.py"
