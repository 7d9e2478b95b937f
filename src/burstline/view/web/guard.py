"""Who may look: on the loopback interface whoever can connect, elsewhere who knows the token."""

from __future__ import annotations

import hmac
import ipaddress
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE = (
    (b"content-security-policy", b"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
)


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to a socket bound to it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Around an application. Without a token only requests are answered that name this machine as their host: pages of
    other sites whose name resolves to 127.0.0.1 would otherwise read it (DNS rebinding). With one, it is told once in
    `/?token=`, which a cookie then remembers, or in each request as `Authorization: Bearer`."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *SAFE]
            await send(message)

        await (self._instead(scope) or self._app)(scope, receive, send_safely)

    def _instead(self, scope: Scope) -> Response | None:
        """What is answered in place of the application."""
        headers = Headers(scope=scope)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if self._token is None:
            if not is_loopback(_name_of(headers.get("host", ""))):
                return PlainTextResponse("name 127.0.0.1 or localhost\n", 403)
        elif given and self._is_right(given) and scope["path"] == "/":
            answer = RedirectResponse("/", 303)
            answer.set_cookie(_cookie(headers), given, httponly=True, samesite="strict")
            return answer
        elif not self._is_right(_told(headers)):
            return PlainTextResponse("open the address with ?token= that `burstline serve` printed\n", 401)
        if scope["method"] == "POST" and "x-burstline" not in headers:  # no form of another site can send that
            return PlainTextResponse("send the header x-burstline\n", 403)
        return None

    def _is_right(self, token: str) -> bool:
        assert self._token is not None
        return hmac.compare_digest(token.encode(), self._token.encode())


def _name_of(host: str) -> str:
    """Of a Host header, without the port."""
    return host[1 : host.index("]")] if host.startswith("[") and "]" in host else host.partition(":")[0]


def _told(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token
    return cookie_parser(headers.get("cookie", "")).get(_cookie(headers), "")


def _cookie(headers: Headers) -> str:
    """Its name. Browsers keep one for all ports of a host (RFC 6265, 8.5), where several of us may be."""
    port = headers.get("host", "").rpartition(":")[2]
    return f"burstline-{port}" if port.isdecimal() else "burstline"
