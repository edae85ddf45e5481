"""Every number and choice that changes a result, as one typed, immutable object.

A setting is named ``group.name``, with its unit in the name where it has one. The same names
work in :func:`load_settings`, in ``--set group.name=value`` and in a profile file. Settings
under ``extract`` need the audio to take effect; every other one can be changed on an archive.
"""

from flexi_score.config.detection import ExtractSettings, SpeechSettings
from flexi_score.config.health import HealthSettings
from flexi_score.config.judge import JudgeSettings
from flexi_score.config.scoring import ConversationSettings, IpuSettings
from flexi_score.config.settings import (
    PROFILES,
    Settings,
    flatten,
    hint,
    load_settings,
    parse_assignments,
    setting_names,
    signature,
    unknown_name,
)
from flexi_score.config.summary import SummarySettings

__all__ = [
    "PROFILES",
    "ConversationSettings",
    "ExtractSettings",
    "HealthSettings",
    "IpuSettings",
    "JudgeSettings",
    "Settings",
    "SpeechSettings",
    "SummarySettings",
    "flatten",
    "hint",
    "load_settings",
    "parse_assignments",
    "setting_names",
    "signature",
    "unknown_name",
]
