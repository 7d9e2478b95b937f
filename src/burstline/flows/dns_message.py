"""The first question of a DNS message, and how it was answered (RFC 1035, 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

from burstline.flows.fields import Malformed

MOST_JUMPS = 32
LONGEST = 255  # bytes of a name, with the length of each label (RFC 1035, 2.3.4)


@dataclass(frozen=True)
class Message:
    is_answer: bool
    code: int
    name: str | None  # of the first question; "." for the root's
    type: int


def dns_message(data: bytes) -> Message:
    """Raises Malformed. A message without a question has no name."""
    if len(data) < 12:
        raise Malformed
    flags, questions = int.from_bytes(data[2:4]), int.from_bytes(data[4:6])
    is_answer, code = bool(flags & 0x8000), flags & 15
    if not questions:
        return Message(is_answer, code, None, 0)
    name, at = _name(data, 12)
    if at + 4 > len(data):
        raise Malformed
    return Message(is_answer, code, name, int.from_bytes(data[at : at + 2]))


def _name(data: bytes, at: int) -> tuple[str, int]:
    """As text, without the last dot, and where it ends. Labels in UTF-8, which mDNS and LLMNR have, stay what they are;
    other bytes that are no printable ASCII are written `\\DDD`, and dots within labels escaped (RFC 1035, 5.1)."""
    labels: list[str] = []
    end, jumps, length = None, 0, 1
    while True:
        if at >= len(data):
            raise Malformed
        size = data[at]
        if size == 0:
            return ".".join(labels) or ".", at + 1 if end is None else end
        if size >= 0xC0:
            if at + 2 > len(data) or jumps == MOST_JUMPS:
                raise Malformed
            end = at + 2 if end is None else end
            at, jumps = int.from_bytes(data[at : at + 2]) & 0x3FFF, jumps + 1
            continue
        length += 1 + size
        if size > 63 or length > LONGEST or at + 1 + size > len(data):
            raise Malformed
        labels.append(_label(data[at + 1 : at + 1 + size]))
        at += 1 + size


def _label(data: bytes) -> str:
    if not data.isascii():
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = ""
        if text.isprintable() and text and "." not in text and "\\" not in text:
            return text
    return "".join(_CHARACTERS[byte] for byte in data)


_CHARACTERS = [
    f"\\{byte:03}" if not 0x21 <= byte <= 0x7E else f"\\{chr(byte)}" if chr(byte) in '.\\"();@$' else chr(byte)
    for byte in range(256)
]
