"""The command that boots a machine: virtme-ng's, with QEMU's options for what virtme-ng has no word for.

https://github.com/arighi/virtme-ng; https://www.qemu.org/docs/master/system/invocation.html
"""

from __future__ import annotations

import shlex
from pathlib import Path

from tools.lab.machines import Machine, bus_of

# What udev would load at boot for devices that no test has: half of the time to boot in software emulation. And the
# kernel's drivers of the cards that DPDK is to have.
BLOCKED = "kvm,kvm_amd,kvm_intel,ahci,libata,sr_mod,psmouse,i2c_i801,iTCO_wdt,powernow_k8,pcspkr,e1000e,vmxnet3"


def wires(machine: Machine) -> str:
    """Shell commands that make the wires, in the network namespace of the machine: a bridge that learns nothing, so
    that each frame goes to all others, and a TAP interface for each card."""
    # Where the host's kernel has netfilter for bridges, frames with a wrong checksum of IP would not cross, and padding
    # would be cut off (br_validate_ipv4 in net/bridge/br_netfilter_hooks.c).
    lines = ["set -e", "for each in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e $each ] || echo 0 > $each; done"]
    for wire in machine.wires:
        lines += [
            f"ip link add name {wire} type bridge ageing_time 0 mcast_snooping 0",
            f"echo 1 > /proc/sys/net/ipv6/conf/{wire}/disable_ipv6",
        ]
    for number, nic in enumerate(machine.nics):
        queues = " multi_queue" if nic.queues > 1 else ""
        lines += [
            f"ip tuntap add dev card{number} mode tap vnet_hdr{queues}",
            f"echo 1 > /proc/sys/net/ipv6/conf/card{number}/disable_ipv6",
            f"ip link set dev card{number} mtu {machine.mtu} master {nic.wire} up",
        ]
    lines += [f"ip link set dev {wire} mtu {machine.mtu} up" for wire in machine.wires]
    return "\n".join(lines)


def devices(machine: Machine) -> list[str]:
    """QEMU's options for the cards, and for the buses of NUMA nodes that have some."""
    options = []
    for node in sorted({nic.node for nic in machine.nics if nic.node is not None}):
        options += ["-device", f"pxb-pcie,id=node{node},bus=pcie.0,bus_nr={bus_of(node)},numa_node={node}"]
    for number, nic in enumerate(machine.nics):
        queues = f",queues={nic.queues}" if nic.queues > 1 else ""
        options += ["-netdev", f"tap,id=n{number},ifname=card{number},script=no,downscript=no{queues}"]
        if nic.node is None:
            place = f"addr={machine.address(number)[8:10]}"
        else:
            options += ["-device", f"pcie-root-port,id=port{number},bus=node{nic.node},chassis={number}"]
            place = f"bus=port{number}"
        card = f"{nic.model},netdev=n{number},mac={machine.mac(number)},{place}"
        options += ["-device", f"{card},{nic.options}" if nic.options else card]
    return options


def topology(machine: Machine) -> list[str]:
    """virtme-ng's options for processors and memory."""
    if not machine.nodes:
        return ["--cpus", str(machine.cpus), "--memory", f"{machine.mebibytes}M"]
    total, first = sum(node.mebibytes for node in machine.nodes), 0
    options = ["--cpus", str(sum(node.cpus for node in machine.nodes)), "--memory", f"{total}M"]
    for number, node in enumerate(machine.nodes):
        options += ["--numa", f"{node.mebibytes}M,cpus={first}-{first + node.cpus - 1}"]
        first += node.cpus
        for other, distance in enumerate(node.distances):
            if other != number:
                options += ["--numa-distance", f"{number},{other}={distance}"]
    return options


def command(machine: Machine, vng: Path, kernel: Path, results: Path, guest: list[str]) -> list[str]:
    """What boots the machine and runs `guest` in it: with the host's files, of which it can change `results` only."""
    return [
        str(vng), "--verbose", "--run", str(kernel), "--force-9p", "--user", "root",
        "--disable-kvm",  # the same everywhere, whatever the processor
        "--append", f"module_blacklist={BLOCKED} cryptomgr.notests",
        *topology(machine),
        f"--rwdir={results}",
        f"--qemu-opts={shlex.join(devices(machine))}",
        "--exec", shlex.join(guest),
    ]  # fmt: skip
