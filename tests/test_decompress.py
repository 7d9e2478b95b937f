"""Compressed captures: what a stream is, its bytes tell; a broken one delivers all before the break, then says so."""

from __future__ import annotations

import gzip
import io
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from burstline.errors import BurstlineError
from burstline.ports.capture_format import CaptureError, Fault
from burstline.ports.capture_reader import read_capture
from burstline.ports.capture_writer import CaptureWriter
from burstline.ports.decompress import Feeder, open_capture

zstandard = pytest.importorskip("zstandard")


def capture(packets: int) -> bytes:
    stream = io.BytesIO()
    dice = random.Random(1)
    with CaptureWriter(stream) as writer:
        for k in range(packets):
            writer.write(dice.randbytes(k % 400), 400, k)
    return stream.getvalue()


PLAIN = capture(3000)
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": lambda data: gzip.compress(data, 1),
    "gzip, two members": lambda data: gzip.compress(data[:5000]) + gzip.compress(data[5000:]),
    "gzip, padded": lambda data: gzip.compress(data) + bytes(512),
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
    "zstd, two frames": lambda data: b"".join(
        zstandard.ZstdCompressor().compress(part) for part in (data[:5000], data[5000:])
    ),
    "zstd, skippable frame": lambda data: b"\x55\x2a\x4d\x18\x03\0\0\0abc" + zstandard.ZstdCompressor().compress(data),
}
PACKED = {name: compress(PLAIN) for name, compress in COMPRESS.items()}


@pytest.fixture(params=PACKED)
def packed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "capture.bin"  # a name that tells nothing
    path.write_bytes(PACKED[request.param])
    return path


def drain(feeder: Feeder) -> bytes:
    pieces = [feeder.head]
    while piece := os.read(feeder.fd, 1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_stream_has_the_uncompressed_bytes(packed: Path) -> None:
    with open_capture(packed) as stream:
        assert stream.read() == PLAIN


def test_a_feeder_has_the_uncompressed_bytes_and_is_seekable_only_when_plain(packed: Path) -> None:
    with Feeder(packed) as feeder:
        assert drain(feeder) == PLAIN
        feeder.finish()
        assert feeder.seekable == (packed.read_bytes() == PLAIN)
        if feeder.seekable:
            assert os.pread(feeder.fd, 4, 0) == PLAIN[:4]


READ_STDIN = """
import os, sys
from burstline.ports.decompress import Feeder, open_capture
if sys.argv[1] == "stream":
    sys.stdout.buffer.write(open_capture("-").read())
else:
    with Feeder("-") as feeder:
        sys.stdout.buffer.write(feeder.head)
        while piece := os.read(feeder.fd, 65536):
            sys.stdout.buffer.write(piece)
        feeder.finish()
        assert feeder.name == "standard input"
    os.fstat(0)
"""


@pytest.mark.parametrize("kind", ["plain", "gzip", "zstd"])
@pytest.mark.parametrize("reader", ["stream", "feeder"])
@pytest.mark.parametrize("piped", [True, False])
def test_standard_input_is_recognised_too(kind: str, reader: str, piped: bool, tmp_path: Path) -> None:
    command = [sys.executable, "-c", READ_STDIN, reader]
    if piped:
        run = subprocess.run(command, input=PACKED[kind], capture_output=True, check=True)
    else:
        path = tmp_path / "in"
        path.write_bytes(PACKED[kind])
        with path.open("rb") as stream:
            run = subprocess.run(command, stdin=stream, capture_output=True, check=True)
    assert run.stdout == PLAIN


def packets_until_fault(path: Path) -> tuple[int, BurstlineError | None]:
    count = 0
    try:
        with open_capture(path) as stream:
            for _ in read_capture(stream, str(path)):
                count += 1
    except BurstlineError as error:
        return count, error
    return count, None


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_compressed_file_cut_anywhere_delivers_packets_and_then_says_so(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "cut"
    data = PACKED[kind]
    counts = []
    for cut in [*range(4, 40), *range(40, len(data), len(data) // 50), len(data) - 1]:
        path.write_bytes(data[:cut])
        count, error = packets_until_fault(path)
        counts.append(count)
        assert isinstance(error, CaptureError)
        assert error.fault is Fault.COMPRESSED
        assert f"{path} cannot be decompressed: its {kind} stream ends early, at byte " in error.message
        with Feeder(path) as feeder:
            plain = drain(feeder)
            assert PLAIN.startswith(plain)
            with pytest.raises(CaptureError, match="ends early"):
                feeder.finish()
    assert counts == sorted(counts)
    assert counts[-1] > 2000


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_damage_inside_a_compressed_file_is_one_clear_error(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    data = bytearray(PACKED[kind])
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    path.write_bytes(data)
    count, error = packets_until_fault(path)
    assert 0 < count < 3000
    assert error is not None
    # Where the damage decompresses to something else, the capture's own checks find it.
    assert "cannot be decompressed" in error.message or error.hint == "the packets before it were read; " + (
        "what follows is damaged or not a capture"
    )


def test_what_follows_a_compressed_stream_must_be_another_one(tmp_path: Path) -> None:
    path = tmp_path / "tail"
    path.write_bytes(PACKED["gzip"] + b"garbage")
    count, error = packets_until_fault(path)
    assert count == 3000
    assert error is not None
    assert "cannot be decompressed: gzip: " in error.message


def test_what_cannot_be_opened_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for opener in (open_capture, Feeder):
        with pytest.raises(BurstlineError, match=r"cannot open .*none.pcap: No such file or directory\n  hint: is the"):
            opener(tmp_path / "none.pcap")
        with pytest.raises(BurstlineError, match=r"cannot open .*: it is a directory\n  hint: name a capture file"):
            opener(tmp_path)

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(BurstlineError, match=r"cannot open secret.pcap: Permission denied\n  hint: run as a user who"):
        open_capture("secret.pcap")


def test_zstd_without_a_decompressor_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ImportError(name)

    path = tmp_path / "capture.zst"
    path.write_bytes(PACKED["zstd"])
    monkeypatch.setattr("importlib.import_module", missing)
    before = open_descriptors()
    with pytest.raises(BurstlineError, match="compressed by zstd, which this Python cannot read\n  hint: pip install"):
        open_capture(path)
    assert open_descriptors() == before


def test_a_feeder_closed_early_ends_its_thread_and_leaves_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "long.gz"
    path.write_bytes(gzip.compress(bytes(64 << 20), 1))
    before = open_descriptors()
    feeder = Feeder(path)
    assert os.read(feeder.fd, 10) == bytes(10)
    feeder.close()
    feeder.close()
    for thread in threading.enumerate():
        if thread.name == "decompress":
            thread.join(10)
            assert not thread.is_alive()
    feeder.finish()
    assert open_descriptors() == before


def test_a_file_without_packets_or_bytes_can_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.write_bytes(b"")
    assert packets_until_fault(path)[1].fault is Fault.EMPTY  # type: ignore[union-attr]
    path.write_bytes(gzip.compress(b""))
    assert packets_until_fault(path)[1].fault is Fault.EMPTY  # type: ignore[union-attr]
