"""What is said of drivers: each has a source, and names what there is."""

from __future__ import annotations

import pytest

from burstline.steering.hardware.driver import from_table, recorded
from burstline.steering.hardware.items import LAYOUTS

UNTOLD = ("driver", "sources", "quirks", "rules", "isolates")


UNTOLD = ("driver", "sources", "quirks", "rules", "isolates")


def test_all_that_a_driver_is_said_to_do_has_a_source() -> None:
    for name, driver in recorded().items():
        if name == "model":
            continue
        plain = from_table({"driver": name})
        for key, value in vars(driver).items():
            told = key in driver.sources or key in UNTOLD
            assert value == getattr(plain, key) or told, f"{name}: {key}"
        for where in [*driver.sources.values(), *(quirk.source for quirk in driver.quirks)]:
            assert any(word in where for word in ("drivers/net/", "doc/guides/", "assumed", "burstline")), (name, where)
        assert driver.sources


def test_the_data_names_what_there_is() -> None:
    for driver in recorded().values():
        for kind, fields in driver.items.items():
            assert fields.keys() <= LAYOUTS[kind].fields.keys()
            assert {*fields.values()} <= {"mask", "full", "range", "spec"}
        named = [*driver.values, *(each for group in driver.together for each in group)]
        assert all(driver.can(*each.split(".")) for each in named)
        assert driver.actions <= {"QUEUE", "RSS", "DROP", "PASSTHRU"}
        assert driver.beside <= {"MARK", "COUNT"}
        assert not driver.rules or driver.updates > 0


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(KeyError, match="net_x: colour"):
        from_table({"driver": "net_x", "colour": "blue"})
