"""`RuleSet`: the first of many rules that a packet matches, sixteen packets at a time and ahead of stages."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from burstline.errors import UsageError
from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.state.base import LookAhead
from burstline.state.published import Published
from burstline.state.region import Block, Region
from burstline.state.rule import BadField, Rule, rule_of, usage_error
from burstline.state.rule_file import load_rules

FEW = 192  # rules that are compared one after the other, with sixteen packets at once: docs/filters.md
RESULTS = (1 << 15) + 128  # packets of the largest burst: a chunk of a file
MOST_RULES = 1 << 20
Overlaps = Literal["refuse", "allow"]


class RuleTable(Struct):
    """The rules that packets of one IP version can match, as compiled code reads them."""

    rows: i64  # address: of each rule its words, from the last rule to the first; for few rules
    count: i64  # how many
    few: i64  # 1: `rows` is used, 0: the trees
    nodes: i64  # addresses of a RuleTrees' arrays
    blocks: i64
    counts: i64
    roots: i64
    trees: i64  # how many
    depths: i64
    flat: i64  # address of all rules in blocks, in order
    flat_blocks: i64


class RuleSetTables(Struct):
    """Everything about one set of rules; it never changes."""

    v4: i64  # addresses of RuleTables; packets without IP go by v4's
    v6: i64
    values: i64  # address of each rule's value, 32 bits
    count: i64  # how many rules there are


class RuleSetHead(Struct):
    """A worker's own."""

    tables: i64  # the address of the RuleSetTables that counts from the next burst on
    reading: i64  # of the one that the worker reads
    results: i64  # address: of each packet of the burst the number of its rule, 32 bits, or -1


class RuleSet(LookAhead):
    """`acl = RuleSet([{"src": "10.0.0.0/8", "proto": "tcp", "dport": "80-443"}, ...])` or `RuleSet.load("acl.csv")`.

    In a stage `acl.match(pkt)` is the number of the first rule that the packet matches, from 0, or -1; `pkt in acl`
    tells whether there is one; `acl.next_match(pkt, n)` is the next one behind rule n, or -1; `acl.value(n)` is the
    value of a rule, which is its number unless given. A field that a rule leaves out is anything. Packets are those
    outside of tunnels; `match` and `in` are about them as they came, `next_match` as they are.

    A rule that can never match, because an earlier one matches all that it does, is an error, unless `overlaps` is
    "allow". Raises UsageError.
    """

    def __init__(self, rules: Iterable[Rule | Mapping[str, Any]] = (), *, overlaps: Overlaps = "refuse") -> None:
        self.overlaps = overlaps
        self._heads: list[tuple[Block, Region]] = []
        self._built = Published[_Built]()
        self._publishing = threading.Lock()
        self.rules: tuple[Rule, ...] = ()
        self.replace(rules)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, overlaps: Overlaps = "refuse") -> RuleSet:
        """From a CSV file whose first line names the fields: src, dst, proto, sport, dport, vlan, flags, value."""
        made = cls(overlaps=overlaps)
        made.reload(path)
        return made

    def reload(self, path: str | os.PathLike[str]) -> None:
        """`replace` by the rules of a file."""
        rules, places = load_rules(path)
        self._replace(rules, places)

    def replace(self, rules: Iterable[Rule | Mapping[str, Any]]) -> None:
        """Other rules from now on; a worker that runs takes them up with its next burst, all at once."""
        made = []
        for number, given in enumerate(rules):
            try:
                made.append(given if isinstance(given, Rule) else rule_of(given, number))
            except BadField as error:
                raise usage_error(f"rule {number}", error) from None
        self._replace(made, [f"rule {k}" for k in range(len(made))])

    def _replace(self, rules: list[Rule], places: list[str]) -> None:
        if len(rules) > MOST_RULES:
            raise UsageError(f"{len(rules):,} rules are more than {MOST_RULES:,}", "use fewer, or a PrefixMap")
        if rules and self.overlaps == "refuse":
            _refuse_hidden(rules, places)
        with self._publishing:
            self.rules = tuple(rules)
            if self._heads:
                self._built.publish(_Built(self.rules), [head for head, _ in self._heads])

    def match(self, pkt: Any) -> int:
        """The number of the first rule that a packet matches, or -1."""
        return int(self.seen(pkt, self._first))

    def look_ahead(self, pkt: Any) -> None:
        self.note(pkt, self._first(pkt))

    def _first(self, pkt: Any) -> int:
        return self.next_match(pkt, -1)

    def next_match(self, pkt: Any, after: int) -> int:
        """The number of the first rule behind rule `after` that a packet matches, or -1. Compiled, it takes time for
        each rule that is looked at."""
        from burstline.state.rule_match import matches

        found = (k for k in range(max(after + 1, 0), len(self.rules)) if matches(self.rules[k], pkt))
        return next(found, -1)

    def value(self, number: int) -> int:
        """The value of a rule; -1 where there is no rule of that number."""
        return self.rules[number].value if 0 <= number < len(self.rules) else -1

    def __contains__(self, pkt: Any) -> bool:
        return self.match(pkt) >= 0

    def __len__(self) -> int:
        return len(self.rules)

    def signature(self) -> tuple[Any, ...]:
        return ()

    def attach(self) -> int:
        head, results = Block(RuleSetHead.layout), Region(4 * RESULTS)
        with self._publishing:  # or rules that change meanwhile are published past a worker that begins
            if not self._heads:
                self._built.begin(_Built(self.rules))
            head.set(tables=self._built.last.address, results=results.address)
            self._heads.append((head, results))
        return head.address

    def addresses(self) -> list[int]:
        return [head.address for head, _ in self._heads]

    def reset(self) -> None:
        self._heads = []
        self._built.end()


