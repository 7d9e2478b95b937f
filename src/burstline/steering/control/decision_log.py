"""What the controller decided beside live ports, in words and numbers that JSON can carry."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from burstline.errors import UsageError
from burstline.packet.flow_key import tuple_of
from burstline.steering.control.actions import Action
from burstline.steering.control.snapshot import Failure

KIND = "burstline steering"  # what the first line of a log says
KEPT = 256  # decisions in a report: the last ones
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}


def flow_text(key: bytes) -> str:
    """`tcp 10.0.0.1:80 > 192.0.2.1:1024`, of a flow key."""
    proto, src, dst, sport, dport = tuple_of(key)
    if src is None or dst is None:
        return "not IP"
    protocol = PROTOCOLS.get(proto, f"protocol {proto}")
    left, right = (f"[{a}]" if a.version == 6 and sport | dport else str(a) for a in (src, dst))
    return f"{protocol} {left}:{sport} > {right}:{dport}" if sport | dport else f"{protocol} {left} > {right}"


def spelled(time: float, action: Action) -> dict[str, Any]:
    """A decision, `time` in seconds."""
    about: dict[str, Any] = {"time": time, "action": type(action).__name__, **asdict(action)}
    if "key" in about:
        about["flow"] = flow_text(about.pop("key"))
    if "keys" in about:
        about["flows"] = [flow_text(key) for key in about.pop("keys")]
    about.pop("rule_key", None)
    return about


def spelled_failure(time: float, failure: Failure) -> dict[str, Any]:
    """What was refused."""
    where = {"flow": flow_text(failure.target)} if isinstance(failure.target, bytes) else {"bucket": failure.target}
    return {"time": time, "action": "Failure", **where, "level": failure.level, "reason": failure.message}


def in_words(one: dict[str, Any]) -> str:
    """What `spelled` gives, in a few words; or those that it brings."""
    if "words" in one:
        return str(one["words"])
    action = one["action"]
    if action == "Place":
        return f"place {one['flow']} on core {one['core']}, {one['level']}"
    if action == "MoveBucket":
        return f"move bucket {one['bucket']} to core {one['core']}"
    if action == "Release":
        return f"release {one['flow']}"
    if action == "Dedicate":
        return f"dedicate core {one['core']} to {', '.join(one['flows'])}"
    if action == "Undedicate":
        return f"core {one['core']} is no longer dedicated"
    if action == "Path":
        return f"{one['path']} path for {one['flow']}"
    if action == "NewFlows":
        return f"new connections to core {one['core']}"
    if action == "Failure":
        return f"refused: {one['flow'] if 'flow' in one else 'bucket ' + str(one['bucket'])}, {one['level']}"
    return "roll back to plain RSS" + ("" if one["at_once"] else ", step by step")


def lines_of(one: dict[str, Any]) -> tuple[str, str]:
    """For a terminal: when and what, and why."""
    return f"  {one['time']:9.3f} s  {in_words(one)}", f"  {'':12}{one['reason']}"


def summary(steering: Mapping[str, Any]) -> list[str]:
    """Of a report, for a terminal."""
    if "decisions" not in steering:
        return []
    last = f"; the last: {in_words(steering['decisions'][-1])}" if steering["decisions"] else ""
    count = steering["decided"]
    who = steering.get("by", "steering controller")
    return [f"{who} ({steering['act']}): {count:,} decision{'s' * (count != 1)}{last}"]


class DecisionLog:
    """Keeps the last decisions, and writes all to a file where one is named: `about` first, one JSON object a line.
    Raises UsageError where the file cannot be written."""

    def __init__(self, path: str | None, about: dict[str, Any]) -> None:
        self.kept: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.count = 0
        self._file: TextIO | None = None
        if path is not None:
            try:
                self._file = Path(path).open("w", encoding="utf-8")  # noqa: SIM115  closed with the log
            except OSError as error:
                hint = "name a file in [steering_control] log that can be written"
                raise UsageError(f"{path}: {error.strerror}", hint) from None
            self._write([{"log": KIND, **about}])

    def __enter__(self) -> DecisionLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file:
            self._file.close()

    def add(self, decisions: list[dict[str, Any]]) -> None:
        """Raises OSError for a disk that is full."""
        self.kept += decisions
        self.count += len(decisions)
        self._write(decisions)

    def _write(self, lines: Iterable[dict[str, Any]]) -> None:
        if self._file:
            self._file.writelines(json.dumps(one) + "\n" for one in lines)
            self._file.flush()
