"""NUMA nodes of the machine as it describes them, cards that belong to one, and buffers that lie where they are to."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_cards import MACHINE, cross, dpdk_process, frame, pair, up

from burstline.dpdk.pool import Pool
from burstline.dpdk.port import Port, free

NODES = Path("/sys/devices/system/node")
MOVE_PAGES = 279  # its number for x86-64: arch/x86/entry/syscalls/syscall_64.tbl

Run = Callable[..., Any]
needs_cards = pytest.mark.skipif(not MACHINE.cards("e1000e"), reason="the machine has no cards")


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Calls a function where EAL runs."""
    with dpdk_process() as call:
        yield call


def test_the_kernel_sees_the_nodes_and_their_distances() -> None:
    found = [tuple(map(int, (NODES / f"node{k}/distance").read_text().split())) for k in range(len(MACHINE.nodes))]
    assert found == [node.distances for node in MACHINE.nodes]
    cpus = [len(list((NODES / f"node{k}").glob("cpu[0-9]*"))) for k in range(len(MACHINE.nodes))]
    assert cpus == [node.cpus for node in MACHINE.nodes]


def node_of_address(address: int) -> int:
    """The node that the page at an address lies on (move_pages(2), which moves nothing when it is told no nodes)."""
    status = ctypes.c_int(-errno.ENOENT)
    page = ctypes.c_void_p(address & -4096)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(MOVE_PAGES, 0, ctypes.c_ulong(1), ctypes.byref(page), None, ctypes.byref(status), 0):
        raise OSError(ctypes.get_errno(), "move_pages")
    return status.value


def _pools() -> list[int]:
    found = []
    for node in range(len(MACHINE.nodes)):
        with Pool(511, software=False, numa_node=node) as pool:
            mbufs = [pool.new(bytes(64)) for _ in range(500)]
            (only,) = {node_of_address(mbuf) for mbuf in mbufs}
            found.append(only)
            free(mbufs)
    return found


def test_the_buffers_of_a_pool_lie_on_its_node(run: Run) -> None:
    assert run(_pools) == list(range(len(MACHINE.nodes)))


def _cards() -> list[int]:
    found = []
    for address in pair("e1000e"):
        with Port.attach(address) as port:
            found.append(port.numa_node)
    return found


@needs_cards
def test_a_card_belongs_to_the_node_of_its_bus(run: Run) -> None:
    assert run(_cards) == [nic.node for nic in MACHINE.nics if nic.dpdk]


def _crossing() -> None:
    (one, other), frames = pair("e1000e"), [frame(k, 500) for k in range(100)]
    near, far = (Pool(4095, software=False, numa_node=nic.node or 0) for nic in MACHINE.nics if nic.dpdk)
    with near, far:
        with Port.open(one, near) as a, Port.open(other, far) as b:
            a.start()
            b.start()
            up(a, b)
            assert cross(a, b, frames) == [frames]
            assert cross(b, a, frames) == [frames]
        assert near.in_use == far.in_use == 0


@needs_cards
def test_frames_cross_from_node_to_node(run: Run) -> None:
    run(_crossing)
