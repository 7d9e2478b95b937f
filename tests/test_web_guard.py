"""Who may look at the web page, and what every answer bears."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from burstline.cli.main import main
from burstline.view.web.guard import SAFE, Guard

TOKEN = "a-token_that.is~right"


def asked(token: str | None, path: str = "/", query: str = "", method: str = "GET", **headers: str) -> tuple[int, Any]:
    """The status and the headers of the answer; the application's has status 200."""
    sent: list[Any] = []
    named = {"host": "127.0.0.1:8470", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http", "method": method, "path": path, "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in named.items()],
    }  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Guard(PlainTextResponse("page"), token)(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"])


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (lambda: asked(None), 200),
        (lambda: asked(None, host="evil.example"), 403),
        (lambda: asked(None, host=""), 403),
        (lambda: asked(None, method="POST"), 403),
        (lambda: asked(TOKEN), 401),
        (lambda: asked(TOKEN, query="token=wrong"), 401),
        (lambda: asked(TOKEN, query=f"token={TOKEN}"), 303),
        (lambda: asked(TOKEN, path="/api/drops", query=f"token={TOKEN}"), 401),
        (lambda: asked(TOKEN, authorization=f"Bearer {TOKEN}"), 200),
        (lambda: asked(TOKEN, authorization=f"Bearer {TOKEN}\xff"), 401),
        (lambda: asked(TOKEN, authorization=f"Bearer {TOKEN}", method="POST"), 403),
        (lambda: asked(TOKEN, authorization=f"Bearer {TOKEN}", method="POST", x_burstline="1"), 200),
    ],
)
def test_every_answer_bears_what_keeps_browsers_from_harm(answer: Any, status: int) -> None:
    found, headers = answer()
    assert found == status
    assert dict(SAFE).items() <= headers.items()


def test_the_cookie_of_a_token_is_found_among_those_of_other_programs() -> None:
    _, headers = asked(TOKEN, query=f"token={TOKEN}")
    told = headers[b"set-cookie"].decode()
    assert "HttpOnly" in told and "SameSite=strict" in told
    cookie = told.partition(";")[0]
    for others in ("", 'a/b=c; d={"e": 1}; '):
        assert asked(TOKEN, cookie=others + cookie)[0] == 200
    assert asked(TOKEN, cookie=cookie[:-1])[0] == 401


def test_another_port_of_the_same_host_has_a_cookie_of_its_own() -> None:
    names = {
        asked(TOKEN, query=f"token={TOKEN}", host=host)[1][b"set-cookie"].partition(b"=")[0]
        for host in ("127.0.0.1:8470", "127.0.0.1:8471", "[::1]:8472", "proxy.example", "[::1]")
    }
    assert names == {b"burstline-8470", b"burstline-8471", b"burstline-8472", b"burstline"}


@pytest.mark.parametrize("token", ["", "with space", "a&b", "\u20ac"])
def test_a_token_that_no_address_or_cookie_holds_is_refused(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--token", token]) == 2
    assert "--token" in capsys.readouterr().err


def test_a_token_of_the_environment_is_refused_alike(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BURSTLINE_TOKEN", "with space")
    assert main(["serve"]) == 2
    assert "BURSTLINE_TOKEN" in capsys.readouterr().err
