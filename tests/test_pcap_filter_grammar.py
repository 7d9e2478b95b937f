"""What a filter says is wrong with it, and where."""

from __future__ import annotations

import pytest

import burstline as bl
from burstline.filter.grammar import meaning
from burstline.filter.problem import FilterError
from burstline.filter.program import FilterProgram
from burstline.packet.parser import LINK_ETHERNET, LINK_RAW


@pytest.mark.parametrize(
    ("expression", "column", "says"),
    [
        ("tcp port 99999", 9, "more than 65535"),
        ("tcp and", 7, "found the end"),
        ("tcp && && udp", 7, "'&&'"),
        ("ip[0", 4, "expected ']'"),
        ("ip[0:3] = 1", 0, "3 bytes"),
        ("host 300.1.1.1", 5, "no IPv4 address"),
        ("net 10.0.0.1/8", 4, "outside of its mask"),
        ("10.0.0.1", 0, "expected a primitive"),
        ("tcp or 80", 7, "no qualifier"),
        ("len = 09", 6, "octal"),
        ("len = 4294967296", 6, "32 bits"),
        ("vlan 5000", 5, "more than 4095"),
        ("ether host 1:2:3", 11, "Ethernet"),
        ("len / 0 = 1", 4, "division by zero"),
        ("type mgt", 0, "not supported"),
        ("port nosuchservice", 5, "unknown port"),
        ("tcp @ udp", 4, "'@'"),
        ("(tcp", 4, "')'"),
    ],
)
def test_an_error_marks_its_place(expression: str, column: int, says: str) -> None:
    with pytest.raises(FilterError) as caught:
        bl.match(expression)
    assert caught.value.column == column, caught.value.message
    assert says in caught.value.message
    assert caught.value.message.splitlines()[-2:] == [f"    {expression}", " " * (4 + column) + "^"]
    assert isinstance(caught.value, bl.UsageError)


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("port 80 or 443", "port 80 or port 443"),
        ("tcp or udp and ip", "(tcp or udp) and ip"),
        ("not tcp and udp", "(not tcp) and udp"),
        ("src host 192.0.2.1 or 192.0.2.2", "src host 192.0.2.1 or src host 192.0.2.2"),
        ("tcp port (80 or 443)", "tcp port 80 or tcp port 443"),
        ("ip[0] & 0xf != 5", "(ip[0] & 0xf) != 5"),
        ("len | 1 & 2 << 1 + 3 = 1", "len | (1 & (2 << (1 + 3))) = 1"),
        ("tcp[tcpflags] = tcp-syn|tcp-ack", "tcp[13] = 2|16"),
    ],
)
def test_precedence_and_what_is_inherited(one: str, same: str) -> None:
    assert meaning(one, LINK_ETHERNET) == meaning(same, LINK_ETHERNET)


def test_a_filter_for_one_link_layer_only_is_refused_on_the_others() -> None:
    program = FilterProgram("vlan and ip")
    assert LINK_ETHERNET in program.sources
    assert "VLAN" in program.problems[LINK_RAW].problem
