"""What was learned, kept for the next run of the same pipeline on the same host: a file of JSON, written whole."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from burstline.native.cache import directory
from burstline.native.write_whole import write_whole
from burstline.numa.learned.advice import WEIGHT
from burstline.numa.learned.features import TERMS, Prior
from burstline.numa.learned.model import CostOfPackets
from burstline.numa.learned.regression import MOST, Regression

KIND, VERSION = "burstline cost model", 1


def path_of(pipeline: Sequence[str], where: Path | None = None) -> Path:
    """Where it is kept: by the host, its CPU, and what the pipeline is made of."""
    parts = [platform.node(), platform.machine(), *pipeline]
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()
    return (where or directory() / "models") / f"{digest}.json"


def save(model: CostOfPackets, path: Path, hop_weight: float = 1.0) -> None:
    """Raises OSError. Whoever reads it meanwhile has the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({
        "kind": KIND, "version": VERSION, "terms": TERMS, "weights": model.regression.weights.tolist(),
        "covariance": model.regression.covariance.tolist(), "error": model.regression.error,
        "count": model.regression.count, "errors": model.errors, "measured": model.count, "on": model.is_on,
        "hop_weight": hop_weight,
    })  # fmt: skip
    write_whole(path, text.encode())


def load(path: Path, prior: Prior) -> CostOfPackets:
    """What was kept, with this prior; a new model where there is none, or what is there is none."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return _model(kept, prior)
    except (OSError, ValueError, KeyError, TypeError):
        return CostOfPackets(prior)


def hop_weight(path: Path) -> float:
    """What the model advised of distances; 1 where none is kept, or where it is not to be trusted."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        _model(kept, Prior())
        found = float(kept["hop_weight"]) if kept["on"] else 1.0
        return min(max(found, WEIGHT[0]), WEIGHT[1]) if math.isfinite(found) else 1.0
    except (OSError, ValueError, KeyError, TypeError):
        return 1.0


def _model(kept: Any, prior: Prior) -> CostOfPackets:
    if (kept["kind"], kept["version"], tuple(kept["terms"])) != (KIND, VERSION, TERMS):
        raise ValueError("another model")
    weights, covariance = np.array(kept["weights"], float), np.array(kept["covariance"], float)
    count = len(TERMS)
    if weights.shape != (count,) or covariance.shape != (count, count):
        raise ValueError("another shape")
    prior_error, learned_error = map(float, kept["errors"])
    error = float(kept["error"])
    numbers = [*weights, *covariance.flat, prior_error, learned_error, error, kept["count"], kept["measured"]]
    if not np.isfinite(numbers).all():
        raise ValueError("not numbers")
    if float(np.linalg.eigvalsh(covariance)[0]) < -1e-6 or float(np.trace(covariance)) > MOST * (1 + 1e-9):
        raise ValueError("no covariance")
    regression = Regression(weights, covariance, error, int(kept["count"]))
    return CostOfPackets(prior, regression, (prior_error, learned_error), int(kept["measured"]), bool(kept["on"]))
