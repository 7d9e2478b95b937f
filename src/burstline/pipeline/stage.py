"""Stages: Python functions over a packet."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

from burstline.errors import UsageError


class Stage:
    """A function of one packet; called as Python it simply runs, compiled it is a link of a pipeline's chain."""

    def __init__(self, function: FunctionType) -> None:
        self.function = function
        self.name = function.__name__
        functools.update_wrapper(self, function)

    def __call__(self, packet: Any) -> Any:
        return self.function(packet)

    def __repr__(self) -> str:
        return f"<stage {self.name}>"


_NOT_PLAIN = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def stage(function: Callable[[Any], Any]) -> Stage:
    """Decorator: make a stage of `def name(pkt): ...`. It returns a verdict, or `None` to go on."""
    if not isinstance(function, FunctionType):
        raise UsageError(f"@stage needs a function, not {function!r}", "write @bl.stage above `def name(pkt):`")
    if function.__name__ == "<lambda>" or function.__code__.co_flags & _NOT_PLAIN:
        raise UsageError(
            f"stage {function.__name__} is no plain function", "write it as `def name(pkt):` without `yield` or `async`"
        )
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) != 1 or parameters[0].kind not in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    ):
        raise UsageError(
            f"stage {function.__name__} takes {len(parameters)} parameters; a stage takes one, the packet",
            f"write `def {function.__name__}(pkt):`",
        )
    return Stage(function)
