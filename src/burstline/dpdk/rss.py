"""RSS of a port: the key, what is hashed, and the RETA, which says where each bucket of the hash goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from burstline.dpdk.binding import native
from burstline.dpdk.log import captured
from burstline.dpdk.port import SYMMETRIC, Port
from burstline.errors import BurstlineError, UsageError

Made = TypeVar("Made")


@dataclass(frozen=True)
class Rss:
    """`functions` are named as DPDK names them, without RTE_ETH_RSS_ ("NONFRAG_IPV4_TCP")."""

    key: bytes
    functions: frozenset[str]


def rss(port: Port) -> Rss:
    """What a port hashes. Raises BurstlineError where the driver does not tell."""
    key, functions = _called(port, "tells no RSS key", native.rss_hash, port.id, port.info().key_size)
    return Rss(key, _names(functions))


def set_rss(
    port: Port, *, key: bytes | Literal["symmetric"] | None = None, functions: Iterable[str] | None = None
) -> frozenset[str]:
    """Change the key (None: it stays) and what is hashed: those of `functions` that the device can, None for IP, TCP,
    UDP and SCTP; returns them. `symmetric` is a key with which both directions of a flow hash to the same. Raises
    UsageError for a key that is not of the device's length, or functions of which it has none, and BurstlineError."""
    info = port.info()
    can = _names(info.rss)
    wanted = _names(native.RSS) if functions is None else frozenset(functions)
    if unknown := wanted - native.RSS_FUNCTIONS.keys():
        raise UsageError(f"there is no hash function {min(unknown)}", f"there are {', '.join(native.RSS_FUNCTIONS)}")
    made = wanted & can
    if wanted and not made:
        hint = f"it has {', '.join(sorted(can))}" if can else "it spreads no flows: use one queue"
        raise UsageError(f"{port.name} hashes none of {', '.join(sorted(wanted))}", hint)
    given = SYMMETRIC * (info.key_size // 2) if key == "symmetric" else key or b""
    if given and info.key_size and len(given) != info.key_size:
        what = f"{port.name} has an RSS key of {info.key_size} bytes, not {len(given)}"
        raise UsageError(what, f"give {info.key_size} bytes")
    bits = sum(native.RSS_FUNCTIONS[name] for name in made)
    _called(port, "did not take what to hash", native.rss_hash_update, port.id, bytes(given), bits)
    return made


def reta(port: Port) -> list[int]:
    """The queue of each bucket. Raises BurstlineError where there is none."""
    return _called(port, "has no RETA that can be read", native.reta, port.id, port.info().reta_size)


def update_reta(port: Port, entries: Mapping[int, int]) -> None:
    """New queues of some buckets; the others stay. Raises UsageError for buckets and queues that there are not, and
    BurstlineError."""
    size = port.info().reta_size
    for bucket, queue in entries.items():
        if not 0 <= bucket < size or not 0 <= queue < port.queues:
            hint = f"there are buckets 0 to {size - 1}, and queues 0 to {port.queues - 1}" if size else "it has no RETA"
            raise UsageError(f"bucket {bucket} of {port.name} cannot go to queue {queue}", hint)
    _called(port, "did not change its RETA", native.reta_update, port.id, size, dict(entries))


def _names(bits: int) -> frozenset[str]:
    return frozenset(name for name, bit in native.RSS_FUNCTIONS.items() if bits & bit)


def _called(port: Port, what: str, call: Callable[..., Made], *arguments: object) -> Made:
    try:
        with captured():
            return call(*arguments)
    except OSError as error:
        hint = "leave RSS to the driver, and spread flows by the software director"
        raise BurstlineError(f"{port.name} {what}: {error.strerror}", hint) from None
