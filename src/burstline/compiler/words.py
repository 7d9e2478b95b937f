"""Numba's names of types and operations, in the words of the stage language."""

from __future__ import annotations

import ast
import re

OPERATORS = {
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "add": "+", "iadd": "+", "sub": "-",
    "isub": "-", "mul": "*", "imul": "*", "truediv": "/", "itruediv": "/", "floordiv": "//", "ifloordiv": "//",
    "mod": "%", "imod": "%", "pow": "**", "lshift": "<<", "rshift": ">>", "and_": "&", "iand": "&", "or_": "|",
    "ior": "|", "xor": "^", "ixor": "^", "neg": "-", "pos": "+", "invert": "~", "not_": "not", "contains": "in",
    "is_": "is", "is_not": "is not",
}  # fmt: skip
NODES: dict[str, tuple[type[ast.AST], ...]] = {
    "==": (ast.Compare,), "!=": (ast.Compare,), "<": (ast.Compare,), "<=": (ast.Compare,), ">": (ast.Compare,),
    ">=": (ast.Compare,), "in": (ast.Compare,), "is": (ast.Compare,), "is not": (ast.Compare,),
    "not": (ast.UnaryOp,), "~": (ast.UnaryOp,), "getitem": (ast.Subscript,), "setitem": (ast.Subscript,),
    "static_getitem": (ast.Subscript,), "getiter": (ast.For,),
}  # fmt: skip
WORDS = {
    "int64": "a number",
    "float64": "a fraction",
    "boolean": "true or false",
    "bool": "true or false",
    "none": "None",
    "unicode_type": "text",
    "BytesView": "a view of bytes",
    "IPv4Address": "an IPv4 address",
    "IPv6Address": "an IPv6 address",
    "Verdict": "a verdict",
}
USAGE = {
    "Counter.add": "write `counter.add()` or `counter.add(n)`, n an integer",
    "Digest.new": "write `record = digest.new()`, then set the record's fields",
    "PrefixMap.get": "write `prefixes.get(address, default)`, default an integer",
    "Histogram.add": "write `sizes.add(value)` or `sizes.add(value, n)`, integers",
    "Meter.allow": "write `limit.allow(pkt)`; packets inside of tunnels have no length or time of their own",
    "Set.add": "write `seen.add(key)`: a number or an IPv4 address, or what key=bl.ipv4 or key=bl.ipv6 says",
    "Set.discard": "write `seen.discard(key)`, with a key as the Set has them",
    "Map.get": "write `tries.get(key, default)`, with a key as the Map has them, default an integer",
    "Map.add": "write `tries.add(key)` or `tries.add(key, n)`, with a key as the Map has them, n an integer",
    "Map.pop": "write `tries.pop(key, default)`, with a key as the Map has them, default an integer",
    "Map.discard": "write `tries.discard(key)`, with a key as the Map has them",
    "CountMin.add": "write `talkers.add(key)` or `talkers.add(key, n)`: a number, an address, or pkt",
    "CountMin.estimate": "write `talkers.estimate(key)`: a number, an address, or pkt",
    "HeavyHitters.add": "write `elephants.add(pkt)` or `elephants.add(pkt, n)`, n an integer; the top is for Python",
    "HyperLogLog.add": "write `sources.add(key)`: a number, an address, or pkt; the estimate is for Python",
    "Template.emit": "write `template.emit(pkt)` or `template.emit(pkt, port)`, port a number",
    "Toeplitz.hash": "write `rss.hash(pkt)`",
    "ByteHistogram.add": "write `seen.add(pkt.payload)`",
    "PatternSet.first_in": "write `patterns.first_in(pkt)`",
    "PatternSet.find": "write `number, at = patterns.find(pkt.payload)`, and to go on `.find(pkt.payload, at, number)`",
    "SteeringTable.queue": "write `table.queue(pkt)`; packets inside of tunnels are not looked at",
    "SteeringTable.mark": "write `table.mark(pkt)`; packets inside of tunnels are not looked at",
    "RuleSet.match": "write `rules.match(pkt)`; packets inside of tunnels are not looked at",
    "RuleSet.next_match": "write `rules.next_match(pkt, number)`, number an integer",
    "RuleSet.value": "write `rules.value(number)`, number an integer",
    "BytesView.startswith": 'write `view.startswith(b"GET ")`, one literal',
    "BytesView.be16": "write `view.be16(index)`, index an integer",
    "BytesView.be32": "write `view.be32(index)`, index an integer",
    "Kind.load": "write e.g. `u32x16.load(pkt.payload, at)`, at an integer",
    "Kind.gather": "write e.g. `u32x16.gather(pkt.payload, offsets)`, offsets a vector of as many lanes",
    "Kind.cast": "write e.g. `u8x64.cast(v)`, for a vector of as many bytes",
    "Vector.store": "write `v.store(pkt.payload, at)`, at an integer",
    "Vector.shuffle": "write e.g. `v.shuffle(3, 2, 1, 0)`: places are constants, below the number of lanes",
    "Vector.every": "write e.g. `v.every(4, 0)`: two constants, the step and the first lane",
    "Vector.compress": "write `v.compress(mask)`, with a mask of as many lanes",
    "Vector.lookup": "write `table.lookup(indices)`, two vectors",
    "Vector.bits": "a mask of up to 64 lanes has `.bits()`; a vector does not, compare it first",
    "Packet.fix_checksums": "write `pkt.fix_checksums()`",
    "Packet.checksums_ok": "write `pkt.checksums_ok()`",
    "Packet.clone": "write `pkt.clone()` or `pkt.clone(port)`, port a number; what a stage made is not cloned",
    "Header.fix_checksum": "write e.g. `pkt.ipv4.fix_checksum()`",
}
STATE = (
    "ByteHistogram", "CountMin", "Counter", "Digest", "FlowTable", "HeavyHitters", "Histogram", "HyperLogLog",
    "Map", "Match", "Meter", "PatternSet", "PrefixMap", "RuleSet", "Set", "SteeringTable", "Template", "Toeplitz",
)  # fmt: skip
RETURNS = 'return bl.PASS or None, bl.DROP, bl.drop("why"), bl.send(port), bl.CONSUME, or a chain'
LANGUAGE = "see the stage language in the documentation; --debug shows all that Numba says"


