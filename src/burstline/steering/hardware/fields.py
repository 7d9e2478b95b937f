"""A number, a range or a network as a driver can match it."""

from __future__ import annotations

from burstline.state.rule import Network
from burstline.steering.back_end import CannotSteer
from burstline.steering.expansion import prefixes
from burstline.steering.hardware.driver import HardwareDriver
from burstline.steering.hardware.items import Part, rule_field

SOFTWARE = "the software director takes it as it is"


def exactly(driver: HardwareDriver, kind: str, name: str, value: int, bits: int, mask: int | None = None) -> Part:
    """One value, of the bits in `mask`. Raises CannotSteer."""
    full = (1 << bits) - 1
    mask = full if mask is None else mask
    field, how = rule_field(kind, name), driver.items.get(kind, {}).get(name)
    if how is None:
        raise CannotSteer(field, f"{driver.driver} does not match {name} of {kind}", f"leave {field} out; {SOFTWARE}")
    if how == "full" and mask != full:
        raise CannotSteer(field, f"{driver.driver} matches all {bits} bits of {name} or none", SOFTWARE)
    least, most = driver.values.get(f"{kind}.{name}", (0, full))
    if mask == full and not least <= value <= most:
        what = f"{driver.driver} takes {least:,} to {most:,} for {name} of {kind}, not {value:,}"
        raise CannotSteer(field, what, SOFTWARE)
    return Part(value, 0 if how == "spec" else mask)


def numbers(driver: HardwareDriver, kind: str, name: str, ends: tuple[int, int], budget: int) -> list[Part]:
    """A range of ports: as one where the driver takes ranges, else as prefixes, else number by number."""
    low, high = ends
    how = driver.items.get(kind, {}).get(name)
    if low == high or how in (None, "spec"):
        return [exactly(driver, kind, name, low, 16)]
    if how == "range":
        return [Part(low, 0xFFFF, high)]
    if how == "mask" and not driver.one_mask:
        return [Part(value, mask) for value, mask in prefixes(low, high)]
    if high - low >= budget:
        what = f"{driver.driver} matches single ports, and {low} to {high} are more than {budget:,} of them"
        raise CannotSteer(rule_field(kind, name), what, f"make the range smaller; {SOFTWARE}")
    return [exactly(driver, kind, name, number, 16) for number in range(low, high + 1)]


def prefixed(driver: HardwareDriver, kind: str, name: str, network: Network, budget: int) -> list[Part]:
    """A network; one of all addresses compares nothing, and has a mask of 0."""
    if network.prefixlen == 0:
        return [Part(0, 0)]
    bits, first = network.max_prefixlen, int(network.network_address)
    how = driver.items.get(kind, {}).get(name)
    if how in (None, "mask") or network.prefixlen == bits:
        return [exactly(driver, kind, name, first, bits, int(network.netmask))]
    if 1 << bits - network.prefixlen > budget:
        what = f"{driver.driver} matches whole addresses, and {network} has more than {budget:,} of them"
        raise CannotSteer(name, what, f"name addresses; {SOFTWARE}")
    return [exactly(driver, kind, name, first + k, bits) for k in range(1 << bits - network.prefixlen)]
