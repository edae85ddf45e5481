"""What the files of a batch that has ended hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from flexi_score.config import JudgeSettings
from flexi_score.judge.client import hide_keys, read_completion
from flexi_score.judge.cost import Price
from flexi_score.judge.ratings import first_of_use
from flexi_score.judge.request import Request
from flexi_score.judge.rubrics import load_rubric
from flexi_score.judge.store import About, Received

if TYPE_CHECKING:
    from openai.types import Batch

AGAIN: Final = "run again to submit it again"


@dataclass
class Results:
    """Replies, why others have none (by key), and the keys that were not reached in time."""

    replies: dict[str, Received] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    expired: set[str] = field(default_factory=set)


def read_lines(
    content: bytes,
    submitted: Mapping[str, About],
    settings: JudgeSettings,
    price: Price | None,
    results: Results,
) -> None:
    """Read a file of results; its lines are in no order, and not all of them need be ours."""
    for line in content.splitlines():
        try:
            item = json.loads(line)
            about = submitted.get(item["custom_id"])
            response, error = item.get("response") or {}, item.get("error") or {}
            status, body = response.get("status_code"), response.get("body")
            code = str(error.get("code") or "")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue  # whose it was is not known: that key is found to have no reply
        if about is None or about.key in results.replies:
            continue
        if status == 200 and isinstance(body, dict):
            result = read_completion(body, about, settings, price)
            if isinstance(result, Received):
                results.replies[about.key] = result
            else:
                results.problems[about.key] = f"{result.message}; {AGAIN}"
        elif code == "batch_expired":
            results.expired.add(about.key)
        else:
            detail = error or (body if isinstance(body, dict) else {}).get("error") or {}
            text = hide_keys(ascii(detail.get("message", detail)), settings)[:200]
            results.problems[about.key] = f"{status or code}: {text}; {AGAIN}"


def settle(results: Results, submitted: Mapping[str, About], batch: Batch, why: str) -> None:
    """Give every key of the batch that has no reply a reason, or a second chance."""
    if batch.status == "expired":
        results.expired |= set(submitted) - set(results.problems)
    results.expired -= set(results.replies)
    for key in results.replies:
        results.problems.pop(key, None)
    for key in set(submitted) - set(results.replies) - set(results.problems) - results.expired:
        results.problems[key] = f"batch {batch.id} {why}; {AGAIN}"
    # Paid replies that are of no use are not submitted again at once, either.
    for key, reply in results.replies.items():
        about = submitted[key]
        question = json.loads(about.question)
        request = Request(key, load_rubric(about.rubric), question, about.repeat, {})
        outcome = first_of_use(request, [reply])
        if outcome.status != "rated":
            results.problems[key] = f"{outcome.problem}; {AGAIN}"


def how_it_ended(batch: Batch, settings: JudgeSettings) -> str:
    """In words."""
    errors = (batch.errors and batch.errors.data) or []
    detail = "; ".join(hide_keys(ascii(error.message), settings) for error in errors[:3])
    return f"ended as {batch.status}" + (f" ({detail[:300]})" if detail else "")
