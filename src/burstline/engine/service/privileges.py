"""Another user than root, once the ports are open; of root's capabilities only those that their drivers still need.

capabilities(7): they are a thread's. Threads that were there before, EAL's too, are left with none; workers are started
afterwards, by the thread that calls `drop`, and have what it kept.
"""

from __future__ import annotations

import ctypes
import errno
import grp
import os
import pwd
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from burstline.errors import BurstlineError, UsageError

# include/uapi/linux/capability.h
NET_ADMIN, NET_RAW, IPC_LOCK, BPF = 12, 13, 14, 39
NAMES = {NET_ADMIN: "CAP_NET_ADMIN", NET_RAW: "CAP_NET_RAW", IPC_LOCK: "CAP_IPC_LOCK", BPF: "CAP_BPF"}
SETUID, LAST = 7, 63
VERSION_3 = 0x20080522  # of the structure that capset(2) takes
PR_SET_KEEPCAPS, PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 8, 23, 24, 38  # include/uapi/linux/prctl.h
# Drivers of DPDK whose devices are interfaces of the kernel: they are closed, and their flags set, through it.
OF_KERNEL = ("net_af_xdp", "net_af_packet", "net_tap", "net_virtio_user", "xdp")
OF_XDP = ("net_af_xdp", "xdp")
VIRTUAL = ("net_null", "net_ring", "net_pcap", "net_memif", "ring-loop", "nic-model")


@dataclass(frozen=True)
class User:
    """Who the run is to be."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def user_of(name: str) -> User:
    """A user of this system, by name or number. Raises UsageError."""
    try:
        found = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError:
        raise UsageError(
            f"there is no user {name!r}", f"useradd --system --no-create-home {name}   (as root)"
        ) from None
    if found.pw_uid == 0:
        raise UsageError("root is no user to give privileges up for", "name another one")
    groups = tuple(os.getgrouplist(found.pw_name, found.pw_gid))
    return User(found.pw_name, found.pw_uid, found.pw_gid, groups)


def may_read(user: User, path: str) -> bool:
    """By the permissions of a file and of the directories that it lies in."""

    def allows(place: Path, bit: int) -> bool:
        found = place.stat()
        shift = 6 if found.st_uid == user.uid else 3 if found.st_gid in (user.gid, *user.groups) else 0
        return bool(found.st_mode >> shift & bit)

    file = Path(path).resolve()
    return allows(file, 4) and all(allows(folder, 1) for folder in file.parents)


def needed(devices: Iterable[str]) -> tuple[int, ...]:
    """The capabilities with which devices, as written after `dpdk:`, go on and are closed."""
    kept = set[int]()
    for device in devices:
        driver = device.partition(",")[0].rstrip("0123456789")
        if driver in OF_KERNEL:
            kept |= {NET_ADMIN, NET_RAW} | ({BPF, IPC_LOCK} if driver in OF_XDP else set())
        elif driver not in VIRTUAL:
            kept.add(IPC_LOCK)  # VFIO pins the memory of pools that grow
    return tuple(sorted(kept))


def had(capabilities: Iterable[int]) -> tuple[int, ...]:
    """Those that this process has: in a container it may be root without."""
    permitted = _capabilities("CapPrm:")
    return tuple(number for number in capabilities if permitted >> number & 1)


def begin() -> None:
    """Get ready for `drop`, best in a process of one thread: none that it begins will have new privileges by a program
    that it executes (PR_SET_NO_NEW_PRIVS is a thread's, and inherited). Raises BurstlineError for a process that cannot
    become another user."""
    if not _capabilities("CapEff:") >> SETUID & 1:
        raise BurstlineError("another user cannot be had: this process may not change its own", "start it as root")
    _prctl(ctypes.CDLL(None, use_errno=True), PR_SET_NO_NEW_PRIVS, 1)


def _capabilities(which: str) -> int:
    with open("/proc/self/status") as status:
        return next((int(line.split()[1], 16) for line in status if line.startswith(which)), 0)


def drop(user: User, keep: Sequence[int]) -> None:
    """Become the user, for good; after `begin`. Raises BurstlineError where the system does not let this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        for number in range(LAST + 1):
            if number not in keep and libc.prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1:
                libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)  # where it may not, no_new_privs does as well
        _prctl(libc, PR_SET_KEEPCAPS, 1)
        os.setgroups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
        held = sum(1 << number for number in keep)
        words = [held & 0xFFFFFFFF] * 2 + [0] + [held >> 32] * 2 + [0]  # effective, permitted, inheritable; low, high
        if libc.capset(struct.pack("Ii", VERSION_3, 0), struct.pack("6I", *words)):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        _prctl(libc, PR_SET_KEEPCAPS, 0)
    except OSError as error:
        what = f"cannot become user {user.name}: {os.strerror(error.errno or errno.EPERM)}"
        raise BurstlineError(
            what, "start it as root; in a container with CAP_SETUID, CAP_SETGID and CAP_SETPCAP"
        ) from None
    try:
        os.setuid(0)
    except OSError:
        return
    raise BurstlineError(
        "privileges were given up, and could be had again", "please report this with the system's name"
    )


def _prctl(libc: ctypes.CDLL, option: int, value: int) -> None:
    if libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def described(user: User, keep: Sequence[int]) -> str:
    """A line for people."""
    group = next((g.gr_name for g in grp.getgrall() if g.gr_gid == user.gid), str(user.gid))
    kept = " ".join(NAMES[number] for number in keep) or "no capability"
    return f"running as {user.name}:{group}, with {kept}"
