"""What is sent for a question, and the key under which its reply is kept."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flexi_score.config import JudgeSettings
from flexi_score.errors import InputError
from flexi_score.judge.rubrics import Rubric

#: OpenAI's own server, where ``judge.base_url`` is not set.
OPENAI_URL: Final = "https://api.openai.com/v1"

#: Part of every key: changes if ever the same settings are to send something else.
_FORMAT: Final = 1


@dataclass(frozen=True)
class Request:
    """One question as it is sent."""

    key: str  # hash of everything that could change the answer
    rubric: Rubric
    question: Mapping[str, Any]  # as parsed from what is sent; read-only
    repeat: int
    body: dict[str, Any]  # what is posted to ``/chat/completions``


def server_of(settings: JudgeSettings) -> str:
    """Base URL of the server that is asked."""
    return settings.base_url or OPENAI_URL


def make_request(rubric: Rubric, question: str, repeat: int, settings: JudgeSettings) -> Request:
    """The request for a question.

    The rubric's instructions are the system message; the user message is the question, a JSON
    object: transcripts are never part of an instruction. The key is the SHA-256 of all that can
    change the answer: rubric, model, messages, form of the reply, temperature, reasoning effort,
    seed (``judge.seed`` plus the repeat), limit of tokens, repeat. The server's address is no part
    of it, as a local server has another port tomorrow; it is kept beside every reply, and asking
    takes only replies of the server that would be asked.
    """
    try:
        parsed = json.loads(question)
    except (ValueError, RecursionError) as error:
        raise InputError(f"question {question[:80]!r}: is not JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise InputError(f"question {question[:80]!r}: expected a JSON object")
    system, form = _form(rubric, settings)
    body: dict[str, Any] = {
        "model": settings.model,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": question}],
    }
    if form is not None:
        body["response_format"] = form
    if settings.temperature is not None:
        body["temperature"] = settings.temperature
    if settings.reasoning_effort is not None:
        body["reasoning_effort"] = settings.reasoning_effort
    if settings.seed is not None:
        body["seed"] = settings.seed + repeat
    named = {
        "format": _FORMAT,
        "rubric": [rubric.name, rubric.version],
        "repeat": repeat,
        "max_tokens": settings.max_tokens,
        **body,
    }
    body[settings.token_limit] = settings.max_tokens
    return Request(_digest(named), rubric, parsed, repeat, body)


def _form(rubric: Rubric, settings: JudgeSettings) -> tuple[str, dict[str, Any] | None]:
    """System message, and the ``response_format``."""
    if settings.structured == "schema":
        schema = {"name": rubric.name, "strict": True, "schema": rubric.schema}
        return rubric.instructions, {"type": "json_schema", "json_schema": schema}
    text = json.dumps(rubric.schema, sort_keys=True)
    system = (
        f"{rubric.instructions}\n\nThe reply is this JSON object alone, without any text around "
        f"it. Its JSON schema: {text}"
    )
    return system, {"type": "json_object"} if settings.structured == "object" else None


def _digest(named: Mapping[str, Any]) -> str:
    text = json.dumps(named, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def bare_json(raw: str) -> str:
    """A reply without the Markdown fence that models put around JSON where no form is enforced."""
    text = raw.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        return text.partition("\n")[2][:-3].strip()
    return raw
