"""Interrupts of network cards, in a tree like that of the kernel: found, kept off cores, and put back."""

from __future__ import annotations

from pathlib import Path

import pytest

from burstline.engine.placement.irqs import IrqKeeper, Kept, network_irqs


def irq(root: Path, number: int, name: str, cpus: str, effective: str = "") -> Path:
    here = root / f"proc/irq/{number}"
    (here / name).mkdir(parents=True)
    (here / "smp_affinity_list").write_text(f"{cpus}\n")
    (here / "effective_affinity_list").write_text(f"{effective or cpus}\n")
    return here / "smp_affinity_list"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A card with MSI-X, one on a line, a virtio one, and a disk."""
    pci = tmp_path / "sys/bus/pci/devices"
    for address, kind in (("0000:3b:00.0", "0x020000"), ("0000:3c:00.0", "0x020000"), ("0000:3d:00.0", "0x010802")):
        (pci / address).mkdir(parents=True)
        (pci / address / "class").write_text(f"{kind}\n")
        (pci / address / "irq").write_text("17\n" if address.startswith("0000:3c") else "0\n")
    for number in (40, 41):
        (pci / "0000:3b:00.0/msi_irqs" / str(number)).mkdir(parents=True)
    (pci / "0000:3d:00.0/msi_irqs/50").mkdir(parents=True)
    virtio = tmp_path / "sys/devices/virtio3"
    virtio.mkdir(parents=True)
    (tmp_path / "sys/class/net/eth1").mkdir(parents=True)
    (tmp_path / "sys/class/net/eth1/device").symlink_to(virtio)
    irq(tmp_path, 40, "ens1-rx-0", "0-7", "2")
    irq(tmp_path, 41, "ens1-rx-1", "3")
    irq(tmp_path, 17, "uio_pci_generic", "0-7")
    irq(tmp_path, 60, "virtio3-input.0", "0-7")
    irq(tmp_path, 50, "nvme0q1", "2")
    (tmp_path / "proc/irq/42").mkdir()  # nobody handles it
    return tmp_path


def test_those_of_network_cards_are_found_with_the_cpus_they_come_to(root: Path) -> None:
    found = {each.number: (each.name, each.cpus) for each in network_irqs(root)}
    assert found == {
        17: ("uio_pci_generic", tuple(range(8))), 40: ("ens1-rx-0", (2,)), 41: ("ens1-rx-1", (3,)),
        60: ("virtio3-input.0", tuple(range(8))),
    }  # fmt: skip


def test_what_was_just_written_counts_before_it_is_in_effect(root: Path) -> None:
    (root / "proc/irq/40/smp_affinity_list").write_text("4-5")
    assert next(each.cpus for each in network_irqs(root) if each.number == 40) == (4, 5)


def affinities(root: Path) -> dict[int, str]:
    return {n: (root / f"proc/irq/{n}/smp_affinity_list").read_text().strip() for n in (17, 40, 41, 50, 60)}


def test_they_keep_off_the_cpus_and_are_put_back(root: Path) -> None:
    before, keeper = affinities(root), IrqKeeper(root)
    assert keeper.keep_off([2, 3], range(8)) == Kept(moved=(17, 40, 41, 60))
    assert affinities(root) == {17: "0-1,4-7", 40: "0-1,4-7", 41: "0-1,4-7", 50: "2", 60: "0-1,4-7"}
    keeper.keep_off([2, 4], range(8))  # a worker has moved: what it left may be used again
    assert keeper.keep_off([2, 4], range(8)) == Kept(moved=(17, 40, 41, 60)), "also what need not move again"
    assert affinities(root)[40] == "0-1,3,5-7"
    assert affinities(root)[41] == "3"
    keeper.restore()
    assert affinities(root) == before


def test_where_workers_have_all_cpus_nothing_changes(root: Path) -> None:
    before = affinities(root)
    assert IrqKeeper(root).keep_off(range(8), range(8)) == Kept()
    assert affinities(root) == before


def test_one_that_the_kernel_does_not_move_is_told(root: Path) -> None:
    file = root / "proc/irq/41/smp_affinity_list"
    file.unlink()
    file.mkdir()  # cannot be written, not even by root
    assert IrqKeeper(root).keep_off([2, 3], range(8)).refused in ((41,), ())
    (root / "proc/irq/41/effective_affinity_list").write_text("3")
    assert IrqKeeper(root).keep_off([2, 3], range(8)).refused == (41,)
