"""Messages: a header, and sets of what fits into one (RFC 7011, 3.1 and 3.3)."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence
from typing import Any

from burstline.export.ipfix.template import DESCRIPTIONS, Template, description, descriptions_template, own_elements

VERSION, HEADER, SET_HEADER = 10, 16, 4
TEMPLATE_SET, OPTIONS_SET = 2, 3
MOST = 65535  # bytes of a message
Buffers = list["bytes | memoryview"]


class Messages:
    """Messages of one transport session: its sequence number counts the data records before each (RFC 7011, 3.1),
    those of options templates included, templates not."""

    def __init__(self, templates: Sequence[Template], domain: int, most: int) -> None:
        self.templates, self.domain, self.most = templates, domain, most
        self.sequence = 0

    def data(self, template: Template, rows: Any) -> Iterator[tuple[Buffers, int]]:
        """Messages as buffers, with how many records each has. The sequence number goes on as they are taken."""
        for piece, count in template.pieces(rows, self.most - HEADER - SET_HEADER):
            head = self._header(SET_HEADER + len(piece)) + struct.pack(">HH", template.number, SET_HEADER + len(piece))
            yield [head, piece], count
            self.sequence = self.sequence + count & 0xFFFFFFFF

    def preamble(self) -> Iterator[Buffers]:
        """What the elements mean that no registry has, and templates: libfixbuf wants to know them in this order."""
        own = own_elements(self.templates)
        if own:
            yield from self._sets(OPTIONS_SET, [descriptions_template()], 0)
            yield from self._sets(DESCRIPTIONS, [description(element) for element in own], 1)
        yield from self._sets(TEMPLATE_SET, [template.record() for template in self.templates], 0)

    def _sets(self, number: int, records: Sequence[bytes], counts: int) -> Iterator[Buffers]:
        """One set a message, of as many records as fit; each adds `counts` to the sequence number."""
        room, left = self.most - HEADER - SET_HEADER, list(records)
        while left:
            body, taken = left[0], 1
            while taken < len(left) and len(body) + len(left[taken]) <= room:
                body, taken = body + left[taken], taken + 1
            set_header = struct.pack(">HH", number, SET_HEADER + len(body))
            yield [self._header(SET_HEADER + len(body)) + set_header + body]
            self.sequence = self.sequence + counts * taken & 0xFFFFFFFF
            left = left[taken:]

    def _header(self, body: int) -> bytes:
        return struct.pack(">HHIII", VERSION, HEADER + body, int(time.time()) & 0xFFFFFFFF, self.sequence, self.domain)
