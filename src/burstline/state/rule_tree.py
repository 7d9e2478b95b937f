"""Rules cut apart by the bits of their fields, until so few are left that vectors compare them at once.

Rules that leave an address open would be copied into every piece of it. So they are parted first, by which addresses
they narrow, and each part is a tree of its own; a node cuts along the field that parts most (Singh et al., "Packet
classification using multidimensional cutting", SIGCOMM 2003; Li et al., "CutSplit", INFOCOM 2018). The least number
among what the trees find is the first match.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from burstline.state.rule_words import IS_V4, IS_V6, NONE, RuleWords

AT_ONCE = 16  # rules that are compared at once
LEAF = 1 << 31  # a reference to a leaf, by its first block; else to a node, by its word
MOST_CUTS, ROOM = 8, 4  # bits that a node looks at; copies that a cut may make, for each rule
NARROW = 1 << 24  # an address that leaves fewer than this open is narrowed


@dataclass
class RuleTrees:
    """`nodes`: words, of each node how it cuts, then a reference for each piece. `blocks`: rules, sixteen in each, each
    word of all sixteen together. `counts`: of the block that a leaf begins with, how many it has. `roots`: references;
    `depths`: nodes on the way from each to its farthest leaf."""

    nodes: list[int] = field(default_factory=list)
    blocks: list[Any] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)


def flat(words: RuleWords) -> RuleTrees:
    """All rules in one leaf."""
    made = _Maker(words)
    if len(words):
        made.trees.roots, made.trees.depths = [made.leaf(np.arange(len(words)))], [0]
    return made.trees


def cut(words: RuleWords) -> RuleTrees:
    """Trees over all rules."""
    made = _Maker(words)
    made.block(np.arange(0))  # for pieces without a rule, so that nobody has to ask whether there is one
    made.trees.counts[0] = 1
    half = words.address_words
    narrow = [words.more[:, side] < NARROW for side in (0, half)]
    parts = [np.flatnonzero((narrow[0] == a) & (narrow[1] == b)) for a in (True, False) for b in (True, False)]
    for part in filter(len, parts):
        made.trees.depths.append(0)
        made.trees.roots.append(made.node(part, made.everything, 0))
    return made.trees


Region = tuple[tuple[int, int], ...]  # of each field: the least value, and how many bits of it are still open


class _Maker:
    def __init__(self, words: RuleWords) -> None:
        self.words, self.trees = words, RuleTrees()
        address = 2 * words.address_words
        names_proto = words.mask & 0xFF == 0xFF
        columns = [(words.low[:, k], words.more[:, k], 32) for k in range(address)]
        columns += [(words.port_low[:, k], words.port_more[:, k], 16) for k in range(2)]
        columns.append((np.where(names_proto, words.value & 0xFF, 0), np.where(names_proto, 0, 255), 8))
        self.low = np.stack([c[0].astype("i8") for c in columns], 1)
        self.high = self.low + np.stack([c[1].astype("i8") for c in columns], 1)
        self.everything: Region = tuple((0, bits) for _, _, bits in columns)
        # Where a field lies in a packet's row: its word, and the bit that it begins at.
        self.places = [(k, 0) for k in range(address)] + [(address, 0), (address, 16), (address + 1, 0)]
        # Trees are asked by packets of their version alone. A rule that looks at more under the mask than that and the
        # protocol does not take up all of any region.
        self.plain = words.mask & np.uint32(0xFFFFFF00 & ~(IS_V4 | IS_V6)) == 0

    def node(self, rules: Any, region: Region, depth: int) -> int:
        """A reference to the tree over these rules, in order, within a region."""
        rules = self._seen(rules, region)
        best = self._best(rules, region) if len(rules) > AT_ONCE else None
        if best is None:
            self.trees.depths[-1] = max(self.trees.depths[-1], depth)
            return self.leaf(rules)
        column, bits = best
        least, open_bits = region[column]
        left = open_bits - bits
        word, shift = self.places[column]
        at = len(self.trees.nodes)
        self.trees.nodes += [word | (shift + left) << 8 | bits << 16, *[0] * (1 << bits)]
        first, last = self._pieces(rules, region, column, bits)
        for piece in range(1 << bits):
            inside = (*region[:column], (least + (piece << left), left), *region[column + 1 :])
            self.trees.nodes[at + 1 + piece] = self.node(rules[(first <= piece) & (last >= piece)], inside, depth + 1)
        return at

    def leaf(self, rules: Any) -> int:
        if not len(rules):
            return LEAF
        first = len(self.trees.blocks)
        for k in range(0, len(rules), AT_ONCE):
            self.block(rules[k : k + AT_ONCE])
        self.trees.counts[first] = len(self.trees.blocks) - first
        return LEAF | first

    def block(self, rules: Any) -> None:
        """Up to sixteen rules; the rest of it may match, behind them all, and has no rule's number."""
        rows = self.words.rows(rules)
        block = np.zeros((AT_ONCE, rows.shape[1]), "u4")
        block[: len(rows)] = rows
        block[len(rows) :, -1] = NONE
        self.trees.blocks.append(block.T.copy())
        self.trees.counts.append(0)

    def _seen(self, rules: Any, region: Region) -> Any:
        """Without the rules behind one that takes up all of the region."""
        all_of_it = self.plain[rules]
        for column, (least, bits) in enumerate(region):
            most = least + (1 << bits) - 1
            all_of_it = all_of_it & (self.low[rules, column] <= least) & (self.high[rules, column] >= most)
        return rules[: int(all_of_it.argmax()) + 1] if all_of_it.any() else rules

    def _pieces(self, rules: Any, region: Region, column: int, bits: int) -> tuple[Any, Any]:
        """The first and the last piece that each rule reaches into."""
        least, open_bits = region[column]
        most = least + (1 << open_bits) - 1
        first = (np.maximum(self.low[rules, column], least) - least) >> (open_bits - bits)
        last = (np.minimum(self.high[rules, column], most) - least) >> (open_bits - bits)
        return first, last

    def _best(self, rules: Any, region: Region) -> tuple[int, int] | None:
        """The field and the number of bits whose pieces have the fewest rules, each weighed by how many see them."""
        best: tuple[float, int, int] | None = None
        for column, (_, open_bits) in enumerate(region):
            for bits in range(1, min(MOST_CUTS, open_bits) + 1):
                first, last = self._pieces(rules, region, column, bits)
                copies = int((last - first + 1).sum())
                if copies > ROOM * len(rules) and bits > 1:
                    break
                steps = np.zeros((1 << bits) + 1, "i8")
                np.add.at(steps, first, 1)
                np.add.at(steps, last + 1, -1)
                held = np.cumsum(steps[:-1])
                if int(held.max()) >= len(rules):
                    continue
                # A rule of a piece of n is compared with n - 1 others; pieces that are empty cost their reference.
                cost = float((held.astype("f8") ** 2).sum()) / len(rules) + (1 << bits) / 16
                if best is None or cost < best[0]:
                    best = cost, column, bits
        return best[1:] if best else None
