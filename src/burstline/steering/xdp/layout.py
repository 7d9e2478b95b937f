"""Where the program keeps what: its working memory, one for each CPU, and the settings that it only reads.

A packet's first bytes are copied into working memory. There any offset that is masked is in bounds, which is all that
the kernel's verifier asks (Documentation/bpf/verifier.rst), while of the packet itself it would want to see each access
compared with its end.
"""

from __future__ import annotations

from burstline.state.steering_words import WORDS

# Working memory, in bytes. Where the parser stands is kept here and not in registers: what comes from memory is unknown
# to the verifier, so that it need not follow each way to it on its own.
WINDOW = 512  # bytes of a packet that are looked at, a power of two
DEEPEST = 448  # a header that begins behind it is not looked at
BEHIND = WINDOW + 64  # the longest fixed part that is read of one header lies before it
AT, END, KIND, PROTO, L3, L4 = range(BEHIND, BEHIND + 48, 8)
WORDS_AT = BEHIND + 48  # those of steering_words.py
KEY_AT = WORDS_AT + 64
RANK_AT, DECISION_AT = KEY_AT + 40, KEY_AT + 48  # of the wildcard that was found
SCRATCH = DECISION_AT + 8
assert WORDS * 4 <= 64

FRAGMENT_BIT = 1 << 30  # of KIND, above all bits of steering_words.py

# Settings.
PLACES = 36  # bytes of the longest input of the hash
TABLES = PLACES * 256 * 4  # of each byte of the input 256 numbers: what it adds to the hash
MOST_BUCKETS, MOST_GROUPED = 512, 4096
RETA_AT = TABLES  # 32 bits a bucket
GROUPS_AT = RETA_AT + 4 * MOST_BUCKETS  # 16 bits each, as `grouped` in state/steering_table.py
EXACT_AT = GROUPS_AT + 2 * MOST_GROUPED  # whether there are exact rules
SETTINGS = EXACT_AT + 8

META_SIZE, META_MAGIC = 8, 0x62_73_74_6C  # bytes in front of a packet with a mark: the mark, then this
VALUE = 16  # bytes of an exact rule: rank, decision
