"""Names of types: what tells two of a kind apart has to be the same text in every process, as `hash` is not."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Hashable


@functools.lru_cache(maxsize=1024)
def spelling(value: Hashable) -> str:
    """A few characters for a value that is all in its `repr`."""
    return hashlib.blake2b(repr(value).encode(), digest_size=8).hexdigest()
