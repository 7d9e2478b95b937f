"""How a sink of flow records is written: a path or a URL, with options behind a question mark.

flows.parquet                                     one file, whole when the run is over
flows/%Y%m%d-%H%M%S.parquet?rotate=60s,1GB        a new one every minute, or every GB
arrow+tcp://host:port   ipfix+udp://host:4739   kafka://broker:9092/topic
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, TypeVar

from burstline.errors import UsageError

T = TypeVar("T")
SUFFIXES = {".parquet": "parquet", ".arrow": "arrow", ".arrows": "arrow", ".csv": "csv", ".json": "json",
            ".jsonl": "json", ".ndjson": "json"}  # fmt: skip
FILES = ("parquet", "arrow", "csv", "json")
STREAMS = {"arrow+tcp": None, "ipfix+udp": 4739, "ipfix+tcp": 4739, "kafka": 9092}  # the ports that IANA names
_TIMES = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_SIZES = {"B": 1, "kB": 1000, "KB": 1000, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


@dataclass(frozen=True)
class Target:
    """A sink as it was spelled. `path` is of files; `host`, `port` and `topic` are of streams."""

    spelled: str
    kind: str
    path: str = ""
    host: str = ""
    port: int = 0
    topic: str = ""
    brokers: str = ""
    options: dict[str, str] = field(default_factory=dict)

    def option(self, name: str, read: Callable[[str], T], default: T) -> T:
        """An option's value. Raises UsageError for one that cannot be read."""
        text = self.options.get(name)
        if text is None:
            return default
        try:
            return read(text)
        except ValueError as error:
            raise UsageError(f"{self.spelled}: {name}={text}: {error}", "see docs/flow-export.md") from None

    def only(self, *known: str) -> None:
        """Refuse options that the exporter does not have."""
        for name in self.options:
            if name not in known:
                has = f"it has {', '.join(known)}" if known else "it has none"
                raise UsageError(f"{self.spelled}: there is no option {name}", has)


def target(spelled: str) -> Target:
    """What a spelling means. Raises UsageError for none."""
    place, _, query = spelled.partition("?")
    options = dict(_pair(spelled, part) for part in query.split("&") if part)
    scheme, mark, rest = place.partition("://")
    if mark:
        if scheme not in STREAMS:
            known = ", ".join(f"{each}://" for each in STREAMS)
            raise UsageError(f"{spelled}: flows cannot go to {scheme}://", f"there are {known} and files")
        return _stream(spelled, scheme, rest, options)
    kind, colon, path = place.partition(":")
    if not (colon and kind in FILES):
        path = place
        kind = SUFFIXES.get(PurePath(path).suffix, "json" if path == "-" else "")
    if not kind:
        known = ", ".join(SUFFIXES)
        raise UsageError(f"{spelled}: what kind of file is that?", f"end its name in {known}, or write parquet:{path}")
    if not path:
        raise UsageError(f"{spelled} names no file", f"{kind}:flows.{kind}")
    return Target(spelled, kind, path=path, options=options)


def _stream(spelled: str, scheme: str, rest: str, options: dict[str, str]) -> Target:
    where, _, topic = rest.partition("/")
    if scheme == "kafka":
        if not topic or not where:
            raise UsageError(f"{spelled} names no {'topic' if where else 'broker'}", "kafka://broker:9092/topic")
        brokers = ",".join(b if ":" in b else f"{b}:{STREAMS['kafka']}" for b in where.split(","))
        return Target(spelled, scheme, topic=topic, brokers=brokers, options=options)
    host, colon, digits = where.rpartition(":")
    if not colon or where.endswith("]"):
        host, digits = where, str(STREAMS[scheme] or "")
    if not host or not digits.isdecimal() or not 0 < int(digits) < 65536 or topic:
        raise UsageError(f"{spelled} is no host with a port", f"{scheme}://127.0.0.1:4739")
    return Target(spelled, scheme, host=host.strip("[]"), port=int(digits), options=options)


def _pair(spelled: str, part: str) -> tuple[str, str]:
    name, mark, value = part.partition("=")
    if not mark or not name or not value:
        raise UsageError(f"{spelled}: {part!r} is no option", "options are NAME=VALUE, with & between them")
    return name, value


def seconds(text: str) -> float:
    """60s, 5m, 1.5h: seconds. Raises ValueError."""
    return _measure(text, _TIMES, "a time, such as 60s")


def octets(text: str) -> int:
    """1GB, 64MiB: bytes. Raises ValueError."""
    return int(_measure(text, _SIZES, "a size, such as 1GB"))


def count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("that is no number")
    return int(text)


def one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"it is {' or '.join(words)}")
        return text

    return read


def _measure(text: str, units: dict[str, Any], what: str) -> float:
    found = _NUMBER.fullmatch(text)
    if found is None or found[2] not in units or float(found[1]) <= 0:
        raise ValueError(f"{text!r} is not {what}")
    return float(float(found[1]) * units[found[2]])


@dataclass(frozen=True)
class Rotation:
    """When a file is full: after so many seconds of the clock, or bytes; 0 for never."""

    seconds: float = 0.0
    octets: int = 0

    def __bool__(self) -> bool:
        return bool(self.seconds or self.octets)


def rotation(text: str) -> Rotation:
    """`60s`, `1GB` or both with a comma. Raises ValueError."""
    time, size = 0.0, 0
    for part in text.split(","):
        unit = (_NUMBER.fullmatch(part) or ("", "", ""))[2]
        if unit in _SIZES:
            size = octets(part)
        else:
            time = seconds(part)
    return Rotation(time, size)
