"""The kinds of state that stages can use; importing this room teaches Numba all of them."""

from burstline.compiler.kinds import (
    byte_histogram as byte_histogram,
)
from burstline.compiler.kinds import (
    counter as counter,
)
from burstline.compiler.kinds import (
    digest as digest,
)
from burstline.compiler.kinds import (
    flow_table as flow_table,
)
from burstline.compiler.kinds import (
    hash_table as hash_table,
)
from burstline.compiler.kinds import (
    histogram as histogram,
)
from burstline.compiler.kinds import (
    match as match,
)
from burstline.compiler.kinds import (
    meter as meter,
)
from burstline.compiler.kinds import (
    pattern_set as pattern_set,
)
from burstline.compiler.kinds import (
    prefix_map as prefix_map,
)
from burstline.compiler.kinds import (
    rule_set as rule_set,
)
from burstline.compiler.kinds import (
    sketch as sketch,
)
from burstline.compiler.kinds import (
    toeplitz as toeplitz,
)
