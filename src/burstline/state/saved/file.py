"""What a file of saved state holds: checked when it is read (a zip file: CRC-32 of each part)."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from burstline.errors import BurstlineError
from burstline.state.saved.kind import Copy

FORMAT = 1
HEAD = "head"


@dataclass(frozen=True)
class Saved:
    """Of one state object: the name of its class, the parameters of its kind, and each worker's copy."""

    kind: str
    parameters: Sequence[Any]
    copies: Sequence[Copy] = field(default_factory=list)


@dataclass(frozen=True)
class Contents:
    """Of a file: state by name, and whatever else JSON can say."""

    states: Mapping[str, Saved]
    head: Mapping[str, Any]


def encoded(contents: Contents) -> bytes:
    """The file's bytes."""
    import numpy as np

    arrays: dict[str, Any] = {}
    states = []
    for number, (name, saved) in enumerate(contents.states.items()):
        states.append([name, saved.kind, list(saved.parameters), len(saved.copies)])
        for worker, copy in enumerate(saved.copies):
            arrays |= {f"{number}/{worker}/{column}": array for column, array in copy.items()}
    head = json.dumps({"format": FORMAT, "states": states, "head": dict(contents.head)})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:  # as `np.savez` does, which has no `allow_pickle` before NumPy 2.1
        for path, array in {HEAD: np.frombuffer(head.encode(), "u1"), **arrays}.items():
            with archive.open(f"{path}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
    return out.getvalue()


def decoded(data: bytes, name: str) -> Contents:
    """Raises BurstlineError of what is no such file, or damaged."""
    import numpy as np

    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            head = json.loads(archive[HEAD].tobytes())
            if head["format"] != FORMAT:
                raise BurstlineError(f"{name} was written by another version of burstline", f"remove it: rm {name}")
            arrays: dict[tuple[str, str], dict[str, Any]] = {}
            for path in archive.files:
                if path != HEAD:
                    number, worker, column = path.split("/")
                    arrays.setdefault((number, worker), {})[column] = archive[path]
        states = {
            state: Saved(kind, parameters, [arrays.get((str(k), str(w)), {}) for w in range(copies)])
            for k, (state, kind, parameters, copies) in enumerate(head["states"])
        }
        return Contents(states, head["head"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, zipfile.BadZipFile, EOFError) as error:
        raise BurstlineError(f"{name} is damaged: {error}", f"remove it to begin anew: rm {name}") from error
