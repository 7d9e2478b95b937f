"""DPDK: the only room that touches it. Its Cython half `_dpdk` exists only where libdpdk was there at build time.

This file can be imported anywhere; the others raise `BurstlineError` on import where the Cython half is missing.
"""

from __future__ import annotations

from importlib.util import find_spec

from burstline.errors import BurstlineError

REBUILD = "pip install --force-reinstall --no-deps --no-cache-dir burstline (in a checkout: make build)"


def available() -> bool:
    """Whether DPDK ports can be used: burstline was built with libdpdk, and its libraries load."""
    try:
        require()
    except BurstlineError:
        return False
    return True


def require() -> None:
    """Raise BurstlineError, with what to install, where DPDK ports cannot be used."""
    try:
        import burstline.dpdk._dpdk  # noqa: F401
    except ImportError as error:
        if find_spec("burstline.dpdk._dpdk") is None:
            raise BurstlineError(
                "burstline was built without DPDK",
                f"apt install libdpdk-dev dpdk gcc pkg-config python3-dev, then build burstline again: {REBUILD}",
            ) from None
        raise BurstlineError(
            f"burstline's DPDK half does not load: {error}",
            f"the DPDK installed now is not the one that burstline was built with; build it again: {REBUILD}",
        ) from None
