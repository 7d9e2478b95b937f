"""How many workers there are: one leaves when the others have had little to do for some time, and comes back when they
have much. The gap between the two is what keeps it from coming and going."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from burstline.numa.balance import reasons
from burstline.numa.balance.actions import Action, Park, Wake
from burstline.numa.balance.memory import Parking
from burstline.numa.balance.propose import drained
from burstline.numa.balance.view import View

CHANGED = 0.25  # of the load: it is another one
SMALL = 0.05  # cores


def park_or_wake(view: View, parking: Parking) -> tuple[Parking, list[Action]]:
    """Before groups are balanced. Workers that are woken, and not those that leave, are open for groups afterwards."""
    time, settings = view.seen.time, view.settings
    total = float(view.loads.sum())
    if abs(total - parking.total) > max(SMALL, CHANGED * parking.total):
        parking = replace(parking, flips=0, total=total, since=time)
    active = view.open.copy()
    if parking.leaving is not None:
        active[parking.leaving] = False
    count = int(active.sum())
    if count and total / count > settings.high and not active.all():
        return _woken(view, replace(parking, leaving=None, idle_since=None), total, count)
    if not settings.park:
        return replace(parking, leaving=None), []
    if parking.leaving is not None:
        return _leaving(view, parking, parking.leaving, total, count)
    # What was not little enough all the time, and seems to be now, is so by chance.
    low = settings.low * min(1.0, settings.horizon / max(time - parking.since, 1e-9))
    if count < 2 or total / (count - 1) > low:
        return replace(parking, idle_since=None), []
    since = time if parking.idle_since is None else parking.idle_since
    parking = replace(parking, idle_since=since)
    if time - since < settings.calm * 2.0 ** min(parking.flips, 60) or view.seen.moving.any():
        return parking, []
    least = np.where(active, view.loads, np.inf)
    return _leaving(
        view, replace(parking, leaving=int(least.argmin()), total=total), int(least.argmin()), total, count - 1
    )


def _woken(view: View, parking: Parking, total: float, count: int) -> tuple[Parking, list[Action]]:
    """As many as bring the mean load to the middle between low and high; the nearest to the fullest first."""
    wanted = math.ceil(total / ((view.settings.low + view.settings.high) / 2)) - count
    fullest = int(np.argmax(view.loads))
    # One that was leaving had not stopped.
    parked = [w for w, worker in enumerate(view.seen.workers) if worker.parked]
    parked.sort(key=lambda w: (view.tier(fullest, w), w))
    actions: list[Action] = []
    for worker in parked[: max(1, wanted)]:
        actions.append(Wake(worker, reasons.wake(view, worker, total, count)))
        view.open[worker] = True
    return replace(parking, total=total, flips=parking.flips + bool(actions), since=view.seen.time), actions


def _leaving(view: View, parking: Parking, worker: int, total: float, others: int) -> tuple[Parking, list[Action]]:
    view.open[worker] = False
    if (view.seen.at == worker).any() or view.seen.moving.any():
        return parking, list(drained(view, worker))
    idle = view.seen.time - (view.seen.time if parking.idle_since is None else parking.idle_since)
    reason = reasons.park(view, worker, total, others, idle)
    return replace(parking, leaving=None, idle_since=None, since=view.seen.time), [Park(worker, reason)]
