"""One request to the server, and what came of it: an answer that was paid for, or a fault.

Faults are told apart by what they call for::

    fault                                   next
    429, 408, 409, 5xx, timeout, lost       again, up to judge.retries more attempts
    429 insufficient_quota                  stop asking; what is left is unscored
    401, 403, 404                           stop the run: key, access or model are wrong
    3xx                                     stop the run: redirects are not followed
    400 of a parameter the model refuses    stop the run: a setting is wrong
    other 4xx                               that question is unscored
    200 that is no completion               again, as 5xx
    cut, refused, empty, not valid          paid: again, likewise

Of whatever is tried again the same count of attempts holds, :attr:`JudgeSettings.retries`; the wait
doubles with each, and a server that asks for a longer one gets it, up to the longest.

Keys come from the environment alone. No message here holds one, whatever the server has said.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import os
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

from flexi_score.config import JudgeSettings
from flexi_score.errors import FlexiScoreError, PrerequisiteError, SettingsError
from flexi_score.judge.cost import Price, cost_usd
from flexi_score.judge.request import OPENAI_URL, Request, server_of
from flexi_score.judge.store import About, Received
from flexi_score.version import install_command

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI, OpenAI

#: Stop asking once so many questions in a row found no server that works.
GIVE_UP_AFTER: Final = 20
#: The longest wait, in first waits: a minute where the first is half a second.
_LONGEST: Final = 120
#: Most characters of a server's own words that a message repeats.
_QUOTED: Final = 200
#: Shortest part of a key that is taken out of texts.
_PART: Final = 10
#: Keys as OpenAI makes them, and what it prints of one: its ends, with stars between.
_KEYS: Final = re.compile(r"sk-[\w*-]{4,}|\S*\*{3,}\S*")
#: Where the API names a parameter that a model does not take: the setting to change.
_PARAMETERS: Final[Mapping[str, str]] = {
    "response_format": "judge.structured=object (or none)",
    "temperature": "judge.temperature=null (or, if it reasons, judge.reasoning_effort=none)",
    "reasoning_effort": "judge.reasoning_effort=null",
    "seed": "judge.seed=null",
    "max_tokens": "judge.token_limit=max_completion_tokens",
    "max_completion_tokens": "judge.token_limit=max_tokens",
}


@dataclass(frozen=True)
class Fault:
    """Why there is no answer.

    ``next`` says what it calls for: ``again``, ``unscored`` (this question), ``stop`` (asking).
    """

    kind: str
    message: str
    next: Literal["again", "unscored", "stop"]
    wait_s: float | None = None  # that the server asks for
    unreachable: bool = False  # there is no server that works
    maybe_paid: bool = False  # the server may have answered, and charged, all the same


class RunStopped(FlexiScoreError):
    """Nothing can be asked with these settings; carries the error to raise."""

    def __init__(self, error: FlexiScoreError) -> None:
        super().__init__(str(error))
        self.error = error


def find_key(settings: JudgeSettings) -> str:
    """The API key, from the environment."""
    key = os.environ.get(settings.key_variable, "").strip()
    if key:
        return key
    if server_of(settings) == OPENAI_URL:
        raise PrerequisiteError(
            f"no API key: the environment variable {settings.key_variable} is not set; set it, or "
            "name a server that needs none with --set judge.base_url=http://localhost:8000/v1, or "
            "use kept replies with --judge replay"
        )
    return "none"  # local servers ask for no key, and the SDK does not go without


def open_client(settings: JudgeSettings) -> AsyncOpenAI:
    """An ``openai.AsyncOpenAI`` that does not retry by itself: retries are counted here."""
    client: AsyncOpenAI = _open("AsyncOpenAI", settings)
    return client


def open_batch_client(settings: JudgeSettings) -> OpenAI:
    """An ``openai.OpenAI``, for files and batches; otherwise as :func:`open_client`."""
    client: OpenAI = _open("OpenAI", settings)
    return client


def _open(name: str, settings: JudgeSettings) -> Any:
    key = find_key(settings)
    try:
        import openai
    except ImportError as error:
        raise PrerequisiteError(
            f"asking a judge needs the package openai: {install_command('judge')}"
        ) from error
    http = openai.DefaultAsyncHttpxClient if name == "AsyncOpenAI" else openai.DefaultHttpxClient
    # The address is given even where it is OpenAI's own: OPENAI_BASE_URL must not change unseen
    # who answers. Redirects are not followed: transcripts and the key go to that address only.
    return getattr(openai, name)(
        api_key=key,
        base_url=server_of(settings),
        max_retries=0,
        timeout=settings.timeout_s,
        http_client=http(follow_redirects=False),
    )


def hide_keys(text: str, settings: JudgeSettings) -> str:
    """A text without the API key, parts of it, or what looks like one."""
    return _KEYS.sub("[key]", _without_key(text, settings, shortest=4))


def _without_key(text: str, settings: JudgeSettings, shortest: int) -> str:
    """A text without the key, and without any run of :data:`_PART` characters of it.

    Keys below ``shortest`` characters are left alone: they are words of their own ("none").
    """
    key = os.environ.get(settings.key_variable, "").strip()
    if len(key) < shortest:
        return text
    text = text.replace(key, "[key]")
    parts = {key[i : i + _PART] for i in range(len(key) - _PART + 1)}
    hidden = [False] * len(text)
    for i in range(len(text) - _PART + 1):
        if text[i : i + _PART] in parts:
            hidden[i : i + _PART] = [True] * _PART
    if not any(hidden):
        return text
    runs = groupby(zip(text, hidden, strict=True), key=lambda pair: pair[1])
    return "".join("[key]" if hide else "".join(c for c, _ in run) for hide, run in runs)


def _brief(text: object, settings: JudgeSettings) -> str:
    """A server's words for a message: without keys, on one line, printable, short."""
    line = " ".join(hide_keys(str(text), settings).split())
    shown = "".join(c if c.isprintable() else "?" for c in line)
    return shown if len(shown) <= _QUOTED else f"{shown[:_QUOTED]}..."


