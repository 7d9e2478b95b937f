"""What GRO knows of a packet before it looks for what is held of its flow, in one word.

Bits 0 to 15 are its form and the bytes of its headers; with the two flags above them, two packets must have them in
common to be merged. The bytes of its payload are the upper half. 0 is a packet that GRO has nothing to do with.
"""

from __future__ import annotations

HEADER_SHIFT = 8
OUTER_CHECKSUM = 1 << 16  # the outer UDP header has one
MARKED = 1 << 17  # the mbuf has flags that packets must have in common
SAME = (1 << 18) - 1
FLOW = 1 << 18  # of a flow that packets may be held of
JOINS = 1 << 19  # it can be the next of a merged packet,
HEADS = 1 << 20  # or the first
ENDS = 1 << 21  # it has FIN or PSH
PAYLOAD_SHIFT = 32
