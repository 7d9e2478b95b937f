"""What was learned on this host of the costs of a pipeline's packets, for what is placed before they come."""

from __future__ import annotations

from pathlib import Path

from burstline.engine.config import Config
from burstline.numa.cost_model import CostModel
from burstline.numa.learned.store import hop_weight, path_of
from burstline.pipeline.pipeline import Pipeline


def file_of(pipeline: Pipeline) -> Path:
    """Where it is kept."""
    return path_of([stage.name for chain in pipeline.chains for stage in chain.stages])


def learned_costs(config: Config, pipeline: Pipeline) -> CostModel:
    """With what was learned of distances, where `[numa_balance] tune` has it taken over."""
    return CostModel(hop_weight=hop_weight(file_of(pipeline)) if config.numa_balance.tune else 1.0)
