"""Words from CTM (NIST): ``file channel start duration word [confidence]``."""

from pathlib import Path

from flexi_score.errors import TranscriptError
from flexi_score.formats.files import read_text
from flexi_score.formats.rttm import add_duration
from flexi_score.formats.timed import Timed, choose_label, timed


def read_ctm(path: Path, speaker: str | None = None) -> list[Timed]:
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
        if len(fields) < 5:
            raise TranscriptError(
                f"{path}, line {number}: found {line.strip()[:60]!r}, expected file, channel, "
                "start, duration, word"
            )
        start, end = add_duration(path, number, fields[2], fields[3])
        entries.append(timed(path, f"line {number}", start, end, fields[4]))
        files.append(fields[0])
        channels.append(fields[1])
    of_channel = any(channel.lower() in ("user", "model") for channel in channels)
    labels = (
        channels
        if of_channel or len(set(files)) == 1
        else [f"{file} {channel}" for file, channel in zip(files, channels, strict=True)]
    )
    if any(file.lower() in ("user", "model") for file in files):
        labels = files
    own = choose_label(path, "files and channels", labels, speaker)
    return [entry for entry, keep in zip(entries, own, strict=True) if keep]
