"""Options that every exporter has, which `outlet.py` reads."""

OF_ALL = ("queue", "patience")
