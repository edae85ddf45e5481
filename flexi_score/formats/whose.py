"""Whose voice an entry is: what labels of transcripts and segment files say about the two parties.

The user talks to the system under test, the model is that system. Labels are names that people and
recognisers give (``agent``, ``Customer 1``, ``SPEAKER_00``, ``channel 1``). Where they do not say
which party is meant, nothing is guessed: :func:`choose_label` raises, naming them.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from flexi_score.errors import InputError, TranscriptError
from flexi_score.formats.files import name_some
from flexi_score.schema import SPEAKERS, Speaker

_USER: Final = frozenset(
    [
        "user",
        "users",
        "customer",
        "caller",
        "client",
        "human",
        "patient",
        "guest",
        "callee",
        "contact",
        "consumer",
        "input",
    ]
)
_MODEL: Final = frozenset(
    [
        "model",
        "agent",
        "assistant",
        "bot",
        "chatbot",
        "voicebot",
        "ai",
        "system",
        "robot",
        "machine",
        "llm",
        "output",
    ]
)
#: Words that may stand beside a party's name without changing whose name it is.
_BESIDE: Final = frozenset(
    [
        "the",
        "a",
        "voice",
        "virtual",
        "phone",
        "speaker",
        "channel",
        "audio",
        "track",
        "side",
        "party",
        "ai",
        "participant",
    ]
)
#: A label mapped to this is no party's: its entries are left out.
NOBODY: Final = "none"
_CHANNEL: Final = re.compile(r"(?:channel|chan|ch)[\s_-]*([0-9]{1,3})", re.IGNORECASE)
_PREFIX: Final = re.compile(r"\s*(?:>>\s*)?[\[(]?([^\W\d_][\w .'&-]{0,39}?)[\])]?\s*:\s+(?=\S)")


class Whose(NamedTuple):
    """Which party's entries are wanted of a file, and what is known of its labels.

    Attributes
    ----------
    speaker : {"user", "model"} or None
        None: the file's only one.
    names : mapping of str to str
        Party (``user``, ``model``, ``none``) of labels in lower case, as the user stated it.
    channels : mapping of Speaker to int, or None
        The parties' channels, from 0: labels such as ``channel 1`` are told by it.
    shared : bool or None
        Whether the file is given for both parties, so that it must say who is who; None: not
        known.
    """

    speaker: Speaker | None = None
    names: Mapping[str, str] = {}
    channels: Mapping[Speaker, int] | None = None
    shared: bool | None = None

    def party_of(self, label: str) -> str | None:
        """``user``, ``model`` or ``none`` by a label; None where it does not tell.

        Examples
        --------
        >>> [Whose().party_of(label) for label in ("Voice Agent", "customer_1", "SPEAKER_00")]
        ['model', 'user', None]
        """
        plain = label.strip().casefold()
        if plain in self.names:
            return self.names[plain]
        if plain in SPEAKERS:
            return plain
        channel = _CHANNEL.fullmatch(plain)
        if channel and self.channels:
            number = int(channel[1])
            return next((s for s in SPEAKERS if self.channels[s] == number), NOBODY)
        tokens = [t for t in re.split(r"[\W_\d]+", plain) if t]
        parties = {"user" if t in _USER else "model" for t in tokens if t in _USER | _MODEL}
        # "customer service" and "user support" are the other side.
        known = all(t in _USER | _MODEL | _BESIDE for t in tokens)
        return parties.pop() if known and len(parties) == 1 else None


#: The one speaker of a file.
ANYONE: Final = Whose()


def parse_speakers(text: str) -> dict[str, str]:
    """Parties of labels from ``agent=model,customer=user``.

    Raises
    ------
    InputError
        For a malformed pair, or a party that is none.

    Examples
    --------
    >>> parse_speakers("SPEAKER_00=user,SPEAKER_01=model,Operator=none")
    {'speaker_00': 'user', 'speaker_01': 'model', 'operator': 'none'}
    """
    pairs = [part.rpartition("=") for part in text.split(",") if part.strip()]
    parties = {label.strip().casefold(): party.strip().lower() for label, _, party in pairs}
    if not parties or "" in parties or not set(parties.values()) <= {*SPEAKERS, NOBODY}:
        raise InputError(
            f"speakers {text!r}: expected labels and parties, as agent=model,customer=user "
            "(or =none for labels to leave out)"
        )
    return parties


def choose_label(path: Path, what: str, labels: Sequence[str], whose: Whose) -> list[bool]:
    """Which entries are the wanted party's, by their labels.

    Parameters
    ----------
    path : Path
        For messages.
    what : str
        What the labels are called in this format, plural.
    labels : sequence of str
        Label of each entry.
    whose : Whose
        Where every label names a party, entries with the wanted party's labels are its own (none,
        if it never spoke). Else a single label is the wanted party's, unless the file is given
        for both.

    Raises
    ------
    TranscriptError
        Where the labels leave open which entries are meant.
    """
    if not labels:
        return []
    names = list(dict.fromkeys(labels))
    if whose.speaker is None:
        if len({name.strip().casefold() for name in names}) > 1:
            raise TranscriptError(
                f"{path}: found {what} {name_some(names)}, expected one of them; say whose entries "
                "are wanted"
            )
        return [True] * len(labels)
    parties = {name: whose.party_of(name) for name in names}
    _refuse_channels_from_one(path, what, names, whose)
    if None not in parties.values():
        if whose.shared is False and whose.speaker not in parties.values():
            raise TranscriptError(
                f"{path}: is given for the {whose.speaker} but has only {what} {name_some(names)}; "
                f"give it for the other party, or {_how(names)}"
            )
        return [parties[label] == whose.speaker for label in labels]
    unknown = all(party is None for party in parties.values())
    if unknown and not whose.shared and len({name.strip().casefold() for name in names}) == 1:
        return [True] * len(labels)
    if unknown and len(names) == 1:
        require_labels(
            path, len(labels), whose, f"all its {what} are {names[0]!r}, which leaves open"
        )
    raise TranscriptError(
        f"{path}: found {what} {name_some(names)}, expected names that say who is the user and who "
        f"the model; {_how((n for n, p in parties.items() if p is None), parties.values())}"
    )


def _refuse_channels_from_one(path: Path, what: str, names: Sequence[str], whose: Whose) -> None:
    """Channels 1 and 2 of audio that has 0 and 1 are counted from 1, or of another file."""
    plain = [name.strip().casefold() for name in names]
    channels = [m for name in plain if name not in whose.names and (m := _CHANNEL.fullmatch(name))]
    numbers = {int(match[1]) for match in channels}
    if whose.channels and numbers and 0 not in numbers:
        last = max(whose.channels.values())
        if max(numbers) > last:
            raise TranscriptError(
                f"{path}: found {what} {name_some(names)}, where the parties are on channels up to "
                f"{last}, counted from 0; {_how(names)}"
            )


def require_labels(path: Path, n_entries: int, whose: Whose, what: str) -> None:
    """Refuse a file that is given for both parties and does not say who speaks.

    Raises
    ------
    TranscriptError
    """
    if whose.shared and n_entries:
        raise TranscriptError(
            f"{path}: is given for both user and model, but {what} whose its entries are "
            f"({n_entries} were read); give each party a file of its own, or one whose labels say "
            "who speaks"
        )


def split_prefixes(texts: Sequence[str], whose: Whose) -> tuple[list[str], list[str]] | None:
    """Names before a colon at the start of each text (``Agent: hello``), and the rest.

    Returns
    -------
    (labels, texts) or None
        None where not every text has such a name, and none of the names is a party's. A text
        without a name among those of parties has the label "".
    """
    matches = [_PREFIX.match(text) for text in texts]
    named = [match[1].strip() for match in matches if match]
    parties = any(whose.party_of(name) for name in named)
    if not named or not (parties or len(named) == len(texts)):
        return None
    labels = [match[1].strip() if match else "" for match in matches]
    return labels, [t[m.end() :] if m else t for t, m in zip(texts, matches, strict=True)]


def _how(names: Iterable[str], named: Collection[str | None] = ()) -> str:
    """What to state; ``named`` parties have labels already."""
    shown = [name.strip() or "LABEL" for name in list(names)[:3]]
    order = sorted((*SPEAKERS, NOBODY), key=lambda party: party in named)
    pairs = list(zip(shown, order, strict=False))
    listed = ",".join(f"{name}={party}" for name, party in pairs)
    entry = ", ".join(f'"{name}": "{party}"' for name, party in pairs)
    return (
        f'say who is who, for example --speakers "{listed}", or in the manifest "speakers": '
        f"{{{entry}}}"
    )
