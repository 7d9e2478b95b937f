"""From the link types of capture files to the parser's link layers: one source, compiled and interpreted."""

from __future__ import annotations

from burstline.packet.parser import LINK_ETHERNET, LINK_NULL, LINK_RAW, LINK_SLL, LINK_SLL2, LINK_UNKNOWN
from burstline.ports import capture_format as form


def link_of(linktype: int) -> int:
    """The parser's number of a link type."""
    if linktype == form.LINKTYPE_ETHERNET:
        return LINK_ETHERNET
    if linktype == form.LINKTYPE_LINUX_SLL:
        return LINK_SLL
    if linktype == form.LINKTYPE_LINUX_SLL2:
        return LINK_SLL2
    if linktype == form.LINKTYPE_NULL or linktype == form.LINKTYPE_LOOP:
        return LINK_NULL
    if linktype == form.LINKTYPE_RAW or linktype == form.LINKTYPE_RAW_BSD or linktype == form.LINKTYPE_RAW_OPENBSD:
        return LINK_RAW
    if linktype == form.LINKTYPE_IPV4 or linktype == form.LINKTYPE_IPV6:
        return LINK_RAW
    return LINK_UNKNOWN
