"""The one exception tree.

::

    FlexiScoreError
    ├── PrerequisiteError     a package or model file that the work needs is missing   (exit 2)
    ├── SettingsError         an unknown setting, or a value it cannot take            (exit 2)
    ├── InputError            the input as a whole cannot be used                      (exit 2)
    │   └── ManifestError     a manifest that cannot be read at all
    ├── RecordingError        one recording cannot be used; the run goes on            (exit 1)
    │   ├── RowError          its manifest row
    │   ├── AudioError        its audio
    │   ├── TranscriptError   its transcript or segment file
    │   └── ReplyError        what the judge replied about it; costs that rating alone
    ├── ArchiveError          an archive that is damaged or of another version         (exit 2)
    └── OutputError           results cannot be written                                (exit 2)

A message names the file, the row or key, what was found, what was expected, and what to do.
"""


class FlexiScoreError(Exception):
    """Anything flexi_score raises on purpose; the message is meant for the user."""


class PrerequisiteError(FlexiScoreError):
    """A package or model file that the requested work needs is not installed."""


class SettingsError(FlexiScoreError):
    """An unknown setting, or a value that the setting cannot take."""


class InputError(FlexiScoreError):
    """The input as a whole cannot be used."""


class ManifestError(InputError):
    """A manifest that cannot be read at all (a bad row is a :class:`RowError`)."""


class RecordingError(FlexiScoreError):
    """One recording cannot be used. It costs that recording, never the run."""


class RowError(RecordingError):
    """A manifest row that breaks the contract."""


class AudioError(RecordingError):
    """Audio that is missing, unreadable, truncated, or not what its manifest row says."""


class TranscriptError(RecordingError):
    """A transcript or segment file that is missing or malformed."""


class ReplyError(RecordingError):
    """A judge's reply that breaks the rubric. It costs that rating alone."""


class ArchiveError(FlexiScoreError):
    """An archive that is damaged, or was written by an incompatible version."""


class OutputError(FlexiScoreError):
    """Results cannot be written where they were asked for."""
