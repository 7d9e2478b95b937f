"""A NIC in software that steers as others do: for tests, and for trying policies without the hardware."""
