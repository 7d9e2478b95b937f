"""Real captures through `burstline flows`, beside tshark and NFStream: names, questions, streams, fingerprints."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

import tshark
from burstline.engine.offline import FileRun
from burstline.flows.meter import Meter
from burstline.flows.output import FlowOutput
from burstline.flows.records import Settings
from flow_oracles import Ends, nfstream, packets, tshark_names, tshark_questions, tshark_streams

# Where the others see something else, and why.
OLD_QUIC = "versions of Facebook and Google before the RFC"
NAMES_DIFFER = {"quic-mvfst-22": OLD_QUIC, "quic_t51": OLD_QUIC}
QUESTIONS_DIFFER = {"dns-google-nsid": "tshark writes the root as <Root>, we as a dot"}
STREAMS_DIFFER = {
    "srvloc": "a fragment after the first is a flow without ports",
    "tls_change_cipher": "TCP within a tunnel is no flow of ours without --tunnels",
}
FINGERPRINTS_DIFFER = {
    "KakaoTalk_chat": "without extensions the last part is zeros by the specification, in nDPI the hash of nothing",
    "smtp-starttls": "nDPI takes the server's name in its greeting for the client's",
    "dtls": "nDPI goes by DTLS's legacy version, the specification by the extension",
    "quic_interop_V": "nDPI opens no packets of forced versions",
    "quic-mvfst-22": OLD_QUIC,
    "quic_t51": OLD_QUIC,
}


# Of the other captures none has a name or a question, and streams are the same; each costs a second.
CAPTURES = {
    "KakaoTalk_chat", "bittorrent_tcp_miss", "cachefly", "custom_risk_mask", "dnscrypt-v2-doh", "dtls",
    "dtls_certificate_fragments", "encrypted_sni", "http_ipv6", "imap-starttls", "monero", "nintendo", "ocs",
    "punycode-idn", "quic-23", "telegram", "teredo", "whatsapp_login_chat",
}.union(NAMES_DIFFER, QUESTIONS_DIFFER, STREAMS_DIFFER, FINGERPRINTS_DIFFER)  # fmt: skip


@pytest.fixture(scope="module")
def metered(captures: Path) -> dict[Path, list[dict[str, Any]]]:
    """Flows of all captures; timeouts are long, since tshark's streams have none."""
    meter, found = Meter(Settings(idle=1e6, active=1e6)), {}
    output = FlowOutput(meter, [], several=False)
    rows: list[dict[str, Any]] = []
    meter.flows.expired(lambda records: rows.extend(as_dicts(output.rows(records))))
    for path in sorted(captures.glob("protocols/*.pcap*")):
        if path.stem not in CAPTURES:
            continue
        FileRun(meter.pipeline, str(path), None).run()
        found[path], rows = list(rows), []
    return found


def as_dicts(rows: Any) -> list[dict[str, Any]]:
    return [{name: row[name] for name in rows.dtype.names} for row in rows]


def ends(row: dict[str, Any]) -> Ends:
    size = 4 if row["version"] == 4 else 16
    return frozenset(
        (str(ip_address(row[a].tobytes()[:size])), int(row[p])) for a, p in (("src", "sport"), ("dst", "dport"))
    )


needs_tshark = pytest.mark.skipif(tshark.find() is None, reason="tshark is not installed")


@needs_tshark
def test_names_questions_and_streams_are_those_of_tshark(metered: dict[Path, list[dict[str, Any]]]) -> None:
    different: dict[str, set[str]] = {"names": set(), "questions": set(), "streams": set()}
    counts: Counter[str] = Counter()
    for path, rows in metered.items():
        theirs = packets(path)
        names = Counter((ends(row), row["sni"]) for row in rows if row["sni"])
        questions = Counter((ends(row), row["dns_name"]) for row in rows if row["dns_name"])
        streams = {kind: sum(row["protocol"] == number for row in rows) for kind, number in (("tcp", 6), ("udp", 17))}
        for what, ours, others in (
            ("names", names, tshark_names(theirs)), ("questions", questions, tshark_questions(theirs)),
            ("streams", streams, tshark_streams(theirs)),
        ):  # fmt: skip
            counts[what] += sum(ours.values())
            if ours != others:
                different[what].add(path.stem)
    assert different["names"] == set(NAMES_DIFFER)
    assert different["questions"] == set(QUESTIONS_DIFFER)
    assert different["streams"] == set(STREAMS_DIFFER)
    assert counts["names"] > 60
    assert counts["questions"] > 30
    assert counts["streams"] > 800


def test_fingerprints_are_those_of_nfstream(metered: dict[Path, list[dict[str, Any]]]) -> None:
    pytest.importorskip("nfstream")
    pytest.importorskip("cryptography")
    same, different = 0, set()
    for (path, rows), theirs in zip(metered.items(), nfstream(list(metered)), strict=True):
        ours = {ends(row): row["ja4"] for row in rows if row["ja4"]}
        for flow in theirs:
            both = frozenset((str(ip_address(address)), port) for address, port in flow["ends"])
            if "," in (flow["fingerprint"] or ""):
                continue  # of DHCP
            if (flow["fingerprint"] or None) != ours.get(both):
                different.add(path.stem)
            elif flow["fingerprint"]:
                same += 1
    assert different == set(FINGERPRINTS_DIFFER)
    assert same > 60
