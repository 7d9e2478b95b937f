"""Offloads: what a pipeline wants done to packets around it, and the software that does it where a port does not."""
