"""The page's server: this machine only, a secret on every request, JSON in and out.

Another page in the same browser must neither read from here nor write: the name in ``Host`` has to
be our own (a foreign name that resolves to 127.0.0.1 is refused), every request carries the secret
in a cookie that the browser sends from our own page alone, and what writes has our ``Origin`` and
is JSON. No text of a request is used as a path: recordings go by their number.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
)
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from flexi_score.errors import FlexiScoreError, InputError
from flexi_score.explore.correct import save_correction
from flexi_score.explore.page import render_page
from flexi_score.explore.rate import rate
from flexi_score.explore.session import Session

ADDRESS: Final = "127.0.0.1"
#: Bytes of a request's body: settings by name.
_MOST_BYTES: Final = 100_000
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}

#: Answers a request's JSON object.
Answer = Callable[[Mapping[str, Any]], Any]


class Guard:
    """Lets through what our own page asks.

    Parameters
    ----------
    app : ASGI application
    port : int
    token : str
    """

    def __init__(self, app: ASGIApp, port: int, token: str) -> None:
        self._app, self._token = app, token
        self._hosts = {f"{name}:{port}" for name in (ADDRESS, "localhost")}
        self._cookie = cookie_name(port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 400 to a foreign host, 403 without the secret or from a foreign origin."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        request = Request(scope)
        refused = self._refusal(request)
        if refused is not None:
            await refused(scope, receive, send)
            return

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = [(k.lower().encode(), v.encode()) for k, v in _HEADERS.items()]
                message["headers"] = [*message["headers"], *own]
            await send(message)

        await self._app(scope, receive, guarded)

    def _refusal(self, request: Request) -> Response | None:
        headers: Headers = request.headers
        if headers.getlist("host") != [headers.get("host")] or headers["host"] not in self._hosts:
            return PlainTextResponse("this page is served to its own address only", 400)
        given = request.cookies.get(self._cookie, "")
        if request.url.path == "/" and "token" in request.query_params:
            given = request.query_params["token"]
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            return PlainTextResponse("open the address that flexi-score explore printed", 403)
        if request.method not in ("GET", "HEAD"):
            kind = headers.get("content-type", "").partition(";")[0].strip()
            if headers.get("origin") != f"http://{headers['host']}" or kind != "application/json":
                return PlainTextResponse("only this page's own requests are answered", 403)
        return None


def cookie_name(port: int) -> str:
    """Name of the cookie with the secret; browsers send cookies of one host to all its ports."""
    return f"flexi_score_{port}"


def build_app(session: Session, port: int, token: str) -> Starlette:
    """The application of one session.

    Parameters
    ----------
    session : Session
    port : int
        Where it will listen.
    token : str
        The secret; :func:`secrets.token_urlsafe` makes one.
    """
    lock = Lock()

    def page(request: Request) -> Response:
        with lock:
            text, policy = render_page(session)
        answer = HTMLResponse(text, headers={"Content-Security-Policy": policy})
        answer.set_cookie(cookie_name(port), token, httponly=True, samesite="strict")
        return answer

    def sound(request: Request) -> Response:
        file = session.sound(request.path_params["r"], request.path_params["k"])
        return Response(status_code=404) if file is None else FileResponse(file)

    def api(answer: Answer) -> Any:
        def locked(body: Mapping[str, Any]) -> Any:
            with lock:
                return answer(body)

        async def endpoint(request: Request) -> Response:
            try:
                body = await _read_json(request)
                return JSONResponse(await run_in_threadpool(locked, body))
            except FlexiScoreError as error:
                return JSONResponse({"problem": str(error)}, 422)

        return endpoint

    routes = [Route("/", page), Route("/audio/{r:int}/{k:int}", sound)]
    answers: dict[str, Answer] = {
        "values": lambda body: session.values(_changes(body)),
        "correct": lambda body: save_correction(session, _number(body), body, _changes(body)),
        "rate": lambda body: rate(session, body),
        "undo": lambda body: session.undo(_number(body)),
        "recording": lambda body: session.detail(_number(body), _changes(body)),
    }
    routes += [
        Route(f"/api/{name}", api(answer), methods=["POST"]) for name, answer in answers.items()
    ]
    app = Starlette(routes=routes)
    app.add_middleware(Guard, port=port, token=token)
    return app


async def _read_json(request: Request) -> Mapping[str, Any]:
    """The JSON object of a request.

    Raises
    ------
    InputError
        Where it is none, or too long.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > _MOST_BYTES:
            raise InputError(f"request: more than {_MOST_BYTES} bytes")
        parts.append(part)
    try:
        body = json.loads(b"".join(parts), parse_constant=_refuse)
    except ValueError as error:
        raise InputError(f"request: is not JSON ({error})") from error
    if not isinstance(body, dict):
        raise InputError("request: expected a JSON object")
    return body


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _number(body: Mapping[str, Any]) -> int:
    """Number of a recording.

    Raises
    ------
    InputError
        Where it is none.
    """
    number = body.get("r")
    if isinstance(number, bool) or not isinstance(number, int):
        raise InputError(f"r: found {number!r:.80}, expected the number of a recording")
    return number


def _changes(body: Mapping[str, Any]) -> dict[str, float]:
    """Settings by name.

    Raises
    ------
    InputError
        Where a value is no number.
    """
    changes = body.get("changes", {})
    if not isinstance(changes, dict):
        raise InputError("changes: expected settings by name")
    for name, value in changes.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"changes: {name[:80]!r}: found {value!r:.80}, expected a number")
    return changes
