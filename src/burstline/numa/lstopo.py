"""This machine as hwloc sees it, through its own program lstopo."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from burstline.errors import BurstlineError
from burstline.numa.hwloc_xml import read_hwloc_xml
from burstline.numa.topology import Topology

PROGRAMS = ("lstopo-no-graphics", "lstopo")  # the first of them draws no window


def ask_lstopo() -> Topology:
    """Raises BurstlineError where there is no lstopo, and where it fails."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        raise BurstlineError("hwloc: needs lstopo, which is not here", "apt-get install hwloc-nox")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "machine.xml"
        done = subprocess.run([program, str(file)], capture_output=True, text=True, check=False)
        if done.returncode or not file.is_file():
            raise BurstlineError(
                f"{program} failed: {done.stderr.strip()[-300:]}", "leave `hwloc:` out: /sys tells most"
            )
        return read_hwloc_xml(file)
