"""The proof on the linked code: nothing of Python, of Numba's runtime or of the heap is left in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from burstline.compiler.errors import Source
from burstline.errors import BurstlineError
from burstline.native.build import C_LIBRARY, FORBIDDEN
from burstline.pipeline.stage import Stage

HINT = "leave out text, arrays and printing; hand data to Python in a Digest"


def refuse_forbidden(symbols: Collection[str], stages: Mapping[Stage, Collection[str]]) -> None:
    """Raise for a symbol that the data path may not use; `stages` has the IR that was made for each stage."""
    for symbol in sorted(set(symbols) - C_LIBRARY):
        if not FORBIDDEN.match(symbol):
            continue
        what = "allocates memory" if "NRT_" in symbol else "calls into Python"
        problem = f"something in it {what} ({symbol}), which nothing on the data path may"
        for stage, texts in stages.items():
            if any(symbol in text for text in texts):
                raise Source(stage.function).error(stage.name, None, problem, HINT)
        raise BurstlineError(f"the compiled pipeline is refused: {problem}", HINT)
