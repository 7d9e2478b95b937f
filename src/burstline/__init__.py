"""burstline: packet processing in Python at the speed of native code.

These are all the public names; everything else may change between versions.
"""

from __future__ import annotations

from burstline import simd as simd
from burstline.buffers.pool import PacketDataPool
from burstline.errors import BurstlineError, UsageError
from burstline.native.fieldtypes import (
    boolean,
    bytes_,
    cold,
    f32,
    f64,
    hot,
    i8,
    i16,
    i32,
    i64,
    ipv4,
    ipv6,
    line,
    u8,
    u16,
    u32,
    u64,
)
from burstline.packet.address import ip, mac, mac_text
from burstline.packet.entropy import byte_entropy
from burstline.packet.protocol import Bits as bits
from burstline.packet.protocol import Header, Protocol, protocol
from burstline.pipeline.branch import Branch
from burstline.pipeline.burst_stage import burst_stage, where
from burstline.pipeline.chain import Chain
from burstline.pipeline.match import Match, match
from burstline.pipeline.offloads import Offloads
from burstline.pipeline.pipeline import Pipeline
from burstline.pipeline.predicate import predicate
from burstline.pipeline.stage import Stage, stage
from burstline.pipeline.verdict import CONSUME, DROP, PASS, Verdict, drop, send
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
from burstline.state.prefix_map import PrefixMap, PrefixSet
from burstline.state.record import Record
from burstline.state.rule import Rule
from burstline.state.rule_set import RuleSet
from burstline.state.set import Set
from burstline.state.steering_table import SteeringTable
from burstline.state.template import Template
from burstline.state.toeplitz import Toeplitz
from burstline.steering.rule import FAST_PATH, SteeringRule

__all__ = [
    "CONSUME", "DROP", "FAST_PATH", "PASS", "Branch", "BurstlineError", "ByteHistogram", "Chain", "CountMin", "Counter",
    "Digest", "FlowTable", "Header", "HeavyHitters", "Histogram", "HyperLogLog", "Map", "Match", "Meter", "Offloads",
    "PacketDataPool",
    "PatternSet", "Pipeline", "PrefixMap", "PrefixSet", "Protocol", "Record", "Rule", "RuleSet", "Set", "Stage",
    "SteeringRule", "SteeringTable", "Template", "Toeplitz", "UsageError", "Verdict", "bits", "boolean", "burst_stage",
    "byte_entropy", "bytes_", "cold", "drop", "f32", "f64", "hot", "i8", "i16", "i32", "i64", "ip", "ipv4", "ipv6",
    "line", "mac", "mac_text", "match", "predicate", "protocol", "send", "stage", "u8", "u16", "u32", "u64", "where",
]  # fmt: skip
