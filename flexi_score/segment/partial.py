"""Transcripts of short utterances only (``--asr needed``): what may be asked of them."""

from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.errors import SettingsError
from flexi_score.segment.tracks import Ints

#: Profiles that score the words themselves.
_OF_WORDS: Final = ("release", "fdb-v1")


def mark_partial(recognizer: str, max_ms: int) -> str:
    """Name of a recogniser that has heard only utterances of up to ``max_ms``."""
    return f"{recognizer},needed-{max_ms}ms"


def heard_up_to(sources: pl.Series, settings: Settings) -> Ints:
    """Longest utterance (ms) whose words are known, by the source of each transcript; 0 is any."""
    limit = sources.str.extract(r",needed-(\d+)ms$").cast(pl.Int64).fill_null(0)
    limit_ms = np.asarray(limit.to_numpy(), np.int64)
    least = int(limit_ms[limit_ms > 0].min(initial=np.iinfo(np.int64).max))
    if not (limit_ms > 0).any():
        return limit_ms
    remedy = "extract again without --asr needed"
    if settings.profile in _OF_WORDS:
        raise SettingsError(
            f"profile {settings.profile} scores every word, and the archive holds those of short "
            f"utterances only (--asr needed): {remedy}, or choose another profile"
        )
    if settings.backchannel.max_ms > least:
        raise SettingsError(
            f"backchannel.max_ms {settings.backchannel.max_ms}: the archive holds words of "
            f"utterances of up to {least} ms only (--asr needed): {remedy}, or set "
            f"extract.asr_needed_max_ms to at least {settings.backchannel.max_ms} and extract again"
        )
    return limit_ms
