"""The program on an interface, by a BPF link: the kernel takes it off when the link is closed, or this process ends."""

from __future__ import annotations

import errno
import os
import struct
from typing import Literal

from burstline.errors import BurstlineError
from burstline.steering.xdp import bpf
from burstline.steering.xdp.interface import Interface

Mode = Literal["native", "generic"]
FLAGS: dict[Mode, int] = {"native": 1 << 2, "generic": 1 << 1}  # XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE
TAKEN = (errno.EBUSY, errno.EEXIST)


class Link:
    """`mode` is where the program runs: native, in the driver, or generic, in the kernel's stack before all else; by
    itself native where the driver can. Raises BurstlineError, and then nothing is attached."""

    def __init__(self, interface: Interface, program: int, mode: Mode | None = None) -> None:
        self.interface = interface.name
        problem: OSError | None = None
        for tried in (mode,) if mode else FLAGS:
            try:
                attributes = struct.pack("<IIII", program, interface.index, bpf.ATTACH_XDP, FLAGS[tried])
                self.fd, self.mode = bpf.call(bpf.LINK_CREATE, attributes), tried
                return
            except OSError as error:
                problem = error
                if error.errno in (*TAKEN, errno.EPERM):
                    break
        assert problem is not None
        raise self._refused(problem, mode)

    def _refused(self, error: OSError, mode: Mode | None) -> BurstlineError:
        if error.errno in TAKEN:
            return BurstlineError(
                f"{self.interface} has an XDP program of somebody else's",
                f"see `ip link show {self.interface}`; `ip link set {self.interface} xdp off` takes one off that no "
                "process holds",
            )
        if error.errno == errno.EPERM:
            return bpf.not_allowed(f"attach an XDP program to {self.interface}")
        if error.errno == errno.EOPNOTSUPP and mode == "native":
            hint = 'leave the mode out, or write mode="generic"'
            return BurstlineError(f"the driver of {self.interface} runs no XDP programs itself", hint)
        hint = "Linux 5.9 or newer is needed; an MTU that does not fit a page is refused, too"
        return BurstlineError(f"no XDP program could be attached to {self.interface}: {error.strerror}", hint)

    def update(self, program: int) -> None:
        """Another program in its place: each packet has the one or the other. Raises BurstlineError."""
        try:
            bpf.call(bpf.LINK_UPDATE, struct.pack("<IIII", self.fd, program, 0, 0))
        except OSError as error:
            raise BurstlineError(
                f"the XDP program of {self.interface} could not be replaced: {error.strerror}",
                "the one before stays; was the interface taken away?",
            ) from None

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1
