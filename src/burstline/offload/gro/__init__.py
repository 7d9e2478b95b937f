"""GRO: segments of a flow merged in software."""
