"""A run with a plan, in a process of its own: says where its memory is as often as it is asked, and its report at last.

python placed_run.py SETTINGS DEVICE   "look" and "stop" are lines of standard input; answers are lines of JSON
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import burstline as bl
from burstline.engine.config import load
from burstline.engine.live import LiveRun
from burstline.engine.publisher import LIVE_ROUNDS, Publisher
from burstline.numa.memory_policy import PAGE
from burstline.state.region import Region
from burstline.view.question_server import QuestionServer

LARGE = 1 << 20  # bytes


class Flow(bl.Record):
    packets: bl.u64


flows = bl.FlowTable(Flow, capacity=200_000)
blocked = bl.PrefixSet([f"10.{k}.{j}.0/24" for k in range(64) for j in range(64)])


@bl.stage
def count(pkt: Any) -> Any:
    if pkt.ipv4 and pkt.ipv4.src in blocked:
        return bl.DROP
    flows[pkt].packets += 1
    return bl.send(0)


def main(settings: str, device: str) -> None:
    config = load(Path(settings))
    publisher = Publisher("placed_run.py", device, 0.1, LIVE_ROUNDS)
    run = LiveRun(bl.Pipeline(count), [device], None, config, publisher=publisher)
    publisher.questions = QuestionServer(run)
    failure: list[BaseException] = []

    def work() -> None:
        try:
            run.run()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not (run.is_running and run.placement.where.threads) and thread.is_alive():
        time.sleep(0.05)
    _touch(run)
    for line in sys.stdin:
        if line.strip() == "stop" or not thread.is_alive():
            break
        run.placement.look()
        print(json.dumps(_look(run)), flush=True)
    run.stop()
    thread.join()
    if failure:
        raise failure[0]
    print(json.dumps(run.report.as_json() | {"balanced": run.report.balanced}), flush=True)


def _touch(run: LiveRun) -> None:
    """Have pages of the tables, from this thread: their policy says where they come from, not who touches them first.
    The second half of large ones, which few flows do not reach."""
    for each in run.placement.belongings:
        for part in [part() for part, _ in each.parts] if each.kind == "table" else ():
            if isinstance(part, Region) and part.size >= LARGE:
                for offset in range(part.size // 2, part.size, PAGE):
                    part.write(offset, b"\0")


def _look(run: LiveRun) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "told": run.placement.as_json(),
        "tids": run.placement._tids,
        "memory": [
            {"name": b.name, "kind": b.kind, "worker": b.worker, "home": b.home, "ranges": b.ranges}
            for b in run.placement.belongings
        ],
        "pools": {
            node: [each for pool in pools.by_size.values() for each in pool.memory()]
            for node, pools in run.ports.pools.items()
        },
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