def _refuse_hidden(rules: list[Rule], places: list[str]) -> None:
    from burstline.state.rule_words import RuleWords, first_hidden

    found = first_hidden([RuleWords(rules, version) for version in (4, 6)])
    if found:
        number, by = found
        raise UsageError(
            f"{places[number]}: this rule never matches: {places[by]} comes before it and matches all that it does",
            'move it to the front, leave it out, or say overlaps="allow" where all matches are wanted',
        )


class _Built:
    """A set of rules in memory."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        import numpy as np

        from burstline.state.rule_tree import cut, flat
        from burstline.state.rule_words import RuleWords

        self._keep: list[Any] = []
        tables = []
        for version in (4, 6):
            words = RuleWords(rules, version)
            few = len(words) <= FEW
            trees, all_rules = (flat(words), None) if few else (cut(words), flat(words))
            whole = all_rules or trees
            table = Block(RuleTable.layout)
            arrays = {
                "rows": words.rows()[::-1], "nodes": np.array(trees.nodes, "u4"), "blocks": _joined(trees.blocks),
                "counts": np.array(trees.counts, "u4"), "roots": np.array(trees.roots, "u4"),
                "depths": np.array(trees.depths, "u4"), "flat": _joined(whole.blocks),
            }  # fmt: skip
            table.set(count=len(words), few=int(few and version == 4), trees=len(trees.roots))
            table.set(flat_blocks=len(whole.blocks), **{name: self._words(array) for name, array in arrays.items()})
            self._keep.append(table)
            tables.append(table.address)
        head = Block(RuleSetTables.layout)
        head.set(
            v4=tables[0], v6=tables[1], count=len(rules), values=self._words(np.array([r.value for r in rules], "u4"))
        )
        self._keep.append(head)
        self.address = head.address
        self.bytes = sum(r.size for r in self._keep if isinstance(r, Region))

    def _words(self, array: Any) -> int:
        region = Region(4 * array.size + 64)
        region.numpy("u4", array.size)[:] = array.ravel()
        self._keep.append(region)
        return region.address


def _joined(blocks: list[Any]) -> Any:
    import numpy as np

    return np.concatenate([b.ravel() for b in blocks]) if blocks else np.zeros(0, "u4")
