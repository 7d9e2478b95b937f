"""Compiled: which of the packets on a tape still fit into a file, and how many each port has of them."""

from __future__ import annotations

from burstline.native.memory import load32, load64, store64
from burstline.ports import capture_format as form


def walk_pcapng(at: int, size: int, most: int, counts: int) -> int:
    """Bytes of whole blocks, of those at `at`, that are `most` at most; their packets and bytes on the wire are added
    to the pairs at `counts`, by interface."""
    done = 0
    while done < size:
        block = load32(at + done + 4)
        if done + block > most:
            break
        count(counts + 16 * load32(at + done + 8), load32(at + done + 24))
        done += block
    return done


def walk_pcap(at: int, size: int, most: int, counts: int) -> int:
    """The same of records."""
    done = 0
    while done < size:
        record = form.PCAP_RECORD + load32(at + done + 8)
        if done + record > most:
            break
        count(counts, load32(at + done + 12))
        done += record
    return done


def count(pair: int, length: int) -> None:
    store64(pair, load64(pair) + 1)
    store64(pair + 8, load64(pair + 8) + length)
