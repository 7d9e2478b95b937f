"""The lab's machines as data, the commands that boot them, and what is said of a machine that does not answer."""

from __future__ import annotations

import shlex
import subprocess
import time
from pathlib import Path

import pytest
from tools.lab import needs, qemu, run
from tools.lab.machines import MACHINES, Machine, Nic, Node

from dpdk_live import needs_root

FILTERS = "/proc/sys/net/bridge/bridge-nf-call-iptables"
SMALL = Machine("small", (Nic("e1000e", "a"), Nic("virtio-net-pci", "a", 4, "mq=on"), Nic("e1000e", "b", dpdk=False)))


def test_cards_have_addresses_of_their_own_and_a_wire_for_each_name() -> None:
    assert (SMALL.wires, SMALL.cards("e1000e"), SMALL.cards("e1000e", dpdk=False)) == (["a", "b"], [0], [2])
    for machine in MACHINES.values():
        numbers = range(len(machine.nics))
        assert len({machine.address(k) for k in numbers}) == len({machine.mac(k) for k in numbers}) == len(numbers)
        on_root = [machine.address(k) for k in numbers if machine.nics[k].node is None]
        assert all(int(address[8:10], 16) < 0x1F for address in on_root), "where the chipset has its own devices"


def test_qemu_is_told_of_each_card_its_queues_and_its_place() -> None:
    assert qemu.devices(SMALL)[4:8] == [
        "-netdev", "tap,id=n1,ifname=card1,script=no,downscript=no,queues=4",
        "-device", "virtio-net-pci,netdev=n1,mac=52:54:00:1a:b0:01,addr=11,mq=on",
    ]  # fmt: skip


def test_cards_of_a_node_lie_on_its_bus() -> None:
    machine = Machine("numa", tuple(Nic("e1000e", "a", node=node) for node in (1, 2, 1)))
    assert [machine.address(k) for k in range(3)] == ["0000:51:00.0", "0000:61:00.0", "0000:52:00.0"]
    told = qemu.devices(machine)
    assert told[1::2][:2] == [
        "pxb-pcie,id=node1,bus=pcie.0,bus_nr=80,numa_node=1", "pxb-pcie,id=node2,bus=pcie.0,bus_nr=96,numa_node=2",
    ]  # fmt: skip
    assert told[-3:] == [
        "pcie-root-port,id=port2,bus=node1,chassis=2",
        "-device",
        "e1000e,netdev=n2,mac=52:54:00:1a:b0:02,bus=port2",
    ]


def test_nodes_share_out_processors_and_memory_and_have_their_distances() -> None:
    nodes = (Node(2, 1024, (10, 20)), Node(1, 512, (21, 10)))
    assert shlex.join(qemu.topology(Machine("numa", nodes=nodes))) == (
        "--cpus 3 --memory 1536M --numa 1024M,cpus=0-1 --numa-distance 0,1=20 "
        "--numa 512M,cpus=2-2 --numa-distance 1,0=21"
    )


def test_distances_are_the_same_both_ways_and_least_at_home() -> None:
    several = [machine for machine in MACHINES.values() if machine.nodes]
    assert [len(machine.nodes) for machine in several] == [4, 8]
    for machine in several:
        rows = [node.distances for node in machine.nodes]
        assert rows == [*map(tuple, zip(*rows, strict=True))]
        assert all(row[k] == 10 < min(row[:k] + row[k + 1 :]) for k, row in enumerate(rows))
        assert {nic.node for nic in machine.nics} <= {*range(len(rows))}


@needs_root
def test_wires_join_their_cards_in_a_namespace() -> None:
    script = f"{qemu.wires(SMALL)}\nip -o link show master a && ip -o link show master b\ncat {FILTERS} >&2 || true"
    done = subprocess.run(["unshare", "--net", "sh", "-c", script], capture_output=True, text=True, check=False)
    if "Operation not permitted" in done.stderr or "No such file" in done.stderr:
        pytest.skip(done.stderr)
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["card0:", "card1:", "card2:"], done.stderr
    assert done.stdout.count("mtu 9000") == 3
    assert "1" not in done.stderr.splitlines(), "netfilter would drop frames with wrong checksums"


