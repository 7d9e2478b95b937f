"""GSO: large packets cut into segments in software."""
