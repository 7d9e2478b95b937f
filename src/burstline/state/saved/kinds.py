"""Which kinds of state can be saved, and which are as the application makes them."""

from __future__ import annotations

from typing import Any

from burstline.state.base import State
from burstline.state.byte_histogram import ByteHistogram
from burstline.state.count_min import CountMin
from burstline.state.counter import Counter
from burstline.state.digest import Digest
from burstline.state.flow_table import FlowTable
from burstline.state.heavy_hitters import HeavyHitters
from burstline.state.histogram import Histogram
from burstline.state.hyper_log_log import HyperLogLog
from burstline.state.map import Map
from burstline.state.meter import Meter
from burstline.state.pattern_set import PatternSet
from burstline.state.prefix_map import PrefixMap
from burstline.state.rule_set import RuleSet
from burstline.state.saved.flows import Flows
from burstline.state.saved.heavy import HeavySketches
from burstline.state.saved.kind import Kind
from burstline.state.saved.numbers import ByteHistograms, Counters, CountMins, Histograms, HyperLogLogs, Meters
from burstline.state.saved.tables import HashTables
from burstline.state.set import Set
from burstline.state.template import Template
from burstline.state.toeplitz import Toeplitz

SAVED: dict[type[State], Kind[Any]] = {
    Counter: Counters(),
    Histogram: Histograms(),
    ByteHistogram: ByteHistograms(),
    CountMin: CountMins(),
    HyperLogLog: HyperLogLogs(),
    Meter: Meters(),
    Set: HashTables(),
    Map: HashTables(),
    HeavyHitters: HeavySketches(),
    FlowTable: Flows(),
}
# What the application gave, and packets do not change; digests are on their way to a handler.
GIVEN: tuple[type[State], ...] = (PatternSet, PrefixMap, RuleSet, Template, Toeplitz, Digest)


def kind_of(state: State) -> Kind[Any] | None:
    """How to save a state object; None of what is not saved."""
    return next((kind for cls, kind in SAVED.items() if isinstance(state, cls)), None)
