"""What is to be done with each capture: an application with its settings, ready for other processes and machines."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from burstline.archive.captures import Capture
from burstline.archive.gathering import Gathering
from burstline.engine.app import Application
from burstline.engine.config import Config
from burstline.engine.offline import CAPACITY
from burstline.engine.program import prepare
from burstline.native import cache
from burstline.pipeline.fingerprint import fingerprint
from burstline.pipeline.pipeline import Pipeline
from burstline.state.saved.kinds import GIVEN, kind_of


@dataclass(frozen=True)
class Task:
    """`digest` tells whether results are of this very pipeline. With `files`, the application and the modules of its
    folder are in them, by their paths there, and `objects` is what they are compiled to: key, code, description."""

    app: str
    config: Config
    digest: str
    files: Mapping[str, bytes] | None = None
    objects: Sequence[tuple[str, bytes, dict[str, Any]]] = ()


def task_of(app: Application, pipeline: Pipeline, config: Config, captures: Sequence[Capture], *, ships: bool) -> Task:
    """Compile the pipeline for these captures, into the cache; `ships`: for machines that do not see this one's
    files. Raises CompileError."""
    objects = []
    with Gathering(pipeline):  # compiled code depends on whether somebody takes the records that leave a table
        for source in sorted({"pcapng" if capture.is_pcapng else "pcap" for capture in captures}):
            program = prepare(
                pipeline, mode="file", capacity=CAPACITY, workers=1, dispatch=config.engine.dispatch, source=source,
                tunnel_ports=config.parser.tunnel_ports,
            )  # fmt: skip
            found = cache.load(program.key)
            if ships and found is not None:
                objects.append((program.key, *found))
        digest = _digest(app, pipeline, config)
    if not ships:
        return Task(_spec(app, app.file.resolve()), config, digest)
    root = app.file.resolve().parent
    files = {str(file.resolve().relative_to(root)): file.read_bytes() for file in app.files}
    return Task(_spec(app, Path(app.file.name)), config, digest, files, objects)


def _spec(app: Application, file: Path) -> str:
    return f"{file}:{app.name}" if app.name else str(file)


def _digest(app: Application, pipeline: Pipeline, config: Config) -> str:
    """Of all that results depend on, but what the application reads by itself and keeps to itself."""
    digest = hashlib.blake2b(digest_size=16)
    for file in app.files:
        digest.update(file.read_bytes() + b"\0")
    parts: list[Any] = [app.name, config.parser, *fingerprint(pipeline)]
    for state in pipeline.state:
        kind = kind_of(state)
        parts.append(kind.parameters(state) if kind else plain(vars(state)) if isinstance(state, GIVEN) else None)
        parts.append(getattr(state, "capacity", None))
    digest.update(cache.key_of(parts).encode())
    return digest.hexdigest()


def plain(value: Any) -> Any:
    """What a value is made of, without what differs from process to process."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if isinstance(value, (IPv4Network, IPv6Network)):
        return str(value)
    if isinstance(value, Mapping):
        return [(plain(key), plain(each)) for key, each in value.items()]
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return type(value).__name__, [plain(getattr(value, f.name)) for f in fields(value)]
    return type(value).__name__
