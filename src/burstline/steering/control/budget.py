"""A token bucket of rule updates: the device's safe rate, and no more of it than the controller may take."""

from __future__ import annotations

from dataclasses import dataclass, replace

BURST = 0.25  # seconds of updates that may be saved up


@dataclass(frozen=True)
class Budget:
    """`tokens` updates may be made at `time`; None before the first look."""

    tokens: float = 0.0
    time: float | None = None

    def at(self, time: float, rate: float, least: int) -> Budget:
        """As of a later time, with `rate` new tokens a second. `least` is how many the bucket holds however small the
        rate is: an action that takes so many could otherwise never be made."""
        most = max(BURST * rate, float(least))
        if self.time is None:
            return Budget(most, time)
        return Budget(min(most, self.tokens + rate * max(0.0, time - self.time)), time)

    def without(self, updates: int) -> Budget:
        """After so many updates. Raises ValueError when there are not as many tokens."""
        if updates > self.tokens + 1e-9:
            raise ValueError(f"{updates} updates of {self.tokens:.2f}")
        return replace(self, tokens=self.tokens - updates)
