"""The web application: one page, a stream of snapshots, and answers of the run as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from burstline.errors import BurstlineError
from burstline.view.attached import Attached
from burstline.view.dissect import dissect
from burstline.view.placing import placing
from burstline.view.web.guard import Guard

STATIC = Path(__file__).parent / "static"
PERIOD = 1.0  # seconds between two snapshots of the stream
MOST_MEASURED = 10.0  # seconds
FLOW_WORDS = {"search": str, "sort": str, "table": int, "limit": int, "offset": int}


def web_app(run: Attached, token: str | None = None, period: float = PERIOD) -> ASGIApp:
    """Of one run; `token` is wanted of who asks, if there is one."""

    async def page(_: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def snapshot(_: Request) -> Response:
        return await _told(lambda: run.snapshot().as_json())

    async def stream(request: Request) -> Response:
        return StreamingResponse(_events(run, request, period), media_type="text/event-stream")

    async def flows(request: Request) -> Response:
        words: dict[str, Any] = {
            n: kind(request.query_params[n]) for n, kind in FLOW_WORDS.items() if n in request.query_params
        }
        words["descending"] = request.query_params.get("descending", "true") == "true"
        return await _told(lambda: run.ask("flows", **words))

    async def graph(_: Request) -> Response:
        return await _told(lambda: run.ask("graph"))

    async def layout(_: Request) -> Response:
        return await _told(lambda: run.ask("layout"))

    async def drops(_: Request) -> Response:
        return await _told(lambda: [_dissected(sample) for sample in run.ask("drops")])

    async def topology(_: Request) -> Response:
        return await _told(lambda: placing(run.snapshot()))

    async def measure(request: Request) -> Response:
        seconds = min(MOST_MEASURED, float(request.query_params.get("seconds", "1")))
        return await _told(lambda: run.ask("measure", seconds=seconds))

    async def metrics(request: Request) -> Response:
        from burstline.view.prometheus import exposition

        try:
            text, kind = await run_sync(
                lambda: exposition(run.snapshot(), request.headers.get("accept", ""), run.over is not None)
            )
        except BurstlineError as error:
            return Response(error.message, 503)
        return Response(text, media_type=None, headers={"content-type": kind})

    app = Starlette(
        routes=[
            Route("/", page),
            Route("/metrics", metrics),
            Route("/api/snapshot", snapshot),
            Route("/api/stream", stream),
            Route("/api/flows", flows),
            Route("/api/graph", graph),
            Route("/api/layout", layout),
            Route("/api/drops", drops),
            Route("/api/topology", topology),
            Route("/api/measure", measure, methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        exception_handlers={ValueError: _not_understood},
    )
    return Guard(app, token)


async def _told(answer: Callable[[], Any]) -> Response:
    """Worked out in another thread; what is refused is told with what to do instead."""
    try:
        return JSONResponse(await run_sync(answer))
    except BurstlineError as error:
        return JSONResponse({"error": error.message, "hint": error.hint}, 409)


async def _not_understood(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"not understood: {error}", "hint": None}, 400)


async def _events(run: Attached, request: Request, period: float) -> AsyncIterator[str]:
    """Server-sent events (WHATWG HTML, section 9.2): a snapshot each, the last one when the run is over."""
    yield "retry: 2000\n\n"
    while not await request.is_disconnected():
        try:
            snap = await run_sync(run.snapshot)
        except BurstlineError as error:
            yield f"event: trouble\ndata: {json.dumps(error.message)}\n\n"
            await asyncio.sleep(period)
            continue
        yield f"data: {json.dumps({**snap.as_json(), 'over': run.over})}\n\n"
        await asyncio.sleep(period)


def _dissected(sample: dict[str, Any]) -> dict[str, Any]:
    found = dissect(bytes.fromhex(sample["data"]), sample["length"], sample["time"], sample["port"])
    return {**sample, **found}
