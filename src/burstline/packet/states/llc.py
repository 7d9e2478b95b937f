"""802.2 LLC, as 802.3 frames carry it."""

from __future__ import annotations

from burstline.native.words import Words, be8, be16
from burstline.packet.parser_state import ABSENT, OPAQUE, Step, parser_state


@parser_state("llc", "shim", "sap", "ISO/IEC 8802-2:1998 clause 3.2")
def llc(data: Words, at: int, end: int) -> Step:
    """Both service access points are the key. Control has one byte in unnumbered frames, else two (clause 5.2)."""
    if at + 3 > end:
        return ABSENT, at, end
    control = be8(data, at + 2)
    if control & 3 != 3:
        return OPAQUE, min(at + 4, end), end
    return be16(data, at) if control == 3 else OPAQUE, at + 3, end
