"""What judging costs: prices, counts of tokens without a network, and the estimate."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from flexi_score.config import JudgeSettings
from flexi_score.errors import SettingsError
from flexi_score.judge.request import Request
from flexi_score.judge.store import Received


class Price(NamedTuple):
    """US dollars for a million tokens."""

    prompt: float
    cached: float  # of the prompt, where the server had read it before
    completion: float
    source: str


_LISTED: Final = "OpenAI's price list, November 2026"
#: By the beginning of the model's name; the longest that fits holds.
PRICES: Final[Mapping[str, Price]] = {
    "gpt-4o-mini": Price(0.15, 0.075, 0.6, _LISTED),
    "gpt-4o": Price(2.5, 1.25, 10.0, _LISTED),
    "gpt-4.1-mini": Price(0.4, 0.1, 1.6, _LISTED),
    "gpt-4.1": Price(2.0, 0.5, 8.0, _LISTED),
    "gpt-6-luna": Price(0.1, 0.01, 0.5, _LISTED),
    "gpt-6-sol": Price(2.0, 0.2, 10.0, _LISTED),
}
#: What the Batch API takes of the price.
BATCH_SHARE: Final = 0.5

#: Tokens around the messages of a chat, and (at most) for what the server adds to make it a form.
_AROUND: Final = 12
#: Length of a reply (tokens) where none is kept to learn from: a reason of a sentence, a score.
_USUAL_REPLY: Final = 60

_PIECES: Final = re.compile(r"[A-Za-z]+|[0-9]{1,3}|\s+|[^\sA-Za-z0-9]")


def price_of(settings: JudgeSettings) -> Price | None:
    """The price of the model: as set, or as listed; None if it is not known."""
    names = [name for name in PRICES if settings.model.startswith(name)]
    listed = PRICES[max(names, key=len)] if names else None
    if settings.prompt_usd is None and settings.completion_usd is None:
        return listed
    prompt, completion = settings.prompt_usd, settings.completion_usd
    if listed is not None:
        prompt = listed.prompt if prompt is None else prompt
        completion = listed.completion if completion is None else completion
    if prompt is None or completion is None:
        return None
    return Price(prompt, prompt, completion, "judge.prompt_usd, judge.completion_usd")


def price_needed(settings: JudgeSettings) -> Price | None:
    """The price of the model, which a limit of cost cannot do without."""
    price = price_of(settings)
    if price is None and settings.max_cost_usd is not None:
        raise SettingsError(
            f"judge.max_cost_usd: the price of {settings.model!r} is not known; set "
            "judge.prompt_usd and judge.completion_usd (USD a million tokens; 0 where it is free)"
        )
    return price


def cost_usd(
    price: Price | None,
    prompt: int | None,
    cached: int | None,
    completion: int | None,
    *,
    batch: bool = False,
) -> float | None:
    """Cost of a reply; None where price or usage are not known."""
    if price is None or prompt is None or completion is None:
        return None
    known = min(cached or 0, prompt)
    total = (prompt - known) * price.prompt + known * price.cached + completion * price.completion
    return total / 1e6 * (BATCH_SHARE if batch else 1.0)


def count_tokens(text: str) -> int:
    """About how many tokens a text is, without the model's own vocabulary.

    A word is one token for every eight letters begun, up to three digits are one, and so is any
    other mark; what is not ASCII counts one for every two bytes; two marks side by side share one.
    On English rubrics and JSON it is up to 16 % below GPT-2's count. Kept replies correct it
    (:func:`estimate_requests`).
    """
    total = 0.0
    for piece in _PIECES.findall(text):
        if piece.isspace():
            total += 0.0 if piece == " " else 1.0
        elif piece.isdigit():
            total += 1.0
        elif piece.isascii() and piece.isalpha():
            total += math.ceil(len(piece) / 8)
        elif piece.isascii():
            total += 0.5
        else:
            total += len(piece.encode()) / 2
    return math.ceil(total)


def prompt_text(request: Request) -> list[str]:
    """What of a request is counted: both messages and the form."""
    form = request.body.get("response_format")
    texts = [message["content"] for message in request.body["messages"]]
    return [*texts, *([str(form)] if form else [])]


def prompt_tokens(request: Request) -> int:
    """About how many tokens a request is."""
    return sum(count_tokens(text) for text in prompt_text(request)) + _AROUND


def most_usd(request: Request, price: Price, settings: JudgeSettings, batch: bool = False) -> float:
    """What a request cannot cost more than: no token is less than a byte, no reply too long."""
    n_bytes = sum(len(text.encode()) for text in prompt_text(request)) + _AROUND
    return cost_usd(price, n_bytes, 0, settings.max_tokens, batch=batch) or 0.0


@dataclass(frozen=True)
class Estimate:
    """What asking would take."""

    calls: int  # questions (repeats counted) that nothing is kept for
    stored: int  # those that are, and cost nothing
    waiting: int  # those that wait in a batch
    #: prompt_tokens, completion_tokens: of the calls, about
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None  # None where the price is not known
    price_source: str
    tokens_source: str  # how the tokens were counted


def estimate_requests(
    to_ask: Sequence[Request],
    answered: Sequence[tuple[Request, Received]],
    settings: JudgeSettings,
    *,
    stored: int,
    waiting: int,
) -> Estimate:
    """Estimate the cost of requests, learning the lengths from those that have been answered."""
    used = [(r, a) for r, a in answered if a.prompt_tokens and a.completion_tokens is not None]
    prompt = float(sum(prompt_tokens(request) for request in to_ask))
    how = "counted without the model's vocabulary"
    if used:
        # What the server counted over what we count, on what it has answered.
        counted = sum(prompt_tokens(request) for request, _ in used)
        prompt *= sum(answer.prompt_tokens or 0 for _, answer in used) / counted
        how = f"scaled by {len(used)} kept replies"
    replies: dict[str, list[int]] = {}
    for request, answer in used:
        replies.setdefault(request.rubric.name, []).append(answer.completion_tokens or 0)
    completion = sum(_reply_tokens(request, replies) for request in to_ask)
    completion = min(completion, float(settings.max_tokens * len(to_ask)))
    price = price_of(settings)
    batch = settings.mode == "openai-batch"
    cost = cost_usd(price, round(prompt), 0, round(completion), batch=batch)
    source = "unknown: set judge.prompt_usd and judge.completion_usd"
    if price is not None:
        source = price.source + (f", times {BATCH_SHARE} in a batch" if batch else "")
    return Estimate(
        len(to_ask), stored, waiting, round(prompt), round(completion), cost, source, how
    )


def _reply_tokens(request: Request, replies: Mapping[str, Sequence[int]]) -> float:
    seen = replies.get(request.rubric.name)
    if seen:
        return sum(seen) / len(seen)
    words: Any = request.question.get("words") or []
    # One position for every eight words or so, each a number of three or four tokens.
    positions = len(words) / 8 * 4 if "positions_s" in request.rubric.schema["properties"] else 0
    return _USUAL_REPLY + positions
