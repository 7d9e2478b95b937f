"""The rules that a controller has for flows: by all five fields of their keys, or coarser."""

from __future__ import annotations

from burstline.packet.flow_key import KEY_SIZE, tuple_of
from burstline.state.rule import WITH_PORTS
from burstline.steering.both_directions import reversed_rule
from burstline.steering.rule import LOWEST_PRIORITY, SteeringRule
from burstline.steering.target import Target

COARSE = b"\1\0"  # the last two bytes of a coarse key's first word, which are 0 in one of a flow


def can_have_rule(key: bytes) -> bool:
    """Whether a rule can take a flow alone: pieces of fragmented packets, for one, are told apart by nothing."""
    return key[1] in (4, 6) and key[0] in WITH_PORTS and key[2:6] != bytes(4)


def backward(key: bytes) -> bytes:
    """The key of the flow's other direction."""
    half = 4 if key[1] == 4 else 16
    first, second, end = 8, 8 + half, 8 + 2 * half
    return key[:2] + key[4:6] + key[2:4] + key[6:8] + key[second:end] + key[first:second] + bytes(KEY_SIZE - end)


def coarse_key(key: bytes) -> bytes:
    """Of the wildcard rule that takes all flows between the same addresses, by the same protocol."""
    return key[:2] + bytes(4) + COARSE + key[8:]


def hashed(key: bytes) -> bytes:
    """What the Toeplitz hash is of, as it lies in packets."""
    _, src, dst, sport, dport = tuple_of(key)
    assert src is not None and dst is not None
    return src.packed + dst.packed + sport.to_bytes(2, "big") + dport.to_bytes(2, "big")


def rules_for(
    key: bytes, to: Target, *, mark: int = 0, count: bool = True, both: bool = False
) -> tuple[SteeringRule, ...]:
    """The rule of a flow, or of a coarse key; with `both`, another for its other direction. They come last of all
    rules, so that those of the user decide first."""
    proto, src, dst, sport, dport = tuple_of(key)
    ports = {} if key[6:8] == COARSE else {"sport": sport, "dport": dport}
    rule = SteeringRule(
        src=str(src),
        dst=str(dst),
        proto=proto,
        **ports,
        to=to,
        priority=LOWEST_PRIORITY,
        mark=mark or None,
        count=count,
    )
    return (rule, reversed_rule(rule)) if both else (rule,)
