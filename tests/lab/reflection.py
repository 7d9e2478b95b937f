"""A run on one card of a wire that sends each packet back, with another address; the other card, and what it hears.

The run is burstline's own (LiveRun); the other card is moved by Port, which knows nothing of offloads.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import run as command
from typing import Any

from lab_cards import DRIVERS, MACHINE, PATIENCE, RESULTS, pair, receive, up

import burstline as bl
from burstline.dpdk.pool import Pool
from burstline.dpdk.port import Port
from burstline.engine.config import Config, Pools
from burstline.engine.config import Port as Settings
from burstline.engine.live import LiveRun
from burstline.errors import BurstlineError

QUIET = 5.0  # seconds without a frame after which no more are waited for
PACKET_VNET_HDR, SOL_PACKET = 15, 263  # linux/if_packet.h, linux/socket.h
NEEDS_CSUM, TCPV4 = 1, 1  # linux/virtio_net.h
DISCARD = 9  # RFC 863: the port of frames that only show that the way is open

merged, tagged, unsure = bl.Counter("merged"), bl.Counter("tagged"), bl.Counter("unsure")


@bl.stage
def turn(pkt):  # type: ignore[no-untyped-def]
    """Sends a packet on with the addresses of its receiver for the sender's, and leaves the checksums as they are."""
    pkt.eth.src = pkt.eth.dst
    if pkt.segments > 1:
        merged.add(pkt.segments)
    if pkt.vlan_depth:
        tagged.add(1)
    if not pkt.checksums_ok():
        unsure.add(1)
    if pkt.ipv4:
        pkt.ipv4.src = pkt.ipv4.dst
    elif pkt.ipv6:
        pkt.ipv6.src = pkt.ipv6.dst
    else:
        return bl.DROP


@dataclass(frozen=True)
class Large:
    """A TCP packet over IPv4 that is to be cut into segments of `size` bytes, and whose checksum is not in it yet."""

    frame: bytes
    size: int

    def packed(self) -> bytes:
        """As PACKET_VNET_HDR has it (packet(7), linux/virtio_net.h)."""
        return struct.pack("=BBHHHH", NEEDS_CSUM, TCPV4, 54, self.size, 34, 16) + self.frame


@dataclass(frozen=True)
class Reflected:
    """What the other card heard, and what the run says of itself."""

    heard: list[bytes]
    port: dict[str, Any]
    drops: dict[str, int]
    balanced: bool
    merged: int  # packets that merged ones were made of
    tagged: int
    unsure: int

    @property
    def by(self) -> dict[str, str]:
        """Who did what."""
        return {choice["name"]: choice["by"] for choice in self.port["offloads"]["choices"]}

    @property
    def did(self) -> dict[str, int]:
        did: dict[str, int] = self.port["offloads"]["did"]
        return did


def reflect(
    model: str,
    offloads: bl.Offloads,
    frames: Sequence[bytes | Large],
    expected: int,
    hello: bytes,
    pools: Pools | None = None,
    mtu: int = 1500,
) -> Reflected:
    """Send `frames` from the other card, or large ones from the kernel's, and wait for `expected` to come back.

    `hello` is sent until it comes back, before all others. `pools` are the settings of the run."""
    os.environ["BURSTLINE_CACHE"] = str(RESULTS / "cache")  # kept from one boot to the next
    device, other = pair(model)
    config = Config(ports=(Settings(device=f"dpdk:{device}", mtu=mtu),), pools=pools or Pools())
    config = config.with_overrides(duration=4 * PATIENCE)
    run = LiveRun(bl.Pipeline(turn, offloads=offloads), [device], f"dpdk:{device}", config)
    heard: list[list[bytes]] = [[]]
    failed: list[BaseException] = []

    def send_and_hear() -> None:
        try:
            with (
                Pool(8191, data_room=max(2048, mtu + 216), software=False) as pool,
                Port.open(other, pool, mtu=mtu) as port,
            ):
                port.start()
                up(port)
                _greet(run, port, hello)
                for frame in frames:
                    if isinstance(frame, Large):
                        _send_large(model, frame)
                _send(port, [frame for frame in frames if isinstance(frame, bytes)], heard)
                last = time.monotonic()
                while len(heard[0]) < expected and time.monotonic() < last + QUIET:
                    before = len(heard[0])
                    _hear(port, heard)
                    last = time.monotonic() if len(heard[0]) > before else last
                time.sleep(0.2)
                _hear(port, heard)
        except BaseException as error:
            failed.append(error)
        finally:
            run.stop()

    thread = threading.Thread(target=send_and_hear)
    thread.start()
    try:
        report = run.run()
    except BurstlineError:
        failed.append(BurstlineError("the run ended"))
        raise
    finally:
        thread.join()
    if failed:
        raise failed[0]
    name = f"offloads-{DRIVERS[model]}-{'-'.join(f'{k}={v}' for k, v in vars(offloads).items() if v is not None)}.json"
    (RESULTS / name).write_text(json.dumps(report.ports[0]["offloads"], indent=2))
    drops = {name: count.packets for name, count in report.drops.items()}
    counts = (merged.value, tagged.value, unsure.value)
    return Reflected(heard[0], report.ports[0], drops, report.balanced, *counts)


def _hear(port: Port, into: list[list[bytes]]) -> None:
    """What the run sent on: on a wire, all is heard that anybody sends."""
    found: list[list[bytes]] = [[]]
    receive(port, found)
    into[0] += [frame for frame in found[0] if frame[:6] == frame[6:12]]


def _greet(run: LiveRun, port: Port, hello: bytes) -> None:
    """Until frames come back, then until no more do."""
    answers: list[list[bytes]] = [[]]
    end = time.monotonic() + 4 * PATIENCE
    while not answers[0]:
        assert time.monotonic() < end, "nothing comes back"
        if run.is_running:
            _send(port, [hello], answers)
        time.sleep(0.2)
        _hear(port, answers)
    time.sleep(1)
    _hear(port, answers)


def _send(port: Port, frames: Sequence[bytes], heard: list[list[bytes]]) -> None:
    waiting = [port.pools[0].new(frame) for frame in frames]
    while waiting:
        waiting = waiting[port.transmit(0, waiting[:32]) :]
        _hear(port, heard)


def _send_large(model: str, large: Large) -> None:
    """By the card of the guest's kernel on the same wire."""
    wire = MACHINE.nics[MACHINE.cards(model)[0]].wire
    number = next(k for k, nic in enumerate(MACHINE.nics) if nic.wire == wire and not nic.dpdk)
    (place,) = Path(f"/sys/bus/pci/devices/{MACHINE.address(number)}").glob("virtio*/net/*")
    Path(f"/proc/sys/net/ipv6/conf/{place.name}/disable_ipv6").write_text("1")
    command(["ip", "link", "set", place.name, "up"], check=True)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        out.bind((place.name, 0))
        out.send(large.packed())
