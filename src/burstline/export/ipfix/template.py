"""Templates, and rows as the data records that they describe (RFC 7011, 3.4 and 6)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from burstline.export.ipfix.elements import BOOL, IANA, MICRO, MILLI, NANO, REVERSE, Element, element_of, kind_of
from burstline.export.ipfix.variable import ANY_LENGTH, records
from burstline.export.shape import Shape

FIRST_TEMPLATE, DESCRIPTIONS = 256, 300  # numbers of templates
NTP_EPOCH = 2_208_988_800  # seconds from 1900, from which RFC 7011 counts in 6.1.9 and 6.1.10, to 1970
REASONS = {b"idle": 1, b"active": 2, b"closed": 3, b"end": 4, b"evicted": 5}  # of flowEndReason
ENTERPRISE_BIT = 1 << 15


@dataclass(frozen=True)
class Part:
    """A field of a data record: its element, its type in NumPy, and how it is made of rows. Without a type, it is made
    of them as a list of bytes, of any length each."""

    element: Element
    format: Any
    values: Callable[[Any], Any]

    @property
    def size(self) -> int:
        import numpy as np

        return ANY_LENGTH if self.format is None else int(np.dtype(self.format).itemsize)

    def specifier(self) -> bytes:
        """RFC 7011, 3.2."""
        number, enterprise = self.element.number, self.element.enterprise
        if not enterprise:
            return struct.pack(">HH", number, self.size)
        return struct.pack(">HHI", number | ENTERPRISE_BIT, self.size, enterprise)


@dataclass(frozen=True)
class Template:
    """Parts of any length come last."""

    number: int
    parts: Sequence[Part]
    version: int | None = None  # of IP, of the rows that it is for; None: of all

    @cached_property
    def dtype(self) -> Any:
        """Of what has the same length in each record."""
        import numpy as np

        return np.dtype([(f"f{k}", part.format) for k, part in enumerate(self.fixed)])

    @cached_property
    def fixed(self) -> list[Part]:
        return [part for part in self.parts if part.format is not None]

    @cached_property
    def varying(self) -> list[Part]:
        return [part for part in self.parts if part.format is None]

    def record(self) -> bytes:
        """RFC 7011, 3.4.1."""
        return struct.pack(">HH", self.number, len(self.parts)) + b"".join(p.specifier() for p in self.parts)

    def pieces(self, rows: Any, room: int) -> Iterator[tuple[memoryview | bytes, int]]:
        """Rows as data records, one behind the other, as many as fit into so many bytes; and how many."""
        fixed, size = self._encoded(rows), self.dtype.itemsize
        if self.varying:
            yield from records(fixed, size, [part.values(rows) for part in self.varying], room)
            return
        each = max(1, room // size)
        for at in range(0, len(rows), each):
            yield fixed[at * size : (at + each) * size], min(each, len(rows) - at)

    def _encoded(self, rows: Any) -> memoryview:
        """What has the same length in each."""
        import numpy as np

        wire: Any = np.empty(len(rows), self.dtype)
        for k, part in enumerate(self.fixed):
            wire[f"f{k}"] = part.values(rows)
        return memoryview(wire.view("u1").reshape(-1))


def templates_of(shape: Shape, unit: str = "ms", enterprise: int = 0) -> list[Template]:
    """For rows of a shape: a template for each IP version where there are addresses of both, else one for all."""
    names = list(shape.dtype.names)
    if not ({"src", "dst", "version"} <= set(names) and shape.dtype["src"].shape == (16,)):
        return [Template(FIRST_TEMPLATE, _parts(shape, names, unit, enterprise))]
    found = []
    for number, version in enumerate((4, 6, 0)):
        parts = _ends(version) + _parts(shape, [n for n in names if n not in ("src", "dst")], unit, enterprise)
        if not version:  # the EtherType is where ports are
            parts = [_ether_type(p) if p.element.number == 7 and not p.element.enterprise else p for p in parts]
            parts = [p for p in parts if p.element.enterprise or p.element.number not in (4, 11)]
        found.append(Template(FIRST_TEMPLATE + number, parts, version))
    return found


def _ends(version: int) -> list[Part]:
    if not version:
        return []
    size = 4 if version == 4 else 16
    return [
        Part(IANA[f"{name}IPv{version}Address"], f"V{size}", _column(column, size))
        for name, column in (("source", "src"), ("destination", "dst"))
    ]


def _column(name: str, size: int) -> Callable[[Any], Any]:
    return lambda rows: _bytes(rows[name], size)


def _bytes(values: Any, size: int) -> Any:
    import numpy as np

    return np.ascontiguousarray(values[:, :size]).view(f"V{size}")[:, 0]


def _ether_type(part: Part) -> Part:
    return Part(IANA["ethernetType"], part.format, part.values)


def _parts(shape: Shape, names: Sequence[str], unit: str, enterprise: int) -> list[Part]:
    parts = [_part(shape, name, place, unit, enterprise) for place, name in enumerate(names)]
    if shape.two_way:  # RFC 5103, 6.3: the source is the end that sent first
        parts.append(Part(Element("biflowDirection", 239, 1), "u1", lambda rows: 1))
    return sorted(parts, key=lambda part: part.format is None)


def _part(shape: Shape, name: str, place: int, unit: str, enterprise: int) -> Part:
    dtype = shape.dtype[name]
    if dtype.kind == "O":
        return _of_objects(shape, name, place, unit, enterprise)
    if name == "reason":
        return Part(IANA["flowEndReason"], "u1", lambda rows: _reasons(rows[name]))
    if dtype.shape == (16,):
        element = element_of(name, "ipv6", 16, unit, enterprise, place)
        return Part(element, "V16", lambda rows: _bytes(rows[name], 16))
    kind, size = kind_of(dtype)
    kind = {"ipv4": "ipv4"}.get(shape.kinds.get(name, ""), kind)
    element = element_of(name, kind, size, unit, enterprise, place)
    if element.type in (MILLI, MICRO, NANO) and not element.enterprise:
        return Part(element, ">u8", lambda rows: _time(rows[name], element.type))
    if element.type == BOOL:  # RFC 7011, 6.1.5: true is 1 and false is 2
        return Part(element, "u1", lambda rows: 2 - rows[name].astype("u1"))
    if kind == "bytes":
        return Part(element, f"V{size}", lambda rows: _same_size(rows[name], size))
    return Part(element, dtype.newbyteorder(">"), lambda rows: rows[name])


def _of_objects(shape: Shape, name: str, place: int, unit: str, enterprise: int) -> Part:
    """Of Python's texts, bytes or numbers, and None where there is nothing."""
    import numpy as np

    if name in shape.numbers:
        dtype, nothing = np.dtype(shape.numbers[name][0]), shape.numbers[name][1]
        element = element_of(name, *kind_of(dtype), unit, enterprise, place)
        return Part(element, dtype.newbyteorder(">"), lambda rows: _numbers(rows[name], nothing))
    element = element_of(name, shape.kinds[name], 0, unit, enterprise, place)
    return Part(element, None, lambda rows: [_encoded(value) for value in rows[name].tolist()])


