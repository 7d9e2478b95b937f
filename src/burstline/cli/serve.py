"""`burstline serve [RUN]`: a running pipeline as a web page, and its metrics for Prometheus."""

from __future__ import annotations

import argparse
import os
import re
import socket
import sys

from burstline.errors import UsageError

LISTEN = "127.0.0.1:8470"
TOKEN = "BURSTLINE_TOKEN"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "which", metavar="RUN", nargs="?", help="a process or an application; the only run when left out"
    )
    parser.add_argument(
        "--listen", metavar="HOST:PORT", default=LISTEN, help=f"where to serve (default {LISTEN}); others need a token"
    )
    parser.add_argument(
        "--token",
        metavar="WORD",
        help=f"what who looks must know (or the environment's {TOKEN}, which `ps` does not show; made when left out, "
        "where one is needed)",
    )


def run(args: argparse.Namespace) -> int:
    host, port = address(args.listen)
    name, given = (TOKEN, os.environ.get(TOKEN)) if args.token is None else ("--token", args.token)
    if given is not None and not re.fullmatch(r"[A-Za-z0-9._~-]+", given):
        raise UsageError(f"{name} is empty, or has signs that addresses have not", "write letters, digits and - . _ ~")
    import secrets

    import uvicorn

    from burstline.view.attached import attach
    from burstline.view.web.app import web_app
    from burstline.view.web.guard import is_loopback

    token = given or (None if is_loopback(host) else secrets.token_urlsafe(18))
    attached = attach(args.which)
    with listening(host, port) as sock:
        shown, port = f"[{host}]" if ":" in host else host, sock.getsockname()[1]
        where = f"http://{shown}:{port}/{'?token=' + token if token else ''}"
        print(f"{attached.name}: {where}", file=sys.stderr, flush=True)
        config = uvicorn.Config(web_app(attached, token), log_level="warning", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run([sock])
    return 0


def listening(host: str, port: int) -> socket.socket:
    """Raises UsageError. Not by uvicorn, which ends the program."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        what = f"cannot listen at {host}:{port}: {error.strerror}"
        raise UsageError(what, "is another program there? --listen 127.0.0.1:8471") from None


def address(text: str) -> tuple[str, int]:
    """Of `HOST:PORT`, `[::1]:PORT` or `PORT`. Raises UsageError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"{text} is no address to listen at", f"write {LISTEN}")
    return host, int(port)