def test_the_newest_kernel_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kernels = [tmp_path / f"vmlinuz-6.1.0-{k}-amd64" for k in (9, 56)]
    monkeypatch.setattr(needs, "_kernels", lambda: kernels)
    assert needs.kernel().name == "vmlinuz-6.1.0-56-amd64"
    monkeypatch.setattr(needs, "_kernels", list)
    with pytest.raises(needs.Missing, match="apt-get install linux-image-amd64"):
        needs.kernel()


def booted(folder: Path, does: str, minutes: float = 5) -> int:
    """The status of a run in which a script takes the part of virtme-ng."""
    vng = folder / "vng"
    vng.write_text(f"#!/bin/sh\n{does}\n")
    vng.chmod(0o755)
    machine = Machine("none", minutes=minutes)
    return run.boot(machine, vng, Path("vmlinuz"), folder, ["-k", "two words"])


@needs_root
def test_the_status_is_that_of_the_tests(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert booted(tmp_path, f"echo the guest speaks; printf %s 5 > {tmp_path}/status") == 5
    assert "the guest speaks" in capfd.readouterr().out


@needs_root
def test_a_machine_that_dies_is_told_from_tests_that_fail(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert booted(tmp_path, "echo Kernel panic >&2") == run.NO_ANSWER
    said = capfd.readouterr().err
    assert "Kernel panic\nlab: the machine ended before its tests did" in said
    assert f"{tmp_path}/console.log" in said


@needs_root
def test_a_machine_that_does_not_boot_has_a_second_chance(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "BOOT", 2)
    again = f"test -e {tmp_path}/first && printf 0 > {tmp_path}/status && exit; touch {tmp_path}/first; sleep 4322"
    assert booted(tmp_path, again) == 0
    assert "did not boot: nothing was heard of it for 2 s; once more" in capfd.readouterr().out
    assert booted(tmp_path, f"rm -f {tmp_path}/status; sleep 4322") == run.NO_ANSWER


@needs_root
def test_a_machine_whose_kernel_goes_on_talking_is_only_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "BOOT", 3)
    talks = "for k in 1 2 3 4 5; do echo still booting >&2; sleep 1; done"
    assert (
        booted(
            tmp_path, f"test -e {tmp_path}/first && exit; touch {tmp_path}/first; {talks}; printf 0 > {tmp_path}/status"
        )
        == 0
    )


@needs_root
def test_a_machine_that_hangs_is_stopped_with_all_its_processes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    assert booted(tmp_path, f"sleep 4321 & echo $! > {tmp_path}/child; wait", 1 / 60) == run.NO_ANSWER
    assert "its time was over" in capfd.readouterr().err
    assert time.monotonic() - began < 60
    assert not subprocess.run(["pgrep", "-fx", "sleep 4321"], capture_output=True, check=False).stdout


@needs_root
@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["-k", "jumbo"], ["-k", "jumbo", "tests/lab"]),
        (["-x", "test_some.py::test_one"], ["-x", "test_some.py::test_one"]),
    ],
)
def test_pytest_is_told_the_machines_tests_unless_some_are_named(
    given: list[str], told: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[object] = []
    (tmp_path / "test_some.py").touch()
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(needs, "vng", lambda: tmp_path / "vng")
    monkeypatch.setattr(needs, "kernel", lambda: tmp_path / "vmlinuz")
    monkeypatch.setattr(run, "boot", lambda *arguments: seen.append(arguments[-1]))
    run.main("nics", *given)
    assert seen == [told]


def test_a_machine_that_is_not_there_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main("nisc", "-x") == 2
    assert "there is no machine 'nisc'" in capsys.readouterr().err
