"""`RuleSet`: the first match, all matches, compiled and interpreted, of few rules and of many."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import burstline as bl
from both_modes import pcap_of, run_both, stage_of
from burstline.engine.offline import FileRun
from burstline.simd import level
from burstline.state.rule import FLAGS, rule_of
from burstline.state.rule_set import FEW
from burstline.state.rule_tree import AT_ONCE
from mutations import mutants, seeds
from packet_corpus import corpus

V4 = ("10.0.0.0", "10.1.2.3", "10.200.100.50", "192.0.2.1", "198.51.100.77")
V6 = ("2001:db8::1", "2001:db8:ffff::abcd", "fd00::1:2", "fd00::3:4")
RULES, TOTAL, ALL, VALUES = bl.RuleSet(), bl.Counter("total"), bl.Counter("all"), bl.Counter("values")
STAGE = """
def look(pkt):
    number = RULES.match(pkt)
    weight = (pkt.time // 1000) & 0xFFFF
    TOTAL.add((number + 2) * weight)
    if pkt in RULES:
        VALUES.add(RULES.value(number) * weight)
    found = number
    for _ in range(4):
        if found >= 0:
            found = RULES.next_match(pkt, found)
            ALL.add((found + 2) * weight)
    if RULES.value(number) % 3 == 1:
        return bl.DROP
"""
PIPELINE = bl.Pipeline(stage_of(STAGE, RULES=RULES, TOTAL=TOTAL, ALL=ALL, VALUES=VALUES))


def tuples(chance: random.Random, count: int) -> list[bytes]:
    """TCP, UDP and other packets over IPv4 and IPv6, some with a VLAN tag, between few addresses and ports."""
    import ipaddress

    found = []
    for _ in range(count):
        version = chance.choice((4, 4, 6))
        near = [ipaddress.ip_address(chance.choice(V4 if version == 4 else V6)) for _ in range(2)]
        src, dst = (
            (int(a) ^ chance.choice((0, 1, 255, 0x1234, 0x800000))).to_bytes(len(a.packed), "big") for a in near
        )
        proto = chance.choice((6, 6, 17, 132, 1))
        l4 = chance.choice((22, 80, 443, 5000)).to_bytes(2, "big") + chance.randrange(65536).to_bytes(2, "big")
        l4 += bytes(8) + bytes((0x50, chance.randrange(64))) + bytes(6) if proto == 6 else bytes(8)
        l4 = l4[:4] + (12).to_bytes(2, "big") + l4[6:] if proto == 17 else l4
        piece = chance.choice((0, 0, 0, 0x2000, 0x2005)).to_bytes(2, "big")
        if version == 4:
            ip = (
                b"\x45\0"
                + (20 + len(l4)).to_bytes(2, "big")
                + b"\0\0"
                + piece
                + bytes((64, proto))
                + b"\0\0"
                + src
                + dst
            )
        else:
            ip = b"\x60\0\0\0" + len(l4).to_bytes(2, "big") + bytes((proto, 64)) + src + dst
        tag = b"\x81\0\0" + bytes((chance.randrange(4),)) if chance.random() < 0.2 else b""
        found.append(bytes(12) + tag + (b"\x08\0" if version == 4 else b"\x86\xdd") + ip + l4 + bytes(20))
    return found


def packets() -> list[bytes]:
    chance = random.Random(3)
    found = tuples(chance, 700) + list(corpus().values()) + [data for data, _ in mutants(chance, 100, seeds())]
    chance.shuffle(found)
    return found


def random_rule(chance: random.Random) -> dict[str, str]:
    rule: dict[str, str] = {}
    pool = chance.choice((V4, V4, V6))
    for side in ("src", "dst"):
        if chance.random() < 0.6:
            longest = 32 if pool is V4 else 128
            length = chance.choice((0, 8, 9, longest // 2, longest - 8, longest - 1, longest))
            rule[side] = f"{chance.choice(pool)}/{length}"
    proto = chance.choice(("", "", "tcp", "udp", "1", "132"))
    rule["proto"] = proto
    if proto != "1":
        for side in ("sport", "dport"):
            if chance.random() < 0.5:
                low = chance.choice((0, 22, 80, 443, 1024, 5000, chance.randrange(65536)))
                rule[side] = chance.choice((str(low), f"{low}-{chance.randrange(low, 65536)}", f"{low}-65535"))
    if proto in ("", "tcp") and chance.random() < 0.2:
        rule["flags"] = chance.choice(("S/SA", "/F", "SA/SAFR", "U/U"))
    if chance.random() < 0.1:
        rule["vlan"] = str(chance.randrange(4))
    if chance.random() < 0.3:
        rule["value"] = str(chance.randrange(1000))
    return rule


def rules_of(count: int, seed: int) -> list[Any]:
    import ipaddress

    chance = random.Random(seed)
    made = []
    while len(made) < count:
        rule = random_rule(chance)
        for side in ("src", "dst"):
            if side in rule:
                rule[side] = str(ipaddress.ip_network(rule[side], strict=False))
        made.append(rule_of(rule, len(made)))
    return made


def replaced(rules: list[Any]) -> None:
    RULES.overlaps = "allow"
    RULES.replace(rules)


@pytest.mark.parametrize("count", [0, 1, 7, FEW, FEW + 1, 400])
def test_every_packet_matches_the_rules_that_a_plain_loop_finds(count: int) -> None:
    for seed in range(1 if count > FEW else 3):
        replaced(rules_of(count, seed))
        outcome = run_both(PIPELINE, packets(), out=None).equal()
        assert count == 0 or outcome.report.drops or outcome.state["Counter 1"]


@pytest.mark.parametrize("simd", [each for each in level.known() if each != level.known()[-1]])
def test_narrower_vectors_find_the_same(simd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSTLINE_SIMD", simd)
    for count in (20, 150):
        replaced(rules_of(count, 5))
        assert run_both(PIPELINE, packets(), out=None).equal()


def test_several_workers_find_the_same(tmp_path: Path) -> None:
    source = tmp_path / "in.pcap"
    source.write_bytes(pcap_of(packets()))
    for count in (20, 150):
        replaced(rules_of(count, 6))
        seen = []
        for workers in (1, 2):
            FileRun(PIPELINE, str(source), None, workers=workers).run()
            seen.append((TOTAL.value, ALL.value, VALUES.value))
        assert seen[0] == seen[1]


@given(st.integers(0, 1 << 30))
def test_what_is_found_hidden_is_never_matched_first(seed: int) -> None:
    from burstline.state.rule_words import RuleWords, first_hidden

    rules = rules_of(12, seed)
    hidden = first_hidden([RuleWords(rules, version) for version in (4, 6)])
    if hidden is None:
        return
    number, by = hidden
    assert by < number
    for side in ("src", "dst"):
        inner, outer = getattr(rules[number], side), getattr(rules[by], side)
        assert outer is None or outer.prefixlen == 0 or (inner is not None and inner.subnet_of(outer))
    for side in ("sport", "dport"):
        outer = getattr(rules[by], side)
        inner = getattr(rules[number], side) or (0, 65535)
        assert outer is None or (outer[0] <= inner[0] and inner[1] <= outer[1])


def test_rules_that_are_replaced_while_packets_flow_count_from_a_burst_on_as_a_whole() -> None:
    rules = bl.RuleSet([{"value": 1}])
    ones, twos, others = bl.Counter("ones"), bl.Counter("twos"), bl.Counter("others")
    source = """
def look(pkt):
    value = rules.value(rules.match(pkt))
    if value == 1:
        ones.add()
    elif value == 2:
        twos.add()
    else:
        others.add()
"""
    pipeline = bl.Pipeline(stage_of(source, rules=rules, ones=ones, twos=twos, others=others))
    run = FileRun(pipeline, "gen:packets=3M,flows=1k", None, workers=1)
    many = [{"dport": f"{k}-{k + 9}", "value": 2} for k in range(0, 65530, 10)] + [{"value": 2}]
    done = threading.Event()

    def swap_on_and_on() -> None:
        for k in range(1000):
            if done.wait(0.01):
                break
            rules.replace([{"value": 1}] if k % 2 else many[-60:])

    thread = threading.Thread(target=swap_on_and_on)
    thread.start()
    try:
        report = run.run()
    finally:
        done.set()
        thread.join()
    assert others.value == 0
    assert ones.value + twos.value == report.received.packets
    assert ones.value and twos.value
    assert len(rules._built._built) <= 3


def test_a_file_of_rules_is_a_table(tmp_path: Path) -> None:
    file = tmp_path / "acl.csv"
    file.write_text("# ours\nsrc, proto, dport, flags\n10.0.0.0/8, tcp, 80-443, S/SA\n\n*, 17, any\n")
    rules = bl.RuleSet.load(file).rules
    assert str(rules[0].src) == "10.0.0.0/8" and rules[0].proto == 6 and rules[0].dport == (80, 443)
    assert rules[0].flags == (FLAGS["S"], FLAGS["S"] | FLAGS["A"])
    assert rules[1] == bl.Rule(proto=17, value=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("src,dst\n10.0.0.1/8,\n", "{}:2:1: src: 10.0.0.1/8 has host bits set\n    10.0.0.1/8,\n    ^"),
        ("src,dport\n,70-60\n", "{}:2:2: dport: the range 70-60 is empty\n    ,70-60\n     ^"),
        ("src,dport\n\n,70000\n", "{}:3:2: dport: 70000 is out of range"),
        ("proto\nicmpx\n", "{}:2:1: proto: 'icmpx' is no number"),
        ("proto,  dport\nicmp, 80\n", "{}:2:7: dport: protocol 1 has no ports\n    icmp, 80\n          ^"),
        ("src,dst\n10.0.0.0/8,2001:db8::/32\n", "{}:2:12: dst: IPv4 on one side and IPv6 on the other"),
        ("src,sprt\n", "{}:1:5: 'sprt' is no field of a rule"),
        ("src,src\n", "{}:1:5: 'src' is there twice"),
        ("flags\nX/S\n", "{}:2:1: flags: 'X/S' are no TCP flags"),
        ("flags\nSA/S\n", "{}:2:1: flags: SA/S can never be"),
        ("src\n10.0.0.0/8,tcp\n", "{}:2: 2 cells under 1 names"),
        ("", "{} is empty"),
        ("src\n10.0.0.0/8\n\n10.1.0.0/16\n", "{}:4: this rule never matches: {}:2 comes before it"),
    ],
)
def test_a_bad_line_is_named_with_its_column(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "acl.csv"
    file.write_text(text)
    with pytest.raises(bl.UsageError) as caught:
        bl.RuleSet.load(file)
    assert message.replace("{}", str(file)) in caught.value.message
    assert caught.value.hint


def test_rules_of_an_iterable_are_named_by_their_numbers() -> None:
    with pytest.raises(bl.UsageError, match="rule 1: dst: 'x' does not appear to be an IPv4 or IPv6 network"):
        bl.RuleSet([{"dst": "10.0.0.1"}, {"dst": "x"}])
    with pytest.raises(bl.UsageError, match="rule 1: this rule never matches: rule 0 comes before it"):
        bl.RuleSet([{"proto": "tcp"}, {"proto": "tcp", "dport": "80"}])
    assert len(bl.RuleSet([{"proto": "tcp"}, {"proto": "tcp", "dport": "80"}], overlaps="allow")) == 2


def test_a_rule_of_one_version_does_not_hide_one_of_both() -> None:
    rules = [{"src": "0.0.0.0/0", "proto": "tcp"}, {"proto": "tcp"}, {"src": "::/0", "proto": "udp"}, {"proto": "udp"}]
    assert len(bl.RuleSet(rules)) == 4
    both = [{"src": "0.0.0.0/0"}, {"src": "::/0"}, {"proto": "tcp", "dport": "80"}]
    with pytest.raises(bl.UsageError, match="rule 2: this rule never matches"):
        bl.RuleSet([*both[:2], {"src": "10.0.0.0/8"}])


def test_leaves_of_many_rules_are_small_and_trees_shallow() -> None:
    from burstline.state.rule_tree import cut
    from burstline.state.rule_words import RuleWords

    chance = random.Random(9)
    rules = [
        rule_of({"src": f"{chance.randrange(1, 224)}.{chance.randrange(256)}.{k % 256}.0/24", "dport": str(k)}, k)
        for k in range(3000)
    ]
    trees = cut(RuleWords(rules, 4))
    assert max(trees.depths) <= 4
    assert max(trees.counts) == 1
    assert len(trees.blocks) * AT_ONCE < 12 * len(rules)
