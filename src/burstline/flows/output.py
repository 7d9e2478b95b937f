"""Records of the flow meter as rows with all columns, on their way to sinks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from burstline.flows.columns import columns_of, row_type, shape_of, tunnel_names
from burstline.flows.meter import Meter
from burstline.flows.readers import Readers

PATIENCE = 50  # looks for pieces that are on their way, a millisecond apart
SAME = ("version", "protocol", "src", "dst", "sport", "dport", "vlan", "inner_vlan", "tunnel_id", "first", "first_back",
        "last_back", "packets", "bytes", "packets_back", "bytes_back", "payload_bytes", "payload_bytes_back",
        "min_length", "max_length", "min_ttl", "max_ttl", "tcp_flags", "tcp_flags_back", "syn_rtt", "ack_rtt",
        "reason")  # fmt: skip


class FlowOutput:
    """Joins a meter's records with what was read in their payloads, and lets them go to `sinks` as files and URLs.
    `capture` is the file that they are of. Each of the workers has a table."""

    def __init__(self, meter: Meter, sinks: Sequence[str], several: bool, workers: int = 1) -> None:
        self._meter = meter
        self.columns = columns_of(meter.settings, several)
        self.capture: str | None = None
        self.flows = 0
        self._type = row_type(self.columns, meter.settings)
        self._readers = Readers(2 * meter.settings.capacity * workers)  # of those in tables, and on their way
        self.exports = meter.flows.exports
        self.exports.show_as(shape_of(self.columns, meter.settings), self.rows)
        for sink in sinks:
            self.exports.write_to(sink)
        meter.pieces.batches(self._readers.add)

    def rows(self, records: Any) -> Any:
        """A table's records as rows."""
        import numpy as np

        self.flows += len(records)
        rows, names = np.zeros(len(records), self._type), set(self._type.names)
        for name in SAME:
            if name in names:
                rows[name] = records[name]
        rows["last"] = np.maximum(records["last_there"], records["last_back"])
        for name in names & {"payload", "payload_back"}:
            sizes = records[name.replace("payload", "payload_size")]
            rows[name] = _whole(records[name], sizes)
        if "tunnel" in names:
            rows["tunnel"] = tunnel_names(records["tunnel"])
        if "capture" in names:
            rows["capture"] = self.capture
        if self._meter.settings.names:
            for name in ("sni", "alpn", "ja4", "dns_name", "dns_type", "dns_code"):
                rows[name] = None
            self._name(rows, records)
        return rows

    def _name(self, rows: Any, records: Any) -> None:
        """Those whose payloads were read."""
        import numpy as np

        read = np.flatnonzero(records["pieces"])
        if not len(read):
            return
        self._meter.pieces.drain()
        chosen = records[read]
        keys = list(zip(chosen["first"].tolist(), chosen["key"].tolist(), strict=True))
        for place, key, pieces in zip(read.tolist(), keys, chosen["pieces"].tolist(), strict=True):
            self._wait_for(key, pieces)
            facts, row = self._readers.take(key), rows[place]
            row["sni"], row["alpn"], row["ja4"] = facts.sni, facts.alpn, facts.ja4
            row["dns_name"], row["dns_type"], row["dns_code"] = facts.dns_name, facts.dns_type, facts.dns_code

    def _wait_for(self, key: tuple[int, int], pieces: int) -> None:
        """A worker publishes records and pieces one after the other at the end of a burst."""
        for _ in range(PATIENCE):
            if self._readers.pieces(key) >= pieces or self._meter.pieces.lost:
                return
            if not self._meter.pieces.drain():
                time.sleep(0.001)


def _whole(values: Any, sizes: Any) -> list[bytes | None]:
    """With the zeros that NumPy strips from the end; None for nothing."""
    return [value.ljust(size, b"\0") if size else None
            for value, size in zip(values.tolist(), sizes.tolist(), strict=True)]  # fmt: skip
