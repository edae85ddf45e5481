"""How sure the recogniser is of a recording's words.

A recogniser that does not know the language hears its own: "sou desu ne" becomes "So, we'll do
this.", four words where there is a backchannel. It gives such words a low probability. Where the
mean over a recording's words is low, they are left out, and rules use duration alone.
"""

from typing import Final

import polars as pl

from flexi_score.archive.reader import ArchiveReader
from flexi_score.config.health import MIN_CONFIDENCE
from flexi_score.schema import SPEAKERS

__all__ = ["MIN_CONFIDENCE", "unsure_notes", "word_confidence"]

_COLUMNS: Final = ("key", "confidence", "n_words")


def word_confidence(reader: ArchiveReader, rows: pl.DataFrame) -> pl.Series:
    """Mean probability of the recognised words of each recording, null where there are none.

    Both channels together: they speak one language, and a single short word says little.
    """
    keys = pl.concat([rows[f"{s}_words_key"].alias("key") for s in SPEAKERS]).drop_nulls()
    stored = reader.read("words", keys, _COLUMNS)
    table = rows.select(f"{s}_words_key" for s in SPEAKERS)
    for speaker in SPEAKERS:
        side = stored.select(
            pl.col("key"),
            (pl.col("confidence") * pl.col("n_words")).alias(f"{speaker}_sum"),
            pl.col("n_words").alias(f"{speaker}_n"),
        )
        table = table.join(
            side, left_on=f"{speaker}_words_key", right_on="key", how="left", maintain_order="left"
        )
    total, count = (pl.sum_horizontal(f"{s}_{name}" for s in SPEAKERS) for name in ("sum", "n"))
    return table.select(pl.when(count > 0).then(total / count)).to_series().alias("confidence")


def unsure_notes(health: pl.DataFrame) -> list[str]:
    """What a run says once where words were left out; none where there were none."""
    unsure = health.filter((pl.col("check") == "words") & (pl.col("value") < MIN_CONFIDENCE))
    n = unsure["recording"].n_unique()
    if not n:
        return []
    return [
        f"{n} recording{'' if n == 1 else 's'}: the recogniser is not sure of the words (another "
        "language than it knows, or noise). They are left out, and rules use duration alone; "
        "--asr base recognises 99 languages."
    ]
