"""Settings of the judge."""

from typing import Literal

from flexi_score.config.fields import Group, choice


class JudgeSettings(Group):
    """What timing cannot tell."""

    mode: Literal["none", "replay"] = choice(
        "none", "none, or replay: ratings that came with the recordings", "flexi_score"
    )
