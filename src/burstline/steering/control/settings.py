"""`[steering_control]`: how the controller of the flow director decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from burstline.schema import Conflict, boolean, integer, key, number, one_of, seconds, text

ACTS = ("off", "dry-run", "on")


@dataclass(frozen=True)
class Settings:
    """`[steering_control]`: when the flow director's controller places flows and buckets, and how much it risks."""

    act: Literal["off", "dry-run", "on"] = key("off", one_of(*ACTS))  # beside live ports
    log: str | None = key(None, text("the name of a file"))  # that decisions are written to
    look: float = key(0.01, seconds())  # from one snapshot to the next
    enter: float = key(1.04, number(1, 64))  # act when the fullest core has so many times the mean
    leave: float = key(1.01, number(1, 64))  # and come so near to it
    heavy: float = key(0.04, number(0, 1))  # of a core's mean load: what makes a flow worth a rule of its own
    age: float = key(0.015, seconds(zero=True))  # that a flow must have reached
    agree: int = key(2, integer(1, 64))  # looks by which a change must pay before it is made, at least
    window: int = key(16, integer(1, 1024))  # and at most: until then it does, or is dropped
    dwell: int = key(8, integer(0, 10000))  # looks for which what was moved stays
    unused: float = key(0.1, seconds())  # without a hit: a rule goes
    horizon: float = key(1.0, seconds())  # no gain is counted on for longer
    gain: float = key(0.01, number(0, 1))  # of the mean load: less is no gain
    held: float = key(0.0002, seconds(zero=True))  # for which packets of what moves wait
    cold: float = key(0.000002, seconds(zero=True))  # of a core, for the caches that are cold after a move
    safe: float = key(0.5, number(0.01, 1))  # of the device's safe updates a second: what the controller takes
    in_flight: int = key(32, integer(1, 4096))  # moves that are not yet effective, at most
    stake: float = key(0.1, number(0, 1e6))  # core-looks that steering may have lost against plain RSS
    calm: float = key(1.0, seconds())  # after a roll-back, doubled each time
    dedicate: float = key(0.5, number(0, 1))  # of a core: from this load on a flow gets one of its own
    fast: float = key(0.0, number(0, 1e12))  # packets/s from which a flow is marked for the fast path; 0: none
    bypass: bool = key(False, boolean())  # the device may take marked flows on its own
    new_connections: bool = key(False, boolean())  # buckets without packets go where there is less to do

    def conflict(self) -> Conflict | None:
        if self.leave > self.enter:
            return Conflict("leave", f"is {self.leave:g}, above enter = {self.enter:g}", "give leave the smaller one")
        if self.agree > self.window:
            return Conflict("agree", f"is {self.agree}, more looks than window = {self.window}", "raise window")
        return None
