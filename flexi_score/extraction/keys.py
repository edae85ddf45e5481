"""Keys of what a recording has in the archive: hashes of everything that it depends on.

A key holds what an artefact was made from, the version of the algorithm that made it, and every
setting that the algorithm used, those at their defaults too. So an archive from before a change is
never taken for one from after it: what changed is extracted again.
"""

from collections.abc import Mapping
from typing import Any, Final

from flexi_score.archive.store import content_key
from flexi_score.audio.decode import content_hash
from flexi_score.capture.audio_measures import HEALTH_VERSION
from flexi_score.config import ExtractSettings, IpuSettings, SpeechSettings
from flexi_score.extraction.extractor import Extractor
from flexi_score.formats.whose import Whose
from flexi_score.schema import SPEAKERS, Row, Speaker
from flexi_score.speech.crosstalk import CROSSTALK_VERSION
from flexi_score.speech.detect import BOUNDARIES_VERSION
from flexi_score.version import package_version

#: Version of decoding, levels, normalisation and speech probabilities. Raise it with every change
#: that may move a stored number.
CHANNELS_VERSION: Final = 4
#: Likewise, of estimating two speakers from one channel.
MONO_VERSION: Final = 4
#: Likewise, of choosing the speech that is recognised.
WORDS_VERSION: Final = 4
#: Likewise, of the readers of transcripts and segment files, within a release.
GIVEN_VERSION: Final = 2


def algorithm_versions() -> list[str | int]:
    """Versions of all that extraction does: a failed attempt is repeated under others."""
    versions = CHANNELS_VERSION, MONO_VERSION, WORDS_VERSION, GIVEN_VERSION, HEALTH_VERSION
    return [package_version(), *versions, CROSSTALK_VERSION, BOUNDARIES_VERSION]


def hash_of(path: str, hashes: dict[str, str]) -> str:
    """SHA-256 of a file, read once: ``hashes`` remembers it by its path."""
    if path not in hashes:
        hashes[path] = content_hash(path)
    return hashes[path]


def level_settings(settings: ExtractSettings) -> dict[str, Any]:
    """The settings that shape the levels of a channel before detection."""
    return settings.model_dump(include={"normalize"})


def channel_key(row: Row, speaker: Speaker, extractor: Extractor, hashes: dict[str, str]) -> str:
    """Key of a channel, and of its frames."""
    path = row["audio"] or row[f"{speaker}_audio"]
    channel = row[f"{speaker}_channel"] if row["audio"] else 0
    return content_key(
        "channel",
        CHANNELS_VERSION,
        hash_of(path, hashes),
        row.get("raw_audio") or "",
        channel or 0,
        extractor.detector.version,
        extractor.detector.sha256,
        level_settings(extractor.settings),
    )


def mono_key(file_hash: str, speaker: Speaker, extractor: Extractor) -> str:
    """Key of a channel that is estimated from a one-channel file."""
    return content_key(
        "mono",
        MONO_VERSION,
        file_hash,
        speaker,
        extractor.diarizer.version,
        extractor.diarizer.sha256,
        extractor.settings.mono_roles,
        level_settings(extractor.settings),
    )


def offsets_ms(row: Row) -> dict[Speaker, int]:
    """When each channel starts on the recording's axis."""
    return {s: row[f"{s}_offset_ms"] or 0 for s in SPEAKERS}


def crosstalk_keys(row: Row, keys: Mapping[Speaker, str]) -> dict[Speaker, str]:
    """Keys of the crosstalk in each channel, and of the frames without it."""
    at = offsets_ms(row)
    user, model = SPEAKERS
    return {
        own: content_key(
            "crosstalk", CROSSTALK_VERSION, keys[own], keys[other], at[other] - at[own]
        )
        for own, other in ((user, model), (model, user))
    }


def health_key(row: Row, keys: Mapping[Speaker, str]) -> str:
    """Key of the measurements of a pair of channels."""
    paired = row["audio"] is None
    return content_key("health", HEALTH_VERSION, keys["user"], keys["model"], paired)


def words_key(row: Row, speaker: Speaker, heard_key: str, extractor: Extractor) -> str | None:
    """Key of the words recognised in the frames of ``heard_key``; None where none are to be."""
    if row[f"{speaker}_words"] is not None or extractor.recognizer is None:
        return None
    return content_key(
        "words",
        WORDS_VERSION,
        heard_key,
        extractor.recognizer_id,
        BOUNDARIES_VERSION,
        SpeechSettings().model_dump(),
        IpuSettings().model_dump(),
    )


def given_key(kind: str, file_hash: str, whose: Whose, has_audio: bool) -> str:
    """Key of a transcript or segment file; a new release reads the file again."""
    return content_key(
        kind, package_version(), GIVEN_VERSION, {"whose": whose._asdict()}, has_audio, file_hash
    )
