"""State that outlives a run: counters and tables in a file, at its end and now and then, and from it at the start."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burstline.engine.carry import named_state
from burstline.errors import BurstlineError
from burstline.native.write_whole import write_whole
from burstline.pipeline.pipeline import Pipeline
from burstline.state.base import State
from burstline.state.counter import Counter
from burstline.state.flow_table import FlowTable
from burstline.state.saved.file import Contents, Saved, decoded, encoded
from burstline.state.saved.kind import Kind
from burstline.state.saved.kinds import kind_of

if TYPE_CHECKING:
    from burstline.engine.versions import Versions

FILE = "state.burstline"


class Keeper:
    """Keeps the state of a pipeline's objects by their names in `directory`: written every `interval` seconds and at
    the end, whole or not at all. `say` is told in a line what became of it."""

    def __init__(self, directory: Path, interval: float, say: Callable[[str], None]) -> None:
        self.place, self.interval, self.say = directory / FILE, interval, say
        self.written = 0  # times
        self._over = threading.Event()
        self._complained = False

    @contextmanager
    def keeping(self, versions: Versions) -> Iterator[None]:
        """While the workers work."""
        self._check()
        thread = threading.Thread(target=self._keep, args=(versions,), name="keep state", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            self._save_last(versions)

    def _check(self) -> None:
        """Before packets flow, not when there are results to lose."""
        try:
            self.place.parent.mkdir(parents=True, exist_ok=True)
            probe = self.place.with_name(".probe")
            probe.write_bytes(b"")
            probe.unlink()
            for left in self.place.parent.glob(
                f".{self.place.name}.*.new"
            ):  # of a process that was killed while it wrote
                left.unlink(missing_ok=True)
        except OSError as error:
            what = f"state cannot be kept in {self.place.parent}: {error.strerror}"
            raise BurstlineError(what, "give the directory to the user that the run is of: chown") from None

    def _keep(self, versions: Versions) -> None:
        while not self._over.wait(self.interval):
            try:
                self.save(versions)
                self._complained = False
            except OSError as error:  # a disk may be full for a while: the run is worth more
                if not self._complained:
                    self._complained = True
                    self.say(f"state was not written to {self.place}: {error.strerror}; the file is as it was")

    def _save_last(self, versions: Versions) -> None:
        """Raises BurstlineError: who asked for it is told, with the report of the run."""
        try:
            self.save(versions)
        except OSError as error:
            what = f"state was not written to {self.place}: {error.strerror}; the file is as it was"
            raise BurstlineError(what, f"make room in {self.place.parent}") from None
        for state in versions.pipeline.state:
            if isinstance(state, FlowTable):
                state.passed_on = True  # to the next run: its records are not at their end

    def save(self, versions: Versions) -> None:
        """Raises OSError."""
        states = {}
        with versions.held() as pipeline:  # not while it is written: others wait for that lock
            for name, state, kind in _kept(pipeline):
                states[name] = Saved(type(state).__name__, kind.parameters(state), kind.save(state))
        write_whole(self.place, encoded(Contents(states, {"time": time.time()})))
        self.written += 1

    def load(self, versions: Versions) -> None:
        """Give the copies of workers, which are linked and have not begun, what the file has. Raises BurstlineError of
        one that is damaged."""
        pipeline, workers = versions.pipeline, len(versions.contexts)
        try:
            data = self.place.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            what = f"{self.place} cannot be read: {error.strerror}"
            raise BurstlineError(what, "give it to the user that the run is of: chown") from None
        contents = decoded(data, str(self.place))
        kept, anew, states = list[str](), list[str](), dict(contents.states)
        for name, state, kind in _kept(pipeline):
            saved = states.pop(name, None)
            if saved is None:
                continue
            shown = name.rpartition(":")[2]
            if saved.kind == type(state).__name__ and list(saved.parameters) == _plain(kind.parameters(state)):
                _put(state, kind, saved.copies, workers)
                kept.append(shown if len(saved.copies) in (1, workers) else f"{shown} (of {len(saved.copies)} workers)")
            else:
                anew.append(shown)
        if versions.publisher:
            counters = [state for state in pipeline.state if isinstance(state, Counter)]
            versions.publisher.go_on_with({counter.identity: counter.value for counter in counters})
        self.say(_line(contents.head, kept, anew, [name.rpartition(":")[2] for name in states]))


def _kept(pipeline: Pipeline) -> Iterator[tuple[str, State, Kind[Any]]]:
    for name, state in named_state(pipeline).items():
        kind = kind_of(state)
        if kind is not None:
            yield name, state, kind


def _put(state: State, kind: Kind[Any], copies: Sequence[Any], workers: int) -> None:
    """Each worker's to the same one; those of workers that are not there any more to others."""
    for worker in range(workers):
        its = list(copies[worker::workers])
        if its:
            kind.put(state, worker, its)


def _plain(parameters: Sequence[Any]) -> Any:
    """As JSON gives them back."""
    import json

    return json.loads(json.dumps(list(parameters)))


def _line(head: Mapping[str, Any], kept: Sequence[str], anew: Sequence[str], left_out: Sequence[str]) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(head["time"]))
    parts = [f"{what} {', '.join(names)}" for what, names in
             (("kept", kept), ("begun anew", anew), ("not in the pipeline", left_out)) if names]  # fmt: skip
    return f"state of {when}: {'; '.join(parts) or 'nothing of this pipeline'}"
