"""Entries that are no speech: labels of silence and noise, and what recognisers invent on silence.

Three kinds of label: marks that never are words (``sil``, ``<p:>``); what stands in brackets and
names a sound (``[BLANK_AUDIO]``, ``(music)``, ``♪``); and words that are labels only where a file
has a handful of different ones (``silent``/``sounding``, ``S``/``x``, ``0``/``1``).
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flexi_score.errors import TranscriptError


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


#: Silence by name in other languages: whole labels, and in brackets.
_SILENCES: Final = _set(
    "stille silencio silenzio silêncio silencieux stilte pausa тишина пауза "
    "沉默 静音 靜音 無音 무음 침묵"
)
#: Praat, MFA, Kaldi, HTK, TIMIT, WebMAUS, Buckeye, Sphinx.
_MARKS: Final = _set(
    "sil sp ssil pau h# epi <sil> <sp> <ssil> <eps> <p> <p:> <pause> <silence> <silent> <nsp> # "
    "%sil !sil {sl} <nib>"
)
_SOUNDS: Final = _SILENCES | _set(
    "blank blank_audio silence silent sil pause music musical noise noises vocalized-noise "
    "applause laughter laughs laughing laugh chuckles breath breathing breathes inhale inhales "
    "exhale exhales cough coughs coughing sigh sighs sighing sniff sniffs click clicks clicking "
    "beep beeping ringing ring tone static hum typing keyboard nospeech sound sounds audio "
    "background chirping footsteps sp speechless non-speech nonspeech throat hold dtmf musik "
    "musique música musica muziek applaus applaudissements aplausos applausi lachen "
    "gelächter rires risas risos risate музыка аплодисменты смех "
    "音楽 音乐 音樂 음악 拍手 掌声 박수 笑 笑い 笑声 웃음 "
    "geräusch rauschen bruit ruido ruído rumore шум"
)
#: In brackets, but somebody speaks.
_SPOKEN: Final = _set(
    "inaudible unintelligible indiscernible crosstalk unk unknown overlap overlapping foreign "
    "speaking speaks speech singing sings voice voices talking whispers whispering"
)
_BRACKETS: Final = re.compile(r"[\[(<{*（［【]+\s*(.*?)\s*[\])>}*）］】]+[.,!?]?", re.DOTALL)
#: A pause and its length in seconds (Jefferson).
_TIMED_PAUSE: Final = re.compile(r"\(\s*\d*[.,]\d+\s*\)")
_NOTES: Final = re.compile(r"[♪♫♬🎵🎶\s]*[♪♫♬🎵🎶].*", re.DOTALL)
#: Labels of segmentation, where a file has few different labels.
_SILENT_LABELS: Final = _SILENCES | _set(
    "silent silence pause noise music nonspeech non-speech non_speech nospeech no-speech "
    "no_speech ns nsp"
)
#: Labels of which one may stand for silence, beside the others.
_ONE_LETTER: Final = frozenset("01ns")
_FEW: Final = 4
#: Text of training data that recognisers write where nobody speaks (Koenecke et al. 2024, "Careless
#: Whisper"; openai/whisper discussions 928 and 1606). Nobody says these on a call.
_INVENTED: Final = re.compile(
    r"(thanks|thank you)( so much| very much)? for watching( this video)?( and .*)?"
    r"|(please )?(like and )?subscribe( to (my|our|the) channel)?( for more.*)?"
    r"|(subtitles?|captions?|transcription|transcribed|sottotitoli|untertitel|sous-titres|subtítulos|"
    r"legendas|ondertitels?|napisy|субтитры)\b.*(amara|zdf|community|www\.|\.org|\.com|swr|funk|qtss).*"
    r"|see you (in the )?next (video|time)( bye)?|ご視聴ありがとうございました|字幕.*(志愿者|組)?"
    r"|请不吝点赞.*|продолжение следует",
    re.IGNORECASE,
)


def are_speech(path: Path, texts: Sequence[str | None], *, labels: bool = True) -> list[bool]:
    """Which entries of a file are speech, by their texts; those without a text are.

    Parameters
    ----------
    path : Path
        For messages.
    texts : sequence of str or None
    labels : bool
        Whether texts may be labels of a segmentation; else they are words.

    Raises
    ------
    TranscriptError
        Where every label is ``S``, which stands for speech in some programs and for silence in
        others.

    Examples
    --------
    >>> from pathlib import Path
    >>> are_speech(Path("a.txt"), ["sil", "hello", "[Music]", "silence"])
    [False, True, False, False]
    >>> are_speech(Path("a.txt"), ["we", "need", "some", "silence", "now"])
    [True, True, True, True, True]
    """
    plain = [None if text is None else " ".join(text.split()).casefold() for text in texts]
    different = {text for text in plain if text}
    silent: set[str] = set()
    if labels and 0 < len(different) <= _FEW:
        silent = different & _SILENT_LABELS
        if different == {"0", "1"}:
            silent = {"0"}
        if different == {"n", "s"} or ("s" in different and silent):
            silent |= different & {"n"}
        elif "s" in different and len(different) > 1:
            silent |= {"s"}
        elif different == {"s"}:
            raise TranscriptError(
                f"{path}: every label is 'S', which may mean speech or silence; relabel the "
                "stretches of speech, and remove those of silence"
            )
    return [text is None or not (text in silent or _is_sound(text)) for text in plain]


def as_word(text: str) -> str:
    """A text as it is exported: with a backslash in front of what else were a mark of no speech.

    Examples
    --------
    >>> [as_word(text) for text in ("pause", "yes", "#")]
    ['\\\\pause', 'yes', '\\\\#']
    """
    return "\\" + text.strip() if _may_be_mark(text) else text


def from_word(text: str) -> str:
    """The text of which :func:`as_word` made this one."""
    return text[1:] if text.startswith("\\") and _may_be_mark(text) else text


def _may_be_mark(text: str) -> bool:
    plain = " ".join(text.split()).casefold().lstrip("\\")
    return plain in _SILENT_LABELS | _ONE_LETTER or _is_sound(plain)


def _is_sound(text: str) -> bool:
    if text in _MARKS or _NOTES.fullmatch(text) or _TIMED_PAUSE.fullmatch(text):
        return True
    inner = _BRACKETS.fullmatch(text)
    if inner:
        said = inner[1].replace("no speech", "nospeech")
        tokens = set(re.split(r"[^\w-]+|(?<=[a-z])_(?=[a-z])", said)) - {"", None}
        if not tokens:  # empty parentheses: speech that nobody understood (LDC, Jefferson)
            return bool(said) or not text.startswith("(")
        return bool(tokens & _SOUNDS) and not tokens & _SPOKEN
    return _INVENTED.fullmatch(text.strip(" .!?。！…")) is not None
