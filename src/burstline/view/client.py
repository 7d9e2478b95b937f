"""Asking a running engine (question_server.py) from another process."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from burstline.errors import BurstlineError
from burstline.view.socket_address import address_of

PATIENCE = 120.0  # seconds for an answer: code may have to be compiled first


class NotAnswered(BurstlineError):
    """The run does not answer: it has ended, or is another user's."""


def ask(path: Path, question: str, **more: Any) -> Any:
    """The answer of the run that listens there. Raises BurstlineError for what it refuses, NotAnswered where there is
    nobody."""
    try:
        with (
            address_of(path) as address,
            socket.socket(socket.AF_UNIX) as connection,
            connection.makefile("rb") as lines,
        ):
            connection.settimeout(PATIENCE)
            connection.connect(address)
            connection.sendall(json.dumps({"ask": question, **more}).encode() + b"\n")
            line = lines.readline()
    except OSError as error:
        hint = "it may have ended; its user and root can ask it"
        raise NotAnswered(f"the run does not answer at {path.name}: {error.strerror or error}", hint) from None
    if not line:
        raise NotAnswered(f"the run does not answer at {path.name}", "it may have ended")
    found = json.loads(line)
    if "error" in found:
        raise BurstlineError(found["error"], found["hint"])
    return found["answer"]
