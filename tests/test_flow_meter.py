"""The flow meter of examples/ beside NFStream: the same records, of real captures and of a generated one."""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from burstline.cli.main import main
from burstline.engine.offline import FileRun
from burstline.ports.capture_format import CaptureError

EXAMPLE = Path(__file__).parents[1] / "examples" / "flow_meter.py"
RECORDS = Path(__file__).with_name("nfstream_records.py")
IDLE, ACTIVE = 120, 1800  # of the example, and NFStream's own
Record = list[Any]  # ends, ports, protocol, VLAN, first and last in ms, packets and bytes of each side

# Where NFStream 6.6 sees something else, and why.
LENGTH = "it counts lengths on the wire modulo 65,536"
SCTP = "it has no ports of SCTP"
ORDER = "it moves a time stamp that goes backwards to the latest one before"
VLAN = "of several tags it takes the innermost, we the outermost"
UNPARSED = (
    "it leaves out IP packets whose lengths are not those of the capture: by TSO or jumbograms, or cut; we count them"
)
EXPLAINED = {
    LENGTH: {
        "bgp-as-path-oobr", "bgp_mvpn_6_and_7_oobr", "bootp_asan-2", "heapoverflow-ip_demux_print",
        "hoobr_aodv_extension", "hoobr_pimv1", "hoobr_ripng_print", "ipcomp-heapoverflow", "kh-timed-002-oobr",
        "l2tp-avp-overflow", "pgm_opts_asan", "pgm_opts_asan_2", "pgm_opts_asan_3", "tftp-heapoverflow",
    },
    SCTP: {"forces1", "forces2", "isup"},
    ORDER: {"monero", "srvloc", "toca-boca", "trdp", "uftp_v4_v5"},
    VLAN: {"dtls", "tls_change_cipher"},
    UNPARSED: {
        "bigtcp-ipv4-vxlan-ipv4", "hoobr_rt6_print", "icmp-length-zero", "ipv4_tcp_http_xml_tso",
        "ipv6-mobility-header-oobr", "ipv6-next-header-oobr-1", "ipv6-next-header-oobr-2", "mobility_opt_asan_2",
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def needs_nfstream() -> None:
    pytest.importorskip("nfstream")
    pytest.importorskip("pyarrow")


def example(folder: Path, idle: int, active: int) -> ModuleType:
    """The example with other timeouts, its file in `folder`."""
    text = EXAMPLE.read_text().replace(f"idle={IDLE}, active={ACTIVE}", f"idle={idle}, active={active}")
    path = folder / "meter.py"
    path.write_text(text.replace("flows.parquet", str(folder / "flows.parquet")))
    spec = importlib.util.spec_from_file_location("meter", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ours(capture: Path, folder: Path, idle: int = IDLE, active: int = ACTIVE) -> list[Record]:
    from pyarrow import parquet

    app = example(folder, idle, active)
    with suppress(CaptureError):  # what was before the fault counts
        FileRun(app.pipeline, str(capture), None).run()
    rows = parquet.read_table(folder / "flows.parquet").to_pylist()
    return sorted(
        [
            str(ipaddress.ip_address(row["src"])), str(ipaddress.ip_address(row["dst"])), row["sport"], row["dport"],
            row["protocol"], row["vlan"], row["first"] // 1_000_000, row["last"] // 1_000_000,
            row["packets"], row["bytes"], row["packets_back"], row["bytes_back"],
        ]
        for row in rows
    )  # fmt: skip


def nfstream(captures: Sequence[Path], idle: int = IDLE, active: int = ACTIVE) -> list[list[Record] | None]:
    words = [sys.executable, str(RECORDS), str(idle), str(active), *map(str, captures)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(captures)
    return [None if records is None else sorted(records) for records in found]


def totals(records: Sequence[Record]) -> tuple[int, int]:
    return sum(r[8] + r[10] for r in records), sum(r[9] + r[11] for r in records)


def test_real_captures_give_the_records_of_nfstream(captures: Path, tmp_path: Path) -> None:
    names = {name for each in EXPLAINED.values() for name in each}
    same, different = 0, set()
    paths = sorted(captures.glob("*/*.pcap*"))
    for path, theirs in zip(paths, nfstream(paths), strict=True):
        if theirs is None:
            assert path.stat().st_size < 100, "no capture but a link to one, as text"
            continue
        mine = ours(path, tmp_path)
        if mine == theirs:
            same += 1
            continue
        different.add(path.stem)
        if path.stem in EXPLAINED[ORDER] | EXPLAINED[VLAN] | EXPLAINED[SCTP]:
            assert totals(mine) == totals(theirs)
        elif path.stem in EXPLAINED[LENGTH]:
            assert totals(mine)[0] == totals(theirs)[0]
        elif path.stem in EXPLAINED[UNPARSED]:
            assert totals(mine)[0] > totals(theirs)[0]
    assert different == names, "no more and no less than what is explained"
    assert same > 100


def test_a_generated_capture_gives_the_records_of_nfstream_with_the_same_timeouts(tmp_path: Path) -> None:
    capture = tmp_path / "generated.pcap"
    words = ["gen", str(capture), "--packets", "200k", "--flows", "5k", "--rate", "20k", "--zipf", "1.0"]
    assert main(words) == 0
    mine, (theirs,) = ours(capture, tmp_path, 1, 3), nfstream([capture], 1, 3)
    assert theirs is not None
    assert mine == theirs
    assert totals(mine)[0] == 200_000
    assert len(mine) > 2 * len({tuple(r[:6]) for r in mine}), "timeouts cut most flows"
