"""What the judge is told, and what it may reply.

A rubric is one TOML file beside this module: ``version``, ``metric``, ``reply`` (``score`` or
``positions``) and ``instructions``, the very text that is sent. What is to be judged goes in a
message of its own, as JSON: transcripts are data, and never become part of the instructions.
Change the text of a rubric, and its version must change with it.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final, NamedTuple

from flexi_score.errors import ReplyError, SettingsError
from flexi_score.metrics.registry import BEHAVIOURS

#: Highest score; the lowest is 0.
TOP: Final = 5

_REPLIES: Final[dict[str, dict[str, Any]]] = {
    "score": {"score": {"type": "integer", "enum": list(range(TOP + 1))}},
    "half": {"score": {"type": "number", "enum": [i / 2 for i in range(2 * TOP + 1)]}},
    "behaviour": {"behaviour": {"type": "string", "enum": list(BEHAVIOURS)}},
    "positions": {"positions_s": {"type": "array", "items": {"type": "number"}}},
}

#: Most characters of a reply that an error quotes.
_QUOTED: Final = 80


@dataclass(frozen=True)
class Rubric:
    """How one metric is judged."""

    name: str
    version: str
    metric: str  # ``tss``, ``eds``, ``coherence``, ``rating`` or ``reference_backchannels``
    instructions: str  # what the judge is told, word for word
    schema: dict[str, Any]  # JSON schema of its reply, in the subset that structured output takes


class Reading(NamedTuple):
    """What a reply says: a score (0 to 5) or the number of a behaviour, or positions (s,
    ascending); and the judge's reason."""

    value: float | None
    positions_s: list[float] | None
    reason: str


def rubric_names() -> tuple[str, ...]:
    """Names of the rubrics there are."""
    files = resources.files("flexi_score.judge").joinpath("rubrics").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


@cache
def load_rubric(name: str) -> Rubric:
    """A rubric by name."""
    if name not in rubric_names():
        raise SettingsError(f"unknown rubric {name!r}; known: {', '.join(rubric_names())}")
    file = resources.files("flexi_score.judge").joinpath("rubrics", f"{name}.toml")
    data = tomllib.loads(file.read_text("utf-8"))
    # The reason comes first: what is written before the score can still change it.
    properties = {"reason": {"type": "string"}, **_REPLIES[data["reply"]]}
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    instructions = data["instructions"].strip()
    return Rubric(name, data["version"], data["metric"], instructions, schema)


def read_reply(rubric: Rubric, question: Mapping[str, Any], raw: str) -> Reading:
    """Read a judge's reply; nothing in it is guessed or mended.

    ``words`` of the question (each ``[word, end in s]``) says which positions there are.
    """
    reply = _parse(raw)
    wanted = list(rubric.schema["properties"])
    if set(reply) != set(wanted):
        raise ReplyError(f"found the keys {sorted(reply)!r:.{_QUOTED}}, expected {wanted}")
    if not isinstance(reply["reason"], str):
        raise ReplyError(f"reason: found {_brief(reply['reason'])}, expected text")
    # Escapes can spell halves of characters, which no table can hold.
    reason = reply["reason"].encode("utf-8", "replace").decode()
    if "behaviour" in reply:
        if reply["behaviour"] not in BEHAVIOURS:
            why = f"found {_brief(reply['behaviour'])}, expected one of {', '.join(BEHAVIOURS)}"
            raise ReplyError(f"behaviour: {why}")
        return Reading(float(BEHAVIOURS.index(reply["behaviour"])), None, reason)
    if "score" in reply:
        levels = rubric.schema["properties"]["score"]["enum"]
        return Reading(_score(reply["score"], levels), None, reason)
    return Reading(None, _positions(reply["positions_s"], question), reason)


def _parse(raw: str) -> dict[str, Any]:
    """The one JSON object that a reply is."""
    try:
        reply = json.loads(raw, object_pairs_hook=_once, parse_constant=_no_number)
    except ReplyError:
        raise
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:_QUOTED]
        raise ReplyError(f"not JSON ({reason}): found {_brief(raw)}") from error
    if not isinstance(reply, dict):
        raise ReplyError(f"found {_brief(reply)}, expected a JSON object")
    return reply


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a key that comes twice leaves open which of the two was meant."""
    items = dict(pairs)
    if len(items) < len(pairs):
        raise ReplyError("a key comes twice")
    return items


def _no_number(name: str) -> Any:
    raise ReplyError(f"found {name}, which is not a number of JSON")


def _score(value: Any, levels: Sequence[float]) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or value not in levels:
        steps = "an integer" if len(levels) == TOP + 1 else "a multiple of 0.5"
        raise ReplyError(f"score: found {_brief(value)}, expected {steps} from 0 to {TOP}")
    return float(value)


def _positions(value: object, question: Mapping[str, Any]) -> list[float]:
    if not isinstance(value, list):
        raise ReplyError(f"positions_s: found {_brief(value)}, expected a list of seconds")
    ends = {float(end) for _, end in question["words"]}
    for position in value:
        number = isinstance(position, (int, float)) and not isinstance(position, bool)
        if not number or position not in ends:
            raise ReplyError(f"positions_s: {_brief(position)} is not the end of a word")
    return sorted({float(position) for position in value})


def _brief(value: object) -> str:
    """A value for an error: short, on one line, printable."""
    text = ascii(value)
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}..."
