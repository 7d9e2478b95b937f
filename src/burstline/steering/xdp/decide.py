"""What the rules decide over a packet, in the program: wildcards as comparisons, exact rules by a look into a map."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from burstline.state.steering_rules import Wildcard
from burstline.state.steering_words import DECIDED, GROUP, HAS_PORTS, KIND, QUEUE, Condition, used_words
from burstline.steering.xdp.code import I32, number
from burstline.steering.xdp.kinds import KNOWN, by_kind
from burstline.steering.xdp.layout import (
    DECISION_AT,
    EXACT_AT,
    GROUPS_AT,
    MOST_GROUPED,
    RANK_AT,
    RETA_AT,
)
from burstline.steering.xdp.words import Packet, collect, write_key


def write_wildcards(p: Packet, wildcards: Sequence[Wildcard]) -> None:
    """Rank and decision of the first that matches, into working memory; 0 where there is none. `wildcards` come in the
    order of their ranks."""
    code, b = p.code, p.b
    _found(p, 0, 0)
    if not wildcards:
        return
    collect(p, used_words([c for w in wildcards for c in w.conditions]))
    done = code.block("compared")
    for kind, own in by_kind(wildcards):
        if kind is None:
            _compare(p, own, done)
            continue
        this, others = code.block("kind"), code.block("other_kind")
        b.cbranch(b.icmp_unsigned("==", b.and_(p.word(KIND), number(KNOWN)), number(kind)), this, others)
        b.position_at_end(this)
        _compare(p, own, done)
        b.position_at_end(others)
    b.position_at_end(done)


def _compare(p: Packet, wildcards: Sequence[Wildcard], done: ir.Block) -> None:
    code, b = p.code, p.b
    for wildcard in wildcards:
        following = code.block("next_rule")
        for condition in wildcard.conditions:
            holds = code.block("holds")
            b.cbranch(_holds(p, condition), holds, following)
            b.position_at_end(holds)
        _found(p, wildcard.rank, wildcard.decision.word)
        b.branch(done)
        b.position_at_end(following)
    b.branch(done)


def _holds(p: Packet, condition: Condition) -> ir.Value:
    """The word is loaded anew for each: were it kept in a register, the verifier would follow what each comparison
    said of it, through all rules that come after."""
    b, mask = p.b, condition.mask
    word = b.trunc(p.word(condition.word), I32)
    masked = b.and_(word, I32(mask)) if mask != 0xFFFFFFFF else word
    if condition.more == 0:
        return b.icmp_unsigned("==", masked, I32(condition.least))
    over = b.sub(masked, I32(condition.least)) if condition.least else masked
    return b.icmp_unsigned("<=", over, I32(condition.more))


def _found(p: Packet, rank: int, decision: int) -> None:
    for at, value in ((RANK_AT, rank), (DECISION_AT, decision)):
        p.code.store(value, p.code.beside(p.scratch, at), 8, fresh=True)


def write_exact(p: Packet, settings: ir.Value) -> ir.Value:
    """The decision, after the exact rules were asked as well: the lower rank counts. 0 where there is none."""
    code, b = p.code, p.b
    with b.goto_entry_block():
        decision = b.alloca(number(0).type)
    b.store(code.load(code.beside(p.scratch, DECISION_AT), 8, fresh=True), decision)
    any_exact = code.load(code.beside(settings, EXACT_AT), 8, fresh=True)
    asked = b.and_(code.is_set(p.kind, HAS_PORTS), b.icmp_unsigned("!=", any_exact, number(0)))
    with code.when(asked):
        found = code.find("exact", write_key(p))
        with code.when(b.icmp_unsigned("!=", found, ir.Constant(found.type, None))):
            wild = code.load(code.beside(p.scratch, DECISION_AT), 8, fresh=True)
            none = b.icmp_unsigned("==", wild, number(0))
            rank = code.load(found, 8)
            first = b.icmp_unsigned("<", rank, code.load(code.beside(p.scratch, RANK_AT), 8, fresh=True))
            with code.when(b.or_(none, first)):
                b.store(code.load(code.beside(found, 8), 8), decision)
    assert DECIDED  # so that a decision is never 0
    return b.load(decision)


def write_queue(p: Packet, settings: ir.Value, decision: ir.Value, hashed: ir.Value, buckets: int) -> ir.Value:
    """The queue that a decision, or the hash, says; of one that drops, whatever."""
    code, b = p.code, p.b
    with b.goto_entry_block():
        queue = b.alloca(number(0).type)
    bucket = b.and_(hashed, number(buckets - 1))
    b.store(code.load(code.beside(code.beside(settings, b.shl(bucket, number(2))), RETA_AT), 4), queue)
    with code.when(code.is_set(decision, QUEUE)):
        b.store(b.and_(decision, number(0xFFFF)), queue)
    with code.when(code.is_set(decision, GROUP)):
        size = _grouped(p, settings, b.and_(decision, number(0xFFFF)))
        member = b.lshr(b.mul(hashed, size), number(32))
        place = b.add(b.add(b.and_(decision, number(0xFFFF)), number(1)), member)
        b.store(_grouped(p, settings, place), queue)
    return b.load(queue)


def _grouped(p: Packet, settings: ir.Value, place: ir.Value) -> ir.Value:
    code, b = p.code, p.b
    at = b.shl(b.and_(place, number(MOST_GROUPED - 1)), number(1))
    return code.load(code.beside(code.beside(settings, at), GROUPS_AT), 2)