async def ask_once(
    client: AsyncOpenAI, request: Request, settings: JudgeSettings, price: Price | None
) -> Received | Fault:
    """Send one request; returns what has been paid for, of use or not, or why nothing came.

    Raises RunStopped where no other question would fare better.
    """
    import openai

    began = time.monotonic()
    try:
        # The SDK's limit is for each read; a server that drips must not hold a place for ever.
        async with asyncio.timeout(settings.timeout_s):
            response = await client.chat.completions.with_raw_response.create(**request.body)
            content = response.content
    except TimeoutError:
        return _timeout(settings)
    except (openai.OpenAIError, UnicodeError) as error:
        return api_fault(error, settings)
    about = About.of(request, settings, "openai")
    return read_completion(content, about, settings, price, latency_s=time.monotonic() - began)


def read_completion(
    content: bytes | Mapping[str, Any],
    about: About,
    settings: JudgeSettings,
    price: Price | None,
    *,
    latency_s: float | None = None,
) -> Received | Fault:
    """A chat completion as it came (of status 200), or the fault that it is none."""
    try:
        data = json.loads(content) if isinstance(content, bytes) else content
        choices, usage = data["choices"], data.get("usage") or {}
        first = choices[0] if choices else {}
        message = first.get("message") or {}
        raw, refusal = message.get("content"), message.get("refusal")
        if not isinstance(raw, str | None) or not isinstance(refusal, str | None):
            raise TypeError("content is not text")
        tokens = [
            usage.get("prompt_tokens"),
            usage.get("completion_tokens"),
            (usage.get("prompt_tokens_details") or {}).get("cached_tokens"),
        ]
        prompt, completion, cached = (int(n) if n is not None else None for n in tokens)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        shown = _brief(ascii(content), settings)
        return Fault("no completion", f"the server sent no chat completion: {shown}", "again")
    return Received(
        **vars(about),
        raw=_clean(raw, settings),
        refusal=_clean(refusal, settings),
        finish_reason=_clean(first.get("finish_reason"), settings),
        answered_model=_clean(data.get("model"), settings),
        fingerprint=_clean(data.get("system_fingerprint"), settings),
        response_id=_clean(data.get("id"), settings),
        prompt_tokens=prompt,
        cached_tokens=cached,
        completion_tokens=completion,
        cost_usd=cost_usd(price, prompt, cached, completion, batch=about.source == "openai-batch"),
        latency_s=None if latency_s is None else round(latency_s, 3),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _clean(text: object, settings: JudgeSettings) -> str | None:
    """A text of the reply, as it came; but for our key, and halves of characters."""
    if not isinstance(text, str):
        return None
    return _without_key(text, settings, shortest=8).encode("utf-8", "replace").decode()


def _timeout(settings: JudgeSettings) -> Fault:
    message = f"no reply within {settings.timeout_s:g} s"
    return Fault("timeout", message, "again", unreachable=True, maybe_paid=True)


def api_fault(error: Exception, settings: JudgeSettings, *, of_model: bool = True) -> Fault:
    """What an error of the SDK calls for; RunStopped where nothing else would fare better.

    Without ``of_model`` it is about files and batches, and what is not found is one of these.
    """
    import openai

    if isinstance(error, openai.APITimeoutError):
        return _timeout(settings)
    if isinstance(error, openai.APIStatusError):
        if error.status_code == 404 and not of_model:
            return Fault("not found", f"404 {_brief(_words(error), settings)}", "unscored")
        return _status_fault(error, settings)
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__ or error
        text = f"no connection to {server_of(settings)} ({type(cause).__name__}: {cause})"
        refused = "Connect" in type(cause).__name__  # ConnectError, ConnectTimeout: nothing sent
        return Fault(
            "connection", _brief(text, settings), "again", unreachable=True, maybe_paid=not refused
        )
    return Fault("request", _brief(error, settings), "unscored")


def _status_fault(error: APIStatusError, settings: JudgeSettings) -> Fault:
    """What an answer of status 4xx or 5xx calls for."""
    status = int(error.status_code)
    code = str(error.code or error.type or "")
    message = f"{status} {_brief(_words(error), settings)}"
    if code in ("insufficient_quota", "billing_hard_limit_reached"):
        return Fault("quota", f"no quota is left ({message}); add credit, then run again", "stop")
    if 300 <= status < 400:
        target = _brief(error.response.headers.get("location", "nowhere"), settings)
        raise RunStopped(
            SettingsError(
                f"{server_of(settings)} redirects to {target}, and redirects are not followed, "
                "because they would send transcripts and the key to another address; if you "
                "trust that address, name it with --set judge.base_url=..."
            )
        )
    if status in (401, 403, 404):
        _stop(status, message, settings)
    if status in (400, 422) and (setting := _PARAMETERS.get(_parameter(error))):
        message = f"{settings.model} at {server_of(settings)} refuses a parameter: {message}"
        raise RunStopped(SettingsError(f"{message}; try --set {setting}"))
    if status == 429:
        wait = _retry_after(error.response.headers)
        return Fault("rate limit", message, "again", wait)
    if status in (408, 409) or status >= 500:
        wait = _retry_after(error.response.headers)
        return Fault("server error", message, "again", wait, unreachable=status >= 500)
    return Fault("bad request", message, "unscored")


def _words(error: APIStatusError) -> object:
    """What the server itself has said."""
    said = error.body.get("message") if isinstance(error.body, Mapping) else error.body
    return said or error.message


def _parameter(error: APIStatusError) -> str:
    """The parameter that a server complains of; some name it only in the message."""
    named = str(error.param or "").partition(".")[0]
    if named in _PARAMETERS:
        return named
    unsupported = "unsupported" in str(error.code or "") or "nsupported" in str(error.message)
    named_in_text = [name for name in _PARAMETERS if f"'{name}'" in str(error.message)]
    return named_in_text[0] if unsupported and named_in_text else ""


def _stop(status: int, message: str, settings: JudgeSettings) -> NoReturn:
    where = server_of(settings)
    if status == 404:
        text = (
            f"{where} knows no model {settings.model!r} ({message}); name one that it has with "
            "--set judge.model=..., or use kept replies with --judge replay"
        )
    else:
        text = (
            f"{where} refuses the API key of the environment variable {settings.key_variable} "
            f"({message}); check the key and what it may do"
        )
    raise RunStopped(PrerequisiteError(text))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: as a number, in ms, or as a date."""
    exact = _number(headers.get("retry-after-ms"))
    if exact is not None:
        return exact / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None or not text:
        return seconds
    try:
        moment = email.utils.parsedate_to_datetime(text)
        return max(0.0, moment.timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < 1e9 else None


def may_retry(settings: JudgeSettings, attempts: int) -> bool:
    """Whether there may be another attempt after so many."""
    return attempts <= settings.retries


def longest_wait_s(settings: JudgeSettings) -> float:
    """The longest wait between two attempts, without its jitter."""
    return settings.backoff_s * _LONGEST


def wait_s(settings: JudgeSettings, attempts: int, server_s: float | None = None) -> float:
    """Seconds to wait after so many attempts, with jitter so that not all ask at once.

    ``server_s`` is what the server asks for: not less than that, but for the longest wait.
    """
    draw, longest = random.random(), longest_wait_s(settings)
    if server_s is not None:
        return min(server_s, longest) * (1 + draw / 10) + draw / 20
    return min(settings.backoff_s * 2.0 ** min(attempts - 1, 30), longest) * (0.5 + draw / 2)