def described(kind: str) -> str:
    """A type in words."""
    kind = re.sub(r"^\w+=", "", kind.strip().rstrip("."))
    if kind in WORDS:
        return WORDS[kind]
    if found := re.match(r"Literal\[(\w+)\]\((.*)\)$", kind, re.DOTALL):
        return f"the text {found.group(2)!r}" if found.group(1) == "str" else found.group(2)
    if found := re.match(r"(?:OptionalType|Optional)\((.*)\)$", kind):
        return f"{described(found.group(1))} or None"
    if (found := re.match(r"(\w+)\(", kind)) and found.group(1) in STATE:
        return f"a {found.group(1)}"
    if found := re.match(r"Header\((\w+)", kind):
        return f"the {found.group(1)} header"
    if found := re.match(r"StructRef\((\w+)", kind):
        return f"a record {found.group(1)}"
    if found := re.match(r"Module\(<module '([\w.]+)'", kind):
        return f"the module {found.group(1)}"
    for start, word in (
        ("Packets(", "a group of packets"), ("InnerPackets(", "a group of inner packets"),
        ("Packet(", "a packet"), ("InnerPacket(", "an inner packet"), ("Branch(", "a branch"),
        ("MadePacket(", "a packet that a stage made"), ("MadeInnerPacket(", "an inner packet"),
        ("Protocol(", "a protocol"), ("bytes(", "a bytes literal"), ("readonly bytes(", "a bytes literal"),
        ("UniTuple(", "a tuple"), ("Tuple(", "a tuple"), ("Function(", "a function"), ("type(", "a function"),
        ("BoundFunction(", "a method"), ("IntEnum", "a number"), ("complex", "a complex number"),
        ("u8x", f"a vector {kind}"), ("u16x", f"a vector {kind}"), ("u32x", f"a vector {kind}"),
        ("u64x", f"a vector {kind}"), ("mask of ", f"a {kind}"), ("kind(", "a kind of vectors"),
        ("range", "a range"), ("slice<", "a slice"), ("uint", "a number"), ("int", "a number"),
    ):  # fmt: skip
        if kind.startswith(start):
            return word
    return kind


