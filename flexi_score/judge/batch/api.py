"""What the Batch API is asked to do, again where that may help."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from flexi_score.config import JudgeSettings
from flexi_score.errors import FlexiScoreError
from flexi_score.judge.client import RunStopped, api_fault, may_retry, wait_s
from flexi_score.judge.request import server_of

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import Batch

T = TypeVar("T")

ENDPOINT: Final = "/v1/chat/completions"
#: Where the metadata of a batch has our label.
METADATA: Final = "flexi_score"


class NotDone(FlexiScoreError):
    """What the server was asked to do is not done; ``certain``: nor is it under way."""

    def __init__(self, message: str, *, certain: bool) -> None:
        super().__init__(message)
        self.certain = certain


def upload(client: OpenAI, label: str, data: bytes, settings: JudgeSettings) -> str:
    """Upload the lines of a batch; the name of the file at the server."""
    file = (f"{METADATA}-{label}.jsonl", data)
    made = call(
        "uploading a batch", lambda: client.files.create(file=file, purpose="batch"), settings
    )
    return str(made.id)


def create(client: OpenAI, label: str, file: str, settings: JudgeSettings) -> Batch:
    """Create a batch; an attempt whose end was not seen is looked for, not repeated blindly."""
    tried: list[bool] = []

    def attempt() -> Batch:
        if tried:
            try:
                earlier = find(client, label, file, settings)
            except NotDone as error:
                raise NotDone(str(error), certain=False) from None
            if earlier is not None:
                return earlier
        tried.append(True)
        return client.batches.create(
            input_file_id=file,
            endpoint=ENDPOINT,
            completion_window="24h",
            metadata={METADATA: label},
        )

    return call("submitting a batch", attempt, settings)


def find(client: OpenAI, label: str, file: str | None, settings: JudgeSettings) -> Batch | None:
    """The batch of that label at the server, or None."""

    def search() -> Batch | None:
        for batch in client.batches.list(limit=100):
            ours = (batch.metadata or {}).get(METADATA) == label
            if ours or (file is not None and batch.input_file_id == file):
                return batch
        return None

    return call("listing the batches", search, settings)


def retrieve(client: OpenAI, name: str, settings: JudgeSettings) -> Batch:
    """A batch as it stands."""
    return call("asking after a batch", lambda: client.batches.retrieve(name), settings)


def read_file(client: OpenAI, name: str, settings: JudgeSettings) -> bytes:
    """The content of a file."""
    return bytes(call("reading results", lambda: client.files.content(name).content, settings))


def call(what: str, work: Callable[[], T], settings: JudgeSettings) -> T:
    """Do it, again where that may help.

    Raises FlexiScoreError: the key is refused, or a setting is wrong: what stops the run.
    """
    import openai

    for attempts in range(1, settings.retries + 2):
        try:
            return work()
        except openai.OpenAIError as error:
            try:
                fault = api_fault(error, settings, of_model=False)
            except RunStopped as stopped:
                raise stopped.error from None
            message = f"{what} at {server_of(settings)}: {fault.message}"
            if fault.next != "again":
                raise NotDone(message, certain=True) from None
            if not may_retry(settings, attempts):
                raise NotDone(message, certain=False) from None
            time.sleep(wait_s(settings, attempts, fault.wait_s))
    raise AssertionError("not reached")
