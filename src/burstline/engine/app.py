"""Applications: Python files that define a pipeline."""

from __future__ import annotations

import importlib.util
import linecache
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from burstline.errors import BurstlineError, UsageError
from burstline.pipeline import profile
from burstline.pipeline.pipeline import Pipeline


def load_app(spec: str) -> Pipeline:
    """The pipeline of `app.py`, or the one called `name` for `app.py:name`. Raises what the user can mend."""
    return Application(spec).load()


class Application:
    """A Python file with a pipeline, `app.py` or `app.py:name`, which can be loaded again when it has changed.

    `files` are that file and the modules that it imported from its own folder.
    """

    def __init__(self, spec: str) -> None:
        path, _, name = spec.rpartition(":") if ":" in spec and not spec.endswith(".py") else (spec, "", "")
        self.path, self.name, self.file = path, name, Path(path)
        if not self.file.is_file():
            raise UsageError(f"there is no application {path}", "name a Python file with `pipeline = bl.Pipeline(...)`")
        self.files = [self.file]
        self.loaded: Callable[[Pipeline], None] = lambda pipeline: None  # told each pipeline before it runs
        self._modules: set[str] = set()  # those of `files` that it imported

    def load(self) -> Pipeline:
        """Run the file, and return its pipeline. Everything is new but what was imported from other folders."""
        again = bool(self._modules) or self.module_name in sys.modules
        for module in self._modules:
            sys.modules.pop(module, None)
        if again:
            self._forget_bytecode()
        before = set(sys.modules)
        folder = str(self.file.resolve().parent)
        if folder not in sys.path:
            sys.path.insert(0, folder)
        known = set(self.files)
        try:
            pipeline = self._run()
            pipeline.profile = profile.load(profile.profile_of(self.file), pipeline)
            self.loaded(pipeline)
            known = {self.file}
            return pipeline
        finally:
            self._modules |= {name for name in set(sys.modules) - before if self._is_own(name)} - {self.module_name}
            found = {Path(str(sys.modules[name].__file__)) for name in self._modules if name in sys.modules}
            # When it failed, those of before as well: the mistake may be there.
            self.files = [self.file, *sorted((known | found) - {self.file})]

    @property
    def module_name(self) -> str:
        return self.file.stem if self.file.stem.isidentifier() else "application"

    def _run(self) -> Pipeline:
        file = self.file
        linecache.checkcache(str(file))
        loader = importlib.util.spec_from_file_location(self.module_name, file)
        assert loader is not None and loader.loader is not None
        module = importlib.util.module_from_spec(loader)
        sys.modules[self.module_name] = module
        try:
            loader.loader.exec_module(module)
        except BurstlineError as error:
            raise type(error)(_placed(file, error, error.message), error.hint) if _plain(error) else error from error
        except SyntaxError as error:
            text = f"\n    {error.text.strip()}" if error.text else ""
            raise BurstlineError(
                f"{error.filename}:{error.lineno}: {error.msg}{text}", "mend the application"
            ) from error
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise BurstlineError(_placed(file, error, what), "the application failed while it was loaded") from error
        return _pipeline(vars(module), self.name, self.path)

    def _is_own(self, module: str) -> bool:
        """Whether it lies in the application's folder, and is no installed package."""
        origin = getattr(sys.modules.get(module), "__file__", None)
        if not origin or module.partition(".")[0] == "burstline":
            return False
        file = Path(origin).resolve()
        is_installed = {"site-packages", "dist-packages"} & set(file.parts)
        return file.suffix == ".py" and not is_installed and file.is_relative_to(self.file.resolve().parent)

    def _forget_bytecode(self) -> None:
        """Python takes what it compiled before when the file has the same size and second: too coarse for an editor."""
        importlib.invalidate_caches()
        for file in self.files:
            with suppress(OSError):
                Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)


def _plain(error: BurstlineError) -> bool:
    """Errors whose constructor takes a message and a hint: a place can be put before the message."""
    return type(error) in (BurstlineError, UsageError)


def _placed(file: Path, error: BaseException, what: str) -> str:
    """The message with the application's own line that it came from."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == file.resolve()]
    if not frames:
        return f"{file}: {what}"
    line = frames[-1].lineno or 0
    return f"{file}:{line}: {what}\n    {linecache.getline(str(file), line).strip()}"


def _pipeline(names: dict[str, object], name: str, path: str) -> Pipeline:
    found = {n: v for n, v in names.items() if isinstance(v, Pipeline)}
    if name:
        if name not in found:
            raise UsageError(f"{path} has no pipeline {name!r}", f"it has: {', '.join(found) or 'none'}")
        return found[name]
    if "pipeline" in found or len(found) == 1:
        return found.get("pipeline") or next(iter(found.values()))
    if not found:
        raise UsageError(f"{path} defines no pipeline", "write `pipeline = bl.Pipeline(first_stage, ...)`")
    raise UsageError(f"{path} defines several pipelines", f"choose one: {path}:{next(iter(found))}")