def arguments(text: str) -> list[str]:
    """`int64, Tuple(int64, int64)` taken apart at the commas that are not inside of anything."""
    parts, depth = [""], 0
    for character in text:
        depth += character in "([{<"
        depth -= character in ")]}>"
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [p.strip() for p in parts if p.strip()]


def operation(name: str, given: list[str]) -> tuple[str, str]:
    """What does not exist, and what to write instead, for an operation over values of the given types."""
    words = [described(g) for g in given]
    listed = ", ".join(words)
    addresses = [g for g in given if g.startswith("IPv")]
    if name in ("bool", "truth", "not_") and addresses:
        return "an address is neither true nor false", "ask for the header, `if pkt.ipv4:`, or compare the address"
    if name in ("bool", "truth", "not_") and any(re.match(r"u\d+x|mask of ", g) for g in given):
        said = f"{listed} is neither true nor false"
        return said, "ask `.any()` or `.all()` of a mask, and combine masks with & | ~"
    if name == "int" and addresses:
        return "an IPv6 address does not fit a number", "compare it, or look it up in a PrefixMap"
    if name == "drop":
        return "a drop needs a name that stands in the code", 'write `bl.drop("why")`, each reason in its own `return`'
    if name == "send":
        return f"packets are sent to a port by its number, not by {listed or 'nothing'}", "write `bl.send(1)`"
    if name in ("getitem", "static_getitem", "setitem") and given and given[0].startswith("FlowTable"):
        return f"a FlowTable is indexed by the packet, and its records are not replaced: {listed}", (
            "write `flow = flows[pkt]`, then set fields of `flow`"
        )
    if name in ("getitem", "static_getitem", "setitem", "contains") and given and given[0].startswith(("Set(", "Map(")):
        said = f"a {given[0].split('(')[0]} is not asked by {words[1]}" + (f", for {words[2]}" if words[2:] else "")
        return said, "keys are numbers and IPv4 addresses, or what key=bl.ipv4 or key=bl.ipv6 says; values are numbers"
    if name in ("getitem", "static_getitem") and given and given[0].startswith("Branch"):
        by = "by a number, e.g. `branch[pkt.udp.dport]`" if "(number" in given[0] else "by the packet, `branch[pkt]`"
        return f"a branch is not asked by {words[-1]}", f"ask it {by}"
    if name == "setitem" and given and given[0] == "BytesView":
        return "a view of bytes cannot be written to", "write to the fields of headers"
    if name == "getiter":
        return f"there is no loop over {listed}", "write `for k in range(len(view)):` and use `view[k]`"
    if name.startswith(("_", "unicode_")):  # a helper of Numba's for text
        return "text is not worked on in a stage", "text exists only as the name of a drop; compare bytes with b'...'"
    if name in OPERATORS:
        sign = OPERATORS[name]
        said = f"`{sign}` of {' and '.join(words)} does not exist"
        if addresses and any(w.isdigit() or w == "a number" for w in words):
            return said, 'compare with an address, NAME = bl.ip("192.0.2.1") outside of the stage, or use int(address)'
        if "Verdict" in given:
            return said, "a verdict is for returning; keep in a number what you want to know later"
        if "a bytes literal" in words:
            return said, "bytes are compared, cut and read from, not put together"
        if any("text" in w for w in words):
            return said, "text exists only as the name of a drop; compare bytes with b'...'"
        return said, LANGUAGE
    return f"`{name}({listed})` does not exist", LANGUAGE
