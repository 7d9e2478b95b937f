"""How many packets a worker asks a port for at once, by load: what one burst costs is shared by its packets, but those
of a large one wait for each other.

While ports bring full bursts, packets are waiting, and larger bursts clear them with less work for each; where a burst
is mostly empty, a port that suddenly has many shall not hold up the others for long.
"""

from __future__ import annotations

from burstline.engine.worker import PortWorker

LEAST, MOST = 32, 256  # between which "auto" chooses
LOOKS = 64  # bursts between two decisions


def adapt(worker: PortWorker, n: int) -> None:
    """A port brought `n` packets, of at most `worker.batch`."""
    worker.bursts += 1
    worker.filled += n
    if worker.bursts < LOOKS:
        return
    if worker.filled * 4 >= worker.batch * LOOKS * 3:
        worker.batch = min(worker.batch * 2, worker.most)
    elif worker.filled * 4 < worker.batch * LOOKS and worker.batch > LEAST:
        worker.batch = max(worker.batch // 2, LEAST)
    worker.bursts = worker.filled = 0
