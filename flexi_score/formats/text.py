"""How many words a transcript entry stands for, in languages with and without spaces."""

import re
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray


class Script(NamedTuple):
    """A script written without spaces: a regex class of its characters, and how long words are.

    `characters_per_word` is the mean in running text, counted in code points (vowel signs and
    tone marks of Thai, Lao, Khmer and Myanmar are code points of their own).
    """

    characters: str
    characters_per_word: float
    source: str


#: Scripts written without spaces. Han is measured on speech (film subtitles); for the others no
#: count of speech was at hand, and the values are working values of this package, rounded to
#: what makes the usual acknowledgements (うん, はい, そうですね, ครับ, ค่ะ) one to three words.
SCRIPTS: Final[dict[str, Script]] = {
    "Han": Script(
        r"\p{Han}",
        1.4,
        "SUBTLEX-CH (Cai & Brysbaert 2010): 46.8 million characters in 33.5 million words",
    ),
    "Hiragana": Script(r"\p{Hiragana}", 2.0, "flexi_score: particles 1 to 2, others 2 to 4"),
    "Katakana": Script(r"[\p{Katakana}\u30fc]", 4.0, "flexi_score: mostly loanwords"),
    "Thai": Script(r"[\p{Thai}&&[\p{L}\p{M}]]", 4.0, "flexi_score"),
    "Lao": Script(r"[\p{Lao}&&[\p{L}\p{M}]]", 4.0, "flexi_score"),
    "Khmer": Script(r"[\p{Khmer}&&[\p{L}\p{M}]]", 4.5, "flexi_score"),
    "Myanmar": Script(r"[\p{Myanmar}&&[\p{L}\p{M}]]", 5.0, "flexi_score"),
}

#: A character of one of them.
UNSPACED: Final = "[" + "".join(script.characters for script in SCRIPTS.values()) + "]"
#: A token counts where it has a letter or digit; "-" or "..." stands for no word.
_TOKEN: Final = r"\S*[\p{L}\p{N}]\S*"
_ASCII_TOKEN: Final = re.compile(r"\S*[a-zA-Z0-9]\S*", re.ASCII)
#: Up to so many entries (a file of labels), a query costs more than counting.
_SHORT: Final = 64


def word_counts(text: pl.Series) -> NDArray[np.float64]:
    """Words that each transcript entry stands for.

    Tokens between spaces count 1 each where they hold a letter or digit. Characters of the
    scripts in :data:`SCRIPTS` count 1 / mean characters per word, so that one entry per character
    (as recognisers write Chinese) and one entry a phrase add up to the same.

    Parameters
    ----------
    text : polars.Series of String, length k
        Null counts 0.

    Returns
    -------
    ndarray of float64, shape (k,)
    """
    if len(text) <= _SHORT and all(entry is None or entry.isascii() for entry in text):
        return np.array([len(_ASCII_TOKEN.findall(entry or "")) for entry in text], np.float64)
    column = pl.col("text")
    counts = column.str.replace_all(UNSPACED, " ").str.count_matches(_TOKEN).cast(pl.Float64)
    for script in SCRIPTS.values():
        # Summed as count * (1 / mean) would drift from 1 for whole words; divide once instead.
        counts += column.str.count_matches(script.characters) / script.characters_per_word
    frame = pl.DataFrame({"text": text.cast(pl.String)})
    # Words repeat, and looking at each text once is several times faster.
    once = frame.unique().with_columns(count=counts.fill_null(0.0))
    every = frame.join(once, on="text", how="left", nulls_equal=True, maintain_order="left")
    return np.asarray(every["count"].to_numpy(), np.float64)
