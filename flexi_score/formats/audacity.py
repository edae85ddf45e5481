"""Labels from Audacity's label track: ``start<TAB>end<TAB>label``, in seconds."""

from collections.abc import Sequence
from pathlib import Path

from flexi_score.errors import TranscriptError
from flexi_score.formats.files import name_some, read_text
from flexi_score.formats.lanes import one_line, seconds
from flexi_score.formats.nonspeech import are_speech, as_word
from flexi_score.formats.timed import Timed, timed
from flexi_score.formats.whose import ANYONE, Whose, choose_label, require_labels, split_prefixes


def read_audacity(path: Path, whose: Whose = ANYONE) -> list[Timed]:
    """Labelled stretches of one party.

    Where every label names a party (``user``, ``agent``), or begins with such a name and a colon,
    the labels say who speaks; else all stretches are the party's.

    Raises
    ------
    TranscriptError
        For a malformed line, or where the file is given for both parties and does not say whose
        its stretches are.
    """
    entries = []
    for number, line in enumerate(read_text(path, TranscriptError).split("\n"), 1):
        # A backslash starts the frequency range of the label above.
        if not line.strip() or line.startswith("\\"):
            continue
        fields = line.split("\t", 2)
        if len(fields) < 2:
            raise TranscriptError(
                f"{path}, line {number}: found {line.strip()[:60]!r}, expected start, end and "
                "label, separated by tabs"
            )
        text = fields[2] if len(fields) > 2 else ""
        entries.append(timed(path, f"line {number}", fields[0], fields[1], text))
    speech = are_speech(path, [entry.text for entry in entries])
    entries = [entry for entry, keep in zip(entries, speech, strict=True) if keep]
    labels = [entry.text or "" for entry in entries]
    parties = [whose.party_of(label) for label in labels]
    split = split_prefixes(labels, whose)
    # In a file of one party, a colon after its own name may be part of what was said.
    others = {whose.party_of(name) for name in split[0]} - {whose.speaker, None} if split else ()
    if split and whose.speaker and (whose.shared or others):
        labels = split[0]
        entries = [e._replace(text=text) for e, text in zip(entries, split[1], strict=True)]
    elif not all(parties) and not {"user", "model"} <= set(parties):
        require_labels(
            path, len(entries), whose, f"its labels ({name_some(set(labels))}) leave open"
        )
        return entries
    own = choose_label(path, "labels", labels, whose)
    return [entry for entry, keep in zip(entries, own, strict=True) if keep]


def audacity_text(entries: Sequence[Timed], *, said: bool = True) -> str:
    """Entries as one label track, sorted; a label is one line, and ``-`` where it is blank.

    `said`: whether labels are what was said, rather than names of events.
    """
    rows = [
        (entry.start_ms, entry.end_ms, one_line(entry.text))
        for entry in sorted(entries, key=lambda e: e[:2])
    ]
    return "".join(
        f"{seconds(start)}000\t{seconds(end)}000\t{as_word(text) if said else text}\n"
        for start, end, text in rows
    )
