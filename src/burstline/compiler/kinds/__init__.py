"""The kinds of state that stages can use; importing this room teaches Numba all of them."""

from burstline.compiler.kinds import (  # noqa: F401
    byte_histogram,
    counter,
    digest,
    flow_table,
    hash_table,
    heavy_hitters,
    histogram,
    match,
    meter,
    pattern_set,
    prefix_map,
    rule_set,
    sketch,
    steering_table,
    template,
    toeplitz,
)
