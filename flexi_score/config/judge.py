"""Settings of the judge."""

from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from flexi_score.config.fields import Group, choice, number

#: Settings that can change an answer. The others change when it comes, what it costs, or whether
#: it comes at all, which shows as an unscored recording.
ANSWER_SETTINGS: Final = (
    "model",
    "rubric",
    "base_url",
    "structured",
    "temperature",
    "reasoning_effort",
    "seed",
    "repeats",
    "max_tokens",
)
#: Those of them that are not named where they are not set.
OPTIONAL_SETTINGS: Final = ("base_url", "reasoning_effort")


def _usd(text: str) -> Any:
    return number(None, "USD", text, "flexi_score", 0, 1e6)


class JudgeSettings(Group):
    """What timing cannot tell, asked of a language model."""

    mode: Literal["none", "replay", "openai", "openai-batch"] = choice(
        "none",
        "none; replay: ratings that are kept, or came with the recordings; openai: ask for what is "
        "not kept; openai-batch: likewise, through the Batch API (submit, come back, collect)",
        "flexi_score",
    )
    model: str = choice(
        "gpt-4o-2024-08-06",
        "model to ask; OpenAI shuts the dated GPT-4o snapshots down on 2027-01-14",
        "FLEXI paper (GPT-4o); the snapshot that gpt-4o names, and the first with strict schemas",
    )
    rubric: Literal["flexi_score", "release"] = choice(
        "flexi_score",
        "what the judge is told: flexi_score's own rubrics, or those of the FLEXI release, its "
        "scales in other words (tss, eds, coherence)",
        "flexi_score; FLEXI release, evaluate/",
    )
    base_url: str | None = choice(
        None, "any OpenAI-compatible server, as http://localhost:8000/v1; unset: OpenAI's", "OpenAI"
    )
    key_variable: str = Field(
        "OPENAI_API_KEY",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="name of the environment variable that holds the API key",
        json_schema_extra={"unit": "", "source": "OpenAI SDK"},
    )
    structured: Literal["schema", "object", "none"] = choice(
        "schema",
        "how the form of replies is asked for: a strict JSON schema; a JSON object, or nothing, "
        "with the schema in the instructions, for servers that cannot enforce one",
        "OpenAI structured outputs",
    )
    temperature: float | None = number(
        0.0, "", "sampling temperature; null: not sent (models that refuse it)", "flexi_score", 0, 2
    )
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = choice(
        None,
        "how long a reasoning model thinks; null: not sent. OpenAI's take a temperature only with "
        "none; what they think counts towards max_tokens",
        "OpenAI",
    )
    seed: int | None = number(
        0,
        "",
        "seed of repeat 0, the next one's is one more; null: not sent",
        "flexi_score",
        0,
        2**31 - 1,
    )
    repeats: int = number(1, "", "times that every question is asked", "flexi_score", 1, 100)
    max_tokens: int = number(
        1024, "tokens", "longest reply; longer ones are cut, and unscored", "flexi_score", 1, 65536
    )
    token_limit: Literal["max_tokens", "max_completion_tokens"] = choice(
        "max_tokens", "what that limit is called: newer models want max_completion_tokens", "OpenAI"
    )
    concurrency: int = number(8, "requests", "under way at once", "flexi_score", 1, 1000)
    retries: int = number(
        4,
        "",
        "more attempts for a question after a fault (429, 5xx, a lost connection) or a paid reply "
        "that is of no use (cut, refused, not valid)",
        "flexi_score",
        0,
        100,
    )
    timeout_s: float = number(60, "s", "for a whole reply", "flexi_score", 0.1, 3600)
    backoff_s: float = number(
        0.5,
        "s",
        "wait before the second attempt; doubles with each, up to 120 times this",
        "OpenAI SDK",
        0,
        600,
    )
    max_cost_usd: float | None = _usd("stop before a run could cost more than this")
    prompt_usd: float | None = _usd("price of a million tokens asked; unset: the model's")
    completion_usd: float | None = _usd("price of a million tokens answered; unset: the model's")

    @field_validator("base_url")
    @classmethod
    def _plain_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            fits = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            fits = False
        if not fits:
            raise ValueError("expected a URL as http://localhost:8000/v1")
        if "@" in parts.netloc or parts.query or parts.fragment:
            # Settings are written into every run: there is no place for a secret in them.
            raise ValueError("expected no user, password, query or fragment in the URL")
        return url.rstrip("/")
