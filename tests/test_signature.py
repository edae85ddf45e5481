"""The signature: short, and another one whenever a choice that can change a number is another."""

import pytest

from flexi_score.config import flatten, load_settings, setting_names, signature
from flexi_score.config.judge import ANSWER_SETTINGS
from flexi_score.errors import SettingsError

FACTS = {
    "version": "0.2.0",
    "vad": "silero-6.2.3",
    "boundaries": "boundaries-3",
    "asr": "tiny.en@8adbcaad8f9e,en,beam1,int8,faster-whisper-1.2.1,packing-3",
}


def test_it_names_what_stands_behind_a_number_in_one_short_line() -> None:
    line = signature(load_settings("paper", {"ipu.min_silence_ms": 180}), FACTS)
    parts = line.split(" | ")
    assert parts[:-1] == [
        "flexi_score 0.2.0",
        "paper",
        "silero-6.2.3 boundaries-3",
        "tiny.en",
        "ipu.min_silence_ms=180",
    ]
    assert parts[-1].startswith("#")
    assert len(parts[-1]) == 9


def test_every_fact_is_in_the_hash() -> None:
    settings = load_settings()
    lines = {signature(settings, FACTS)}
    lines |= {signature(settings, FACTS | {name: value + "x"}) for name, value in FACTS.items()}
    assert len(lines) == len(FACTS) + 1


def test_every_setting_that_can_change_a_number_changes_it() -> None:
    """Of numbers and switches; a warning, and a judge that is not asked, change none."""
    settings = load_settings()
    usual = signature(settings, {})
    tried = 0
    for name in setting_names():
        value = flatten(settings)[name]
        if isinstance(value, bool):
            others: list[object] = [not value]
        elif isinstance(value, int | float):
            others = [type(value)(value + 1), value / 2, -0.5 + value]
        else:
            continue
        for other in others:  # the first that is in range
            try:
                changed = signature(load_settings("paper", {name: other}), {})
            except SettingsError:
                continue
            break
        else:
            continue
        free = name.endswith(".warn") or name.startswith("judge.")
        assert (changed == usual) == free, name
        assert free or f"{name}=" in changed
        tried += 1
    assert tried > 50


@pytest.mark.parametrize("name", ["temperature", "seed", "repeats", "max_tokens"])
def test_a_judge_that_is_asked_counts(name: str) -> None:
    assert name in ANSWER_SETTINGS
    asked = load_settings("paper", {"judge.mode": "openai"})
    value = flatten(asked)[f"judge.{name}"]
    other = load_settings("paper", {"judge.mode": "openai", f"judge.{name}": value + 1})
    assert signature(asked, {}) != signature(other, {})
    assert asked.judge.model in signature(asked, {})