def _numbers(values: Any, nothing: int) -> list[int]:
    return [nothing if value is None else value for value in values.tolist()]


def _encoded(value: str | bytes | None) -> bytes:
    return value.encode(errors="replace") if isinstance(value, str) else value or b""


def _same_size(values: Any, size: int) -> Any:
    import numpy as np

    return np.ascontiguousarray(values).view(f"V{size}")


def _reasons(reasons: Any) -> Any:
    import numpy as np

    numbers = np.zeros(len(reasons), "u1")
    for reason, number in REASONS.items():
        numbers[reasons == reason] = number
    return numbers


def _time(ns: Any, kind: int) -> Any:
    """Milliseconds since 1970; or, of micro- and nanoseconds, NTP time stamps of RFC 5905 (RFC 7011, 6.1.8 to 10)."""
    import numpy as np

    ns = ns.astype("i8")
    if kind == MILLI:
        return ns // 1_000_000
    seconds, rest = np.divmod(ns, 1_000_000_000)
    fraction = (rest.astype("u8") << np.uint64(32)) // np.uint64(1_000_000_000)
    if kind == MICRO:
        fraction &= np.uint64(0xFFFFF800)  # 6.1.9: the lowest 11 bits are zero
    return (seconds + NTP_EPOCH).astype("u8") << np.uint64(32) | fraction


def own_elements(templates: Sequence[Template]) -> list[Element]:
    """Those that no registry of IANA's describes."""
    every = [part.element for template in templates for part in template.parts]
    return list(dict.fromkeys(e for e in every if e.enterprise not in (0, REVERSE)))


def descriptions_template() -> bytes:
    """The options template of RFC 5610, 3.9: what an element of an enterprise is; the first two say which."""
    sizes = {346: 4, 303: 2, 339: 1, 344: 1, 345: 2, 342: 8, 343: 8, 341: ANY_LENGTH, 340: ANY_LENGTH}
    return struct.pack(">HHH", DESCRIPTIONS, len(sizes), 2) + b"".join(
        struct.pack(">HH", *each) for each in sizes.items()
    )


def description(element: Element) -> bytes:
    """A data record of that template: no units, no range, no description; the last two have a variable length
    (RFC 7011, 7)."""
    name = element.name.encode()[:254]
    head = struct.pack(">IHBB", element.enterprise, element.number, element.type, element.semantics)
    return head + bytes(18) + bytes((len(name),)) + name + b"\0"
