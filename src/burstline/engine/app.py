"""Applications: Python files that define a pipeline."""

from __future__ import annotations

import importlib.util
import linecache
import sys
import traceback
from pathlib import Path

from burstline.errors import BurstlineError, UsageError
from burstline.pipeline.pipeline import Pipeline


def load_app(spec: str) -> Pipeline:
    """The pipeline of `app.py`, or the one called `name` for `app.py:name`. Raises what the user can mend."""
    path, _, name = spec.rpartition(":") if ":" in spec and not spec.endswith(".py") else (spec, "", "")
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"there is no application {path}", "name a Python file with `pipeline = bl.Pipeline(...)`")
    module_name = file.stem if file.stem.isidentifier() else "application"
    loader = importlib.util.spec_from_file_location(module_name, file)
    assert loader is not None and loader.loader is not None
    module = importlib.util.module_from_spec(loader)
    sys.modules[module_name] = module
    sys.path.insert(0, str(file.resolve().parent))
    try:
        loader.loader.exec_module(module)
    except BurstlineError as error:
        raise type(error)(_placed(file, error, error.message), error.hint) if _plain(error) else error from error
    except SyntaxError as error:
        text = f"\n    {error.text.strip()}" if error.text else ""
        raise BurstlineError(f"{error.filename}:{error.lineno}: {error.msg}{text}", "mend the application") from error
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise BurstlineError(_placed(file, error, what), "the application failed while it was loaded") from error
    return _pipeline(vars(module), name, path)


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
