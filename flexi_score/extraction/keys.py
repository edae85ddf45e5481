"""Keys of what a recording has in the archive: hashes of everything that it depends on."""

from collections.abc import Mapping
from typing import Any

from flexi_score.archive import store, tables
from flexi_score.audio.decode import content_hash
from flexi_score.extraction.extractor import Extractor
from flexi_score.schema import SPEAKERS, Speaker

Row = Mapping[str, Any]


def hash_of(path: str, hashes: dict[str, str]) -> str:
    """SHA-256 of a file, read once: ``hashes`` remembers it by its path."""
    if path not in hashes:
        hashes[path] = content_hash(path)
    return hashes[path]


def channel_key(row: Row, speaker: Speaker, extractor: Extractor, hashes: dict[str, str]) -> str:
    path = row["audio"] or row[f"{speaker}_audio"]
    channel = row[f"{speaker}_channel"] if row["audio"] else 0
    s = extractor.settings
    shape = [s.normalize, s.target_level_dbfs, s.max_gain_db, s.silence_dbfs]
    return store.content_key(
        "channel", 1, hash_of(path, hashes), channel or 0, extractor.detector.sha256, *shape
    )


def offsets_ms(row: Row) -> dict[Speaker, int]:
    """When each channel starts on the recording's axis."""
    return {s: row[f"{s}_offset_ms"] or 0 for s in SPEAKERS}


def leak_keys(row: Row, keys: Mapping[Speaker, str]) -> dict[Speaker, str]:
    at = offsets_ms(row)
    user, model = SPEAKERS
    return {
        user: tables.leak_key(keys[user], keys[model], at[user], at[model]),
        model: tables.leak_key(keys[model], keys[user], at[model], at[user]),
    }


def words_key(row: Row, speaker: Speaker, leak_key: str, extractor: Extractor) -> str | None:
    if row[f"{speaker}_words"] is not None or extractor.recognizer is None:
        return None
    # Words are heard without the leak, so they depend on the other channel.
    return store.content_key("words", 2, leak_key, extractor.recognizer_id)
