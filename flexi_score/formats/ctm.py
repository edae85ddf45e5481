"""Words from CTM (NIST): ``file channel start duration word [confidence]``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from flexi_score.errors import TranscriptError
from flexi_score.formats.files import read_text
from flexi_score.formats.lanes import one_line, seconds
from flexi_score.formats.nonspeech import as_word
from flexi_score.formats.rttm import add_duration
from flexi_score.formats.timed import Timed, timed
from flexi_score.formats.whose import ANYONE, Whose, choose_label
from flexi_score.schema import Speaker


def read_ctm(path: Path, whose: Whose = ANYONE) -> list[Timed]:
    """Words of one speaker: of the file or channel named ``user`` or ``model``, or the only one.

    Raises
    ------
    TranscriptError
        For a malformed line, or where it is open which file and channel is meant.
    """
    entries, files, channels = [], [], []
    for number, line in enumerate(read_text(path, TranscriptError).split("\n"), 1):
        fields = line.split()
        if not fields or line.lstrip().startswith(";;"):
            continue
        if not 5 <= len(fields) <= 8:
            raise TranscriptError(
                f"{path}, line {number}: found {line.strip()[:60]!r}, expected file, channel, "
                "start, duration, word"
            )
        start, end = add_duration(path, number, fields[2], fields[3])
        entries.append(timed(path, f"line {number}", start, end, fields[4]))
        files.append(fields[0])
        channels.append(fields[1])
    of_channel = any(whose.party_of(channel) for channel in channels)
    labels = (
        channels
        if of_channel or len(set(files)) == 1
        else [f"{file} {channel}" for file, channel in zip(files, channels, strict=True)]
    )
    if not of_channel and any(whose.party_of(file) for file in files):
        labels = files
    own = choose_label(path, "files and channels", labels, whose)
    return [entry for entry, keep in zip(entries, own, strict=True) if keep]


def ctm_text(name: str, words: Mapping[Speaker, Sequence[Timed]]) -> str:
    """Words of each speaker as CTM, the speaker in the place of the channel, sorted by start.

    White space inside an entry becomes ``_``, as CTM has none; a blank one is written ``-``.
    """
    rows = sorted(
        (entry.start_ms, entry.end_ms, who, as_word(one_line(entry.text).replace(" ", "_")))
        for who, entries in words.items()
        for entry in entries
    )
    return "".join(
        f"{name} {who} {seconds(start)} {seconds(end - start)} {text}\n"
        for start, end, who, text in rows
    )
