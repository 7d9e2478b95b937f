"""A topology by what a user writes: a name, a synthetic description, a file, a recorded tree."""

from __future__ import annotations

import difflib
from pathlib import Path

from burstline.errors import UsageError
from burstline.numa.hwloc_xml import read_hwloc_xml
from burstline.numa.lstopo import ask_lstopo
from burstline.numa.machine_file import read_machine
from burstline.numa.synthetic import is_synthetic, read_synthetic
from burstline.numa.sysfs import read_sysfs
from burstline.numa.topology import Topology

MACHINES = Path(__file__).parent / "machines"


def names() -> list[str]:
    """The machines that come with burstline."""
    return sorted(path.stem for path in MACHINES.glob("*.toml"))


def find_topology(spec: str | None = None, overlay: Path | None = None) -> Topology:
    """The topology that `spec` names: a machine of `names()`, `pack:2 core:4 pu:2`, a .toml or hwloc's .xml, or a
    directory with sys/devices/system below it; None is this machine, `hwloc:` the same by lstopo. `overlay` is a TOML
    file that tells more of it. Raises UsageError, BurstlineError, OSError."""
    found = _found(spec)
    return read_machine(overlay, found) if overlay is not None else found


def _found(spec: str | None) -> Topology:
    if spec is None:
        return read_sysfs()
    if spec == "hwloc:":
        return ask_lstopo()
    if spec in names():
        return read_machine(MACHINES / f"{spec}.toml")
    path = Path(spec)
    if path.is_dir():
        return read_sysfs(path, path.name)
    if path.suffix == ".toml" and path.is_file():
        return read_machine(path)
    if path.suffix == ".xml" and path.is_file():
        return read_hwloc_xml(path)
    if is_synthetic(spec):
        return read_synthetic(spec)
    close = difflib.get_close_matches(spec, names(), 1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise UsageError(
        f"{spec} is no machine, and no .toml, .xml or directory that is there",
        f"{hint}machines are {', '.join(names())}; or write 'pack:2 numa:2 core:8 pu:2'",
    )
