"""Keys of artefacts: another one whenever anything that an artefact depends on is another."""

from types import SimpleNamespace
from typing import Any

import pytest

from flexi_score.config import ExtractSettings, SpeechSettings
from flexi_score.extraction import keys
from flexi_score.extraction.extractor import Extractor
from flexi_score.formats.whose import Whose
from flexi_score.schema import RECORDINGS
from flexi_score.speech import archived

HASHES = {"a.wav": "aa", "u.wav": "uu", "m.wav": "mm"}
LEVELS: dict[str, Any] = {"normalize": False}


def row(**changes: Any) -> dict[str, Any]:
    usual = {"audio": "a.wav", "user_channel": 0, "model_channel": 1}
    return dict.fromkeys(RECORDINGS.names()) | usual | changes


def extractor(recognizer: str = "tiny.en@1a,en,beam1", **settings: Any) -> Extractor:
    """Loaded models, as far as keys look at them."""
    model = SimpleNamespace(version="silero-6.2.3", sha256="5e")
    diarizer = SimpleNamespace(version="packaged", sha256="d1")
    return Extractor(ExtractSettings(**settings), model, SimpleNamespace(), recognizer, diarizer)


def channel(changed: Extractor | None = None, speaker: Any = "user", **changes: Any) -> str:
    return keys.channel_key(row(**changes), speaker, changed or extractor(), dict(HASHES))


def test_a_channel_depends_on_its_audio_the_detector_and_the_levels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = {channel(), channel(speaker="model"), channel(audio=None, user_audio="u.wav")}
    found.add(channel(raw_audio="ulaw:8000:2"))
    found |= {channel(extractor(**{name: value})) for name, value in LEVELS.items()}
    for name in ("version", "sha256"):
        other = extractor()
        setattr(other.detector, name, "other")
        found.add(channel(other))
    monkeypatch.setattr(keys, "CHANNELS_VERSION", -1)
    found.add(channel())
    assert len(found) == 4 + len(LEVELS) + 2 + 1
    monkeypatch.undo()
    assert channel(extractor(asr="none", beam_size=5)) == channel()
    assert channel(id="other", system="other") == channel()
    assert channel(extractor(normalize=True)) == channel()  # the default, spelled out


def test_every_setting_that_shapes_levels_is_in_the_key() -> None:
    named = set(keys.level_settings(ExtractSettings()))
    assert named == set(LEVELS)


def test_crosstalk_depends_on_both_channels_and_when_they_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found(model: str = "m", **offsets: int) -> tuple[str, ...]:
        both = keys.crosstalk_keys(row(**offsets), {"user": "u", "model": model})
        return tuple(both.values())

    usual = found()
    assert usual[0] != usual[1]
    assert set(found("other")).isdisjoint(usual)
    assert set(found(model_offset_ms=10)).isdisjoint(usual)
    assert found(user_offset_ms=10, model_offset_ms=10) == usual  # both later: the same beside
    monkeypatch.setattr(keys, "CROSSTALK_VERSION", -1)
    assert set(found()).isdisjoint(usual)


def test_health_depends_on_both_channels_and_whether_they_are_two_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair = {"user": "u", "model": "m"}
    usual = keys.health_key(row(), pair)
    assert keys.health_key(row(audio=None), pair) != usual
    assert keys.health_key(row(), {"user": "m", "model": "u"}) != usual
    monkeypatch.setattr(keys, "HEALTH_VERSION", -1)
    assert keys.health_key(row(), pair) != usual


def test_words_depend_on_what_is_heard_by_whom_and_how_it_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found(heard: str = "c", recognizer: str = "tiny.en@1a,en,beam1", **given: Any) -> Any:
        return keys.words_key(row(**given), "user", heard, extractor(recognizer))

    usual = found()
    seen = {usual, found("d"), found(recognizer="tiny.en@1a,en,beam5")}
    for name in ("WORDS_VERSION", "BOUNDARIES_VERSION"):
        with monkeypatch.context() as patch:
            patch.setattr(keys, name, -1)
            seen.add(found())
    assert len(seen) == 5
    assert found(user_words="w.json") is None


def test_a_voice_of_one_channel_depends_on_the_diarizer_and_the_rule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found(changed: Extractor | None = None, speaker: Any = "user") -> str:
        return keys.mono_key("aa", speaker, changed or extractor())

    seen = {found(), found(speaker="model"), found(extractor(mono_roles="longest_is_model"))}
    seen |= {found(extractor(**{name: value})) for name, value in LEVELS.items()}
    monkeypatch.setattr(keys, "MONO_VERSION", -1)
    assert len(seen | {found()}) == 4 + len(LEVELS)


def test_a_given_file_is_read_again_by_another_release(monkeypatch: pytest.MonkeyPatch) -> None:
    user = Whose("user")
    usual = keys.given_key("words", "aa", user, True)
    assert keys.given_key("segments", "aa", user, True) != usual
    assert keys.given_key("words", "bb", user, True) != usual
    assert keys.given_key("words", "aa", Whose("model"), True) != usual
    assert keys.given_key("words", "aa", user, False) != usual
    monkeypatch.setattr(keys, "package_version", lambda: "another")
    assert keys.given_key("words", "aa", user, True) != usual


def test_speech_depends_on_every_setting_and_the_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = SpeechSettings()
    seen = {archived.speech_version(usual)}
    for name, value in usual.model_dump().items():
        if isinstance(value, bool | int | float):
            other = not value if isinstance(value, bool) else value + 1
            changed = usual.model_copy(update={name: other})
            seen.add(archived.speech_version(changed))
        else:
            seen.add(archived.speech_version(usual.model_copy(update={name: "other"})))
    assert len(seen) == len(SpeechSettings.model_fields) + 1
    monkeypatch.setattr(archived, "BOUNDARIES_VERSION", -1)
    assert archived.speech_version(usual) not in seen
