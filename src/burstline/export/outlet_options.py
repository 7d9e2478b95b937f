"""Options that every exporter has, which `outlet.py` reads."""

OF_ALL = ("queue", "patience")
PATIENCE = 10.0  # seconds without anybody at the other end, after which a run over a file, or at its end, goes on
