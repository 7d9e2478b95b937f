"""Records: what flow tables and digests hold, declared by their fields."""

from __future__ import annotations

from burstline.native.struct import Struct


class Record(Struct):
    """Subclass it and declare fields: `packets: u64`. All start as zero; integers wrap at their width.

    The layout is the engine's: fields are ordered so that none needs padding, `cold[...]` ones last. `layout` has it.
    """
