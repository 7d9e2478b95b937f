"""The engine's own compiled functions that stages call by name; only those that a pipeline uses are compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numba.core import types

from burstline.compiler.chain import each_ir
from burstline.compiler.columns import CHECKSUM_SYMBOLS, CHECKSUMS_WRONG, ZEROS
from burstline.compiler.entropy_type import ENTROPY
from burstline.compiler.header_type import EXTENSION_SYMBOL
from burstline.compiler.state_types import (
    COUNT_BYTES,
    DIGEST_NEW,
    FIND_LITERAL,
    FLOW_LOOKUP,
    NEXT_RULE,
    PREFIX_FIND,
    RULE_VALUE,
    matches_symbol,
)
from burstline.filter.native import dispatcher, native_functions
from burstline.filter.program import LINKS
from burstline.native.build import Build, wrapper_ir
from burstline.native.struct_type import StructRefType, reference
from burstline.packet import checksum, entropy, entropy_kernel, extension
from burstline.packet.burst import Burst
from burstline.packet.burst_type import BurstType
from burstline.packet.entropy import MOST_BYTES
from burstline.pipeline.match import Match
from burstline.pipeline.needs import Needs
from burstline.state import (
    byte_histogram_kernel,
    digest_kernel,
    flow_table_kernel,
    pattern_set_kernel,
    prefix_map_kernel,
    rule_set_kernel,
    toeplitz_kernel,
)
from burstline.state.base import State
from burstline.state.digest import Digest, DigestHead
from burstline.state.flow_table import FlowTable, TableHead
from burstline.state.pattern_set import PatternSet
from burstline.state.rule_set import RuleSet
from burstline.state.toeplitz import Toeplitz

SEARCH_PACKETS = "burstline_search_packets"
AHEAD, MATCH_RULES, HASH_PACKETS = "burstline_ahead", "burstline_match_rules", "burstline_hash_packets"
i64 = types.int64
digest_at = reference(DigestHead)
# By plain names: compiled code does not look into modules.
are_wrong: Any = checksum.checksums_wrong
new_digest, publish, room = digest_kernel.digest_new, digest_kernel.digest_publish, digest_kernel.digest_room
TABLE = StructRefType(TableHead.layout)


def digest_new(address: int, stride: int) -> int:
    return new_digest(digest_at(address), address, stride)


def digest_publish(address: int) -> int:
    publish(digest_at(address), address)
    return 0


def checksums_wrong(data: int, captured: int, present: int, l3: int, l4: int) -> int:
    return 1 if are_wrong(data, captured, present, l3, l4) else 0


def digest_room(address: int) -> int:
    return room(digest_at(address), address)


def ahead_ir(calls: Sequence[tuple[str, str]]) -> str:
    """What is worked out of a whole burst before its stages: `i64 (burst, count, own)`, which calls a kernel for each
    state object."""
    passed = "i64 %burst, i64 %count, i64 %own"
    lines = [
        f"  %r{k} = call i64 @{kernel}(i64 ptrtoint (ptr @{s} to i64), {passed})" for k, (kernel, s) in enumerate(calls)
    ]
    body = "\n".join(lines)
    return f"define i64 @{AHEAD}({passed}) alwaysinline {{\n{body}\n  ret i64 0\n}}"


def kernel_ir(build: Build, state: Sequence[State], burst: Burst, needs: Needs) -> str:
    """IR for everything that the modules compiled so far refer to, and that the loops call once a burst."""
    text = "\n".join(build.modules.values())
    parts = [f"@{ZEROS} = constant [8 x i64] zeroinitializer, align 64", "declare i64 @llvm.smin.i64(i64, i64)"]
    parts += [f"@{s.symbol} = external global i64" for s in state]

    def add(name: str, function: object, arguments: Sequence[types.Type], inline: bool = False) -> None:
        parts.append(wrapper_ir(name, build.compile(function, arguments), inline))  # type: ignore[arg-type]

    if PREFIX_FIND in text:
        add(PREFIX_FIND, prefix_map_kernel.prefix_find, [i64] * 3, inline=True)
    for each in state:
        if isinstance(each, Match):
            matches = dispatcher(native_functions(each.program, LINKS))
            add(matches_symbol(each.symbol), matches, [i64] * 4)
    if EXTENSION_SYMBOL in text:
        add(EXTENSION_SYMBOL, extension.find_extension, [i64] * 4)
    if CHECKSUM_SYMBOLS["ipv4"] in text:
        add(CHECKSUM_SYMBOLS["ipv4"], checksum.fix_ipv4, [i64] * 4)
    if CHECKSUM_SYMBOLS["l4"] in text:
        add(CHECKSUM_SYMBOLS["l4"], checksum.fix_l4, [i64] * 5)

    if CHECKSUMS_WRONG in text:
        add(CHECKSUMS_WRONG, checksums_wrong, [i64] * 5)

    tables = [s for s in state if isinstance(s, FlowTable)]
    if tables:
        add(FLOW_LOOKUP, flow_table_kernel.flow_lookup, [TABLE, i64, i64, i64], inline=True)
        add("burstline_prefetch_slot", flow_table_kernel.prefetch_slot, [TABLE, i64], inline=True)
        add("burstline_prefetch_entry", flow_table_kernel.prefetch_entry, [TABLE, i64, i64], inline=True)
    parts.append(each_ir("burstline_prefetch_slots", 1, "burstline_prefetch_slot", [(t.symbol, "%a0") for t in tables]))
    parts.append(
        each_ir(
            "burstline_prefetch_entries", 1, "burstline_prefetch_entry", [(t.symbol, "%a0", t.stride) for t in tables]
        )
    )

    sets = [s for s in state if isinstance(s, RuleSet)]
    if sets:
        add(MATCH_RULES, rule_set_kernel.match_rules, [i64, BurstType(burst), i64, i64])
    hashes = [s for s in state if isinstance(s, Toeplitz)]
    if hashes:
        add(HASH_PACKETS, toeplitz_kernel.hash_packets, [i64, BurstType(burst), i64, i64])
    searched = [s for s in state if isinstance(s, PatternSet) and needs.literals]
    if searched:
        add(SEARCH_PACKETS, pattern_set_kernel.search_packets, [i64, BurstType(burst), i64, i64])
    if COUNT_BYTES in text:
        add(COUNT_BYTES, byte_histogram_kernel.count_bytes, [i64] * 3)
    ahead = ((SEARCH_PACKETS, searched), (MATCH_RULES, sets), (HASH_PACKETS, hashes))
    parts.append(ahead_ir([(kernel, s.symbol) for kernel, objects in ahead for s in objects]))
    if NEXT_RULE in text:
        add(NEXT_RULE, rule_set_kernel.next_rule, [i64, BurstType(burst), i64, i64])
    if ENTROPY in text:
        numbers = ", ".join(f"i64 {term}" for term in entropy.table())
        parts.append(f"@burstline_entropy_terms = constant [{MOST_BYTES + 1} x i64] [{numbers}]")
        add(ENTROPY, entropy_kernel.entropy_of, [i64, i64])
    if FIND_LITERAL in text:
        add(FIND_LITERAL, pattern_set_kernel.find_literal, [i64] * 5)
    if RULE_VALUE in text:
        add(RULE_VALUE, rule_set_kernel.rule_value, [i64, i64], inline=True)

    digests = [s for s in state if isinstance(s, Digest)]
    if digests:
        add(DIGEST_NEW, digest_new, [i64, i64], inline=True)
        add("burstline_publish_digest", digest_publish, [i64], inline=True)
        add("burstline_digest_room_of", digest_room, [i64], inline=True)
    parts.append(each_ir("burstline_publish_digests", 0, "burstline_publish_digest", [(d.symbol,) for d in digests]))
    parts.append(each_ir("burstline_digest_room", 0, "burstline_digest_room_of", [(d.symbol,) for d in digests]))
    return "\n".join(parts)
