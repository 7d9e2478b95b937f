"""Size classes that a live run has beside those that are set: for packets of up to 64 KB that stages emit, or look into
after a port has merged them."""

from __future__ import annotations

from dataclasses import replace

from burstline.buffers.classes import LARGEST, rounded
from burstline.engine.config import Config
from burstline.engine.worker import most_made
from burstline.errors import UsageError
from burstline.pipeline.needs import needs_of
from burstline.pipeline.pipeline import Pipeline
from burstline.state.template import Template

LEAST = 255  # buffers of a class


def large_class(config: Config, pipeline: Pipeline, *, merged: bool, all_gathered: bool) -> int:
    """The class that is to be added, or 0. `merged`: ports may bring large packets; `all_gathered`: each lies in one
    buffer, whatever stages look at. Raises UsageError for a template that fits into none."""
    needed = largest_template(pipeline)
    if needed > LARGEST:
        raise UsageError(
            f"a template of {needed:,} bytes: a buffer of a live port holds {LARGEST:,}", "take some of its payload off"
        )
    if merged and (all_gathered or needs_of(pipeline).payloads):
        needed = LARGEST
    return rounded(needed) if needed > config.pools.size_classes.largest else 0


def largest_template(pipeline: Pipeline) -> int:
    """Bytes of it; 0 where there is none."""
    return max((len(s.frame) for s in pipeline.state if isinstance(s, Template)), default=0)


def with_class(config: Config, size: int) -> Config:
    """The settings with one more size class, the largest; 0: with none."""
    if not size:
        return config
    return replace(config, pools=replace(config.pools, classes=(*config.pools.size_classes.sizes, size)))


def large_buffers(config: Config) -> int:
    """How many buffers of the added class there are: for all that each worker can make of a burst."""
    return max(LEAST, config.engine.workers * most_made(config.engine.most_burst))
