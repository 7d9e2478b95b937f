"""Probes of what this process may do: its capabilities, and AF_XDP sockets."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path

from burstline.engine.probes.finding import Finding, labelled, no, read, unknown, yes

# include/uapi/linux/capability.h
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_IPC_LOCK": 14}
AF_XDP = 44  # include/linux/socket.h; Python has no name for it


def capabilities(root: Path) -> Finding:
    missing = [name for name in CAPABILITIES if not holds(root, name)]
    who = "root" if os.geteuid() == 0 else "not root"
    if missing:
        return no(f"{who}, without {', '.join(missing)}: live ports need them", as_root(), missing=missing)
    held = f"{who}, with {', '.join(CAPABILITIES)}"
    if in_user_namespace(root):
        return unknown(f"{held}, but in a user namespace, outside of which they do not count")
    return yes(held)


def af_xdp(root: Path) -> Finding:
    try:
        open_af_xdp()
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            return no("not permitted: it needs CAP_NET_RAW (or a container forbids it)", as_root())
        if error.errno in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT):
            if sys.platform != "linux":
                return no("only Linux has AF_XDP")
            return no(
                "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS)", "burstline run APP dpdk:net_af_packet,iface=IFACE"
            )
        raise
    return yes("sockets open")


def open_af_xdp() -> None:
    socket.socket(AF_XDP, socket.SOCK_RAW).close()


def as_root() -> str:
    """The command that runs this very installation as root; sudo may know another `burstline`, or none."""
    return f"sudo {sys.executable} -m burstline run APP SOURCE"


def holds(root: Path, capability: str) -> bool:
    """Whether a capability is effective in this process."""
    effective = int(labelled(root / "proc/self/status")["CapEff"], 16)
    return bool(effective >> CAPABILITIES[capability] & 1)


def in_user_namespace(root: Path) -> bool:
    """user_namespaces(7): only the first namespace maps every user to itself."""
    try:
        return read(root / "proc/self/uid_map").split() != ["0", "0", "4294967295"]
    except FileNotFoundError:
        return False
