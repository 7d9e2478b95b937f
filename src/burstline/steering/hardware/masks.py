"""What drivers with one mask for several rules compare: they refuse a rule that compares anything else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from burstline.steering.back_end import CannotSteer
from burstline.steering.hardware.driver import HardwareDriver
from burstline.steering.hardware.items import parts_of, rule_field
from burstline.steering.hardware.pattern import Pattern

Compared = tuple[tuple[str, int], ...]  # fields with their masks


class Masks:
    """How many rules of the device compare what."""

    def __init__(self, driver: HardwareDriver) -> None:
        self._driver = driver
        self._used: Counter[tuple[str, Compared]] = Counter()

    def check(self, patterns: Iterable[Pattern]) -> None:
        """Whether these may be together with those that are there. Raises CannotSteer."""
        if not self._driver.one_mask:
            return
        there = {shape: compared for (shape, compared), count in self._used.items() if count}
        for pattern in patterns:
            shape, compared = self._signature(pattern)
            held = there.setdefault(shape, compared)
            if held != compared:
                differ = next(name for name, _ in sorted(set(held) ^ set(compared)))
                names = ", ".join(name for name, _ in held) or "nothing"
                what = f"{self._driver.driver} compares the same fields and bits in all rules of {shape}: {names}"
                raise CannotSteer(rule_field("", differ), what, "ask for the same in all rules, or steer by software")

    def add(self, patterns: Iterable[Pattern]) -> None:
        if self._driver.one_mask:
            self._used.update(self._signature(pattern) for pattern in patterns)

    def remove(self, patterns: Iterable[Pattern]) -> None:
        if self._driver.one_mask:
            self._used.subtract(self._signature(pattern) for pattern in patterns)
            self._used = +self._used

    def _signature(self, pattern: Pattern) -> tuple[str, Compared]:
        shape = "the port" if self._driver.one_mask == "port" else " / ".join(i.kind for i in pattern.items).lower()
        found = {name: part.mask for one in pattern.items for name, part in parts_of(one).items()}
        return shape, tuple(sorted(found.items()))
