"""`Toeplitz`: the hash of NICs, by Microsoft's examples, bit by bit, and sixteen packets at a time."""

from __future__ import annotations

import random
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import burstline as bl
from both_modes import pcap_of, run_both, stage_of
from burstline.engine.offline import FileRun
from burstline.simd import level
from burstline.state.toeplitz import DEFAULT_KEY, SYMMETRIC_KEY, toeplitz
from test_rule_set import packets

# learn.microsoft.com, "Verifying the RSS Hash Calculation": destination and its port, source and its port, the hash of
# the addresses, and with ports.
EXAMPLES = [
    ("161.142.100.80", 1766, "66.9.149.187", 2794, 0x323E8FC2, 0x51CCC178),
    ("65.69.140.83", 4739, "199.92.111.2", 14230, 0xD718262A, 0xC626B0EA),
    ("12.22.207.184", 38024, "24.19.198.95", 12898, 0xD2D0A5DE, 0x5C2B394A),
    ("209.142.163.6", 2217, "38.27.205.30", 48228, 0x82989176, 0xAFC7327F),
    ("202.188.127.2", 1303, "153.39.163.191", 44251, 0x5D1809C5, 0x10E828A2),
    ("3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2CC18CD5, 0x40207D3D),
    ("ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0F0C461C, 0xDDE51BBF),
    ("fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, 0x4B61E985, 0x02D1FEEF),
]  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e[0])
def test_microsofts_examples(example: tuple[str, int, str, int, int, int]) -> None:
    dst, dport, src, sport, of_addresses, with_ports = example
    data = ip_address(src).packed + ip_address(dst).packed
    assert toeplitz(DEFAULT_KEY, data) == of_addresses
    assert toeplitz(DEFAULT_KEY, data + sport.to_bytes(2, "big") + dport.to_bytes(2, "big")) == with_ports


@given(st.binary(min_size=8, max_size=8), st.binary(min_size=4, max_size=4))
def test_with_the_symmetric_key_both_directions_have_one_hash(addresses: bytes, ports: bytes) -> None:
    there = addresses + ports
    back = addresses[4:] + addresses[:4] + ports[2:] + ports[:2]
    assert toeplitz(SYMMETRIC_KEY, there) == toeplitz(SYMMETRIC_KEY, back)


OBJECTS = {
    "plain": bl.Toeplitz(), "both": bl.Toeplitz(symmetric=True), "few": bl.Toeplitz(fields="addresses"),
    "long": bl.Toeplitz(random.Random(1).randbytes(52)),
}  # fmt: skip
SUMS = {name: bl.Counter(name) for name in OBJECTS}
STAGE = "def look(pkt):\n    weight = (pkt.time // 1000) & 0xFFFF\n" + "".join(
    f"    sum_{name}.add(({name}.hash(pkt) + 1) * weight)\n" for name in OBJECTS
)
PIPELINE = bl.Pipeline(stage_of(STAGE, **OBJECTS, **{f"sum_{name}": c for name, c in SUMS.items()}))


@pytest.mark.parametrize("simd", level.known())
def test_sixteen_at_a_time_is_bit_by_bit(simd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSTLINE_SIMD", simd)
    state = run_both(PIPELINE, packets(), out=None).equal().state
    sums = [value for value in state.values() if isinstance(value, int)]
    assert len(set(sums)) == len(OBJECTS)


def test_several_workers_hash_the_same(tmp_path: Path) -> None:
    source = tmp_path / "in.pcap"
    source.write_bytes(pcap_of(packets()))
    seen = []
    for workers in (1, 2):
        FileRun(PIPELINE, str(source), None, workers=workers).run()
        seen.append([c.value for c in SUMS.values()])
    assert seen[0] == seen[1]


def test_a_key_that_is_too_short_is_refused() -> None:
    with pytest.raises(bl.UsageError, match="a Toeplitz key of 39 bytes does not reach over IPv6 with ports"):
        bl.Toeplitz(bytes(39))
    with pytest.raises(bl.UsageError, match="exclude each other"):
        bl.Toeplitz(bytes(40), symmetric=True)


def test_of_a_fragment_only_the_addresses_count() -> None:
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether

    whole = bytes(
        Ether(dst="02:00:00:00:00:01")
        / IP(src="66.9.149.187", dst="161.142.100.80")
        / UDP(sport=2794, dport=1766)
        / b"x"
    )
    first = whole[:20] + b"\x20" + whole[21:]  # more fragments follow
    rss, hashes = bl.Toeplitz(), bl.Counter("hashes")
    stage = stage_of("def look(pkt):\n    hashes.add(rss.hash(pkt))\n", rss=rss, hashes=hashes)
    for data, wanted in ((first, EXAMPLES[0][4]), (whole, EXAMPLES[0][5])):
        assert run_both([stage], [data]).equal().state["Counter 0"] == wanted


def test_what_is_worked_out_ahead_is_about_packets_as_they_came() -> None:
    source = """
def look(pkt):
    pkt.udp.dport = 99
    pkt.ipv4.src = pkt.ipv4.dst
    found.add(rss.hash(pkt) + rules.match(pkt) * 1000 + words.first_in(pkt))
    if pkt in rules:
        return bl.CONSUME
"""
    names = {
        "rss": bl.Toeplitz(), "rules": bl.RuleSet([{"dport": "99"}, {"proto": "udp"}]), "found": bl.Counter("found"),
        "words": bl.PatternSet(["x", "a"]),
    }  # fmt: skip
    assert run_both([stage_of(source, **names)], packets()).equal().report.consumed.packets > 0
