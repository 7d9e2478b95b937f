"""`burstline run --watch`: when the application's file is saved, its pipeline takes the place of the running one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from burstline.engine.app import Application
from burstline.engine.carry import NotRunning, Swap
from burstline.engine.swap_text import described
from burstline.errors import BurstlineError
from burstline.pipeline.pipeline import Pipeline

PERIOD = 0.05  # seconds between two looks at the files
QUIET = 0.01  # for so long a file must not have changed, so that it is not read while it is being written
SETTLE = 0.2  # a run that ends sooner needs no preparation for a change
Stamp = tuple[int, int, int] | None


class Swappable(Protocol):
    """A run whose pipeline can be swapped."""

    @property
    def pipeline(self) -> Pipeline: ...

    @property
    def is_running(self) -> bool: ...

    def swap(self, pipeline: Pipeline) -> Swap: ...


class Watch:
    """A thread that looks at the application's files from when the run has begun and `prepare` is done.

    `said` gets a line then, and about each swap; `failed` gets the error of an application that cannot be loaded or
    compiled, with which the old pipeline runs on. Without `looks`, files are loaded only when `ask` is called.
    """

    def __init__(
        self,
        app: Application,
        run: Swappable,
        said: Callable[[str], None],
        failed: Callable[[Exception], None],
        prepare: Callable[[], None] = lambda: None,
        *,
        looks: bool = True,
    ) -> None:
        self._app, self._run = app, run
        self._said, self._failed, self._prepare = said, failed, prepare
        self._looks, self._asked = looks, False
        self._over = threading.Event()
        self._seen = _stamps(app.files)
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._run.is_running:
            if self._over.wait(PERIOD):
                return
        if self._over.wait(SETTLE):
            return
        if self._looks:
            self._prepare()
            self._said(f"watching {', '.join(file.name for file in self._app.files)}")
        while not self._over.wait(PERIOD):
            if (self._looks and self._was_saved()) or self._asked:
                self._asked = False
                self._reload()

    def ask(self) -> None:
        """Load the application again, saved or not. A handler of signals may call it."""
        self._asked = True

    def _was_saved(self) -> bool:
        """Whether a file is another one than before. While one is missing, an editor is about to replace it."""
        found = _stamps(self._app.files)
        if found == self._seen or None in found.values():
            return False
        while True:
            time.sleep(QUIET)
            again = _stamps(self._app.files)
            if again == found:
                self._seen = found
                return True
            found = again

    def _reload(self) -> None:
        started, old = time.perf_counter(), self._run.pipeline
        try:
            new = self._app.load()
            done = self._run.swap(new)
        except NotRunning:
            return
        except SystemExit as error:
            self._failed(
                BurstlineError(f"{self._app.path} ends the program: {error}", "leave it out to watch the file")
            )
        except Exception as error:
            self._failed(error)
        else:
            self._said(described(old, new, done, time.perf_counter() - started))
        finally:
            for file, stamp in _stamps(self._app.files).items():
                self._seen.setdefault(file, stamp)  # imported for the first time
            self._seen = {file: self._seen[file] for file in self._app.files}


def _stamps(files: Iterable[Path]) -> dict[Path, Stamp]:
    return {file: _stamp(file) for file in files}


def _stamp(file: Path) -> Stamp:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
