"""What DPDK and its drivers have to say, kept off the terminal: shown only when something failed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from burstline.dpdk.binding import native

# Said on every start, whatever happens next.
CHATTER = re.compile(
    r"^(EAL: (Detected|Selected IOVA|Multi-process|VFIO support|Probe PCI|No (free|available)"
    r" \d+ kB hugepages|\d+ hugepages of size|TSC is|TSC frequency|FATAL: Invalid 'command line'|Error - exiting"
    r"|Failed to attach device on primary|Driver cannot attach the device)|TELEMETRY:|\s*$)"
)


class Captured:
    """What was said while `captured()` was open: DPDK's log and stderr. `text` is complete once it has closed."""

    text = ""

    def lines(self, most: int = 6) -> list[str]:
        """The last lines that say something."""
        said = [line.strip() for line in self.text.splitlines() if not CHATTER.match(line)]
        return list(dict.fromkeys(said))[-most:]

    def indented(self) -> str:
        """The same, to be appended to a message; empty when nothing was said."""
        return "".join(f"\n    {line}" for line in self.lines())


@contextmanager
def captured() -> Iterator[Captured]:
    """Send file descriptors 1 and 2 aside: libbpf, libxdp and EAL's option parser write there, not to DPDK's log."""
    result = Captured()
    native.log_start()
    mark = native.log_mark()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    native.flush_c_streams()
    aside = [os.memfd_create("stdout"), os.memfd_create("stderr")]
    kept = []
    for fd, target in zip((1, 2), aside, strict=True):
        try:
            kept.append(os.dup(fd))
        except OSError:  # closed by whoever started us
            kept.append(-1)
        os.dup2(target, fd)
    try:
        yield result
    finally:
        native.flush_c_streams()
        for fd, before in zip((1, 2), kept, strict=True):
            if before < 0:
                os.close(fd)
            else:
                os.dup2(before, fd)
                os.close(before)
        said = os.pread(aside[1], 1 << 16, 0).decode(errors="replace")
        for fd in aside:
            os.close(fd)
        result.text = native.log_since(mark) + said


def recent() -> str:
    """The end of DPDK's log, up to 64 KiB: for `--debug`."""
    return native.log_since(0)
