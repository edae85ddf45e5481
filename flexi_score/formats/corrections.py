"""Annotations in a TextGrid or ELAN file that was exported and corrected: they replace a row's own.

An exported file has a tier ``annotations`` with an entry for each annotation of the manifest, named
after its key. Where somebody moved, added or removed one there, the file is the later word.
"""

from pathlib import Path
from typing import Any, Final

from flexi_score.errors import RowError, TranscriptError
from flexi_score.formats.eaf import read_eaf_tiers
from flexi_score.formats.files import brief
from flexi_score.formats.lanes import Tier, is_lane
from flexi_score.formats.textgrid import read_tiers
from flexi_score.schema import SPEAKERS

_READERS: Final = {".textgrid": read_tiers, ".eaf": read_eaf_tiers}
_LANE: Final = "annotations"
_NAMES: Final = ("user_turn_end", "pause", "interrupt", "backchannel", "reference_backchannel")
#: A turn ends where speech does, to within this.
_NEAR_MS: Final = 300

_Spans = dict[str, list[tuple[int, int]]]


def correct_annotations(row: dict[str, Any]) -> list[str]:
    """Put annotations of the row's segment files in place of its own.

    Parameters
    ----------
    row : dict
        Of :data:`flexi_score.schema.RECORDINGS`; changed in place.

    Returns
    -------
    list of str
        What differed, to be told.

    Raises
    ------
    RowError
        For an annotation that has no key, or one that is given twice.
    """
    notes: list[str] = []
    paths = {row[f"{s}_{kind}"] for s in SPEAKERS for kind in ("speech", "words")} - {None}
    for path in sorted(paths):
        reader = _READERS.get(Path(path).suffix.lower())
        if reader is None or not Path(path).is_file():
            continue
        try:
            tiers = reader(Path(path))
        except TranscriptError:
            continue  # extraction refuses the recording for it
        if path == row["user_speech"]:
            notes += _beside_speech(path, tiers, row["user_turn_end_ms"])
        annotations = _annotations(path, tiers)
        if annotations is None:
            continue
        for name, value in _columns(path, annotations).items():
            if value != (None if row[name] == [] else row[name]):
                notes.append(
                    f"{path}: its tier {_LANE!r} has {name} {_shown(value)} where the manifest has "
                    f"{_shown(row[name])}; the file's is used"
                )
                row[name] = value
    return notes


def _annotations(path: str, tiers: list[Tier]) -> _Spans | None:
    own = [tier for tier in tiers if is_lane(tier.name, _LANE)]
    if not own:
        return None
    by_name: _Spans = {name: [] for name in _NAMES}
    for tier in own:
        for start, end, text, *_ in tier.entries:
            name = (text or "").strip()
            if name not in by_name:
                raise RowError(
                    f"{path}: tier {tier.name!r} has {brief(name)} at {start / 1000} s, expected "
                    f"one of {', '.join(_NAMES)}"
                )
            by_name[name].append((start, end))
    return {name: sorted(spans) for name, spans in by_name.items()}


def _columns(path: str, spans: _Spans) -> dict[str, Any]:
    """Columns of a row by what a tier holds; null where it holds none."""
    for name in ("user_turn_end", "pause", "interrupt"):
        if len(spans[name]) > 1:
            raise RowError(
                f"{path}: its tier {_LANE!r} has {len(spans[name])} entries {name!r}, expected one"
            )
    columns: dict[str, Any] = {
        "user_turn_end_ms": spans["user_turn_end"][0][0] if spans["user_turn_end"] else None,
        "backchannels": [{"start_ms": a, "end_ms": b} for a, b in spans["backchannel"]] or None,
        "reference_backchannels_ms": [a for a, _ in spans["reference_backchannel"]] or None,
    }
    for name in ("pause", "interrupt"):
        start, end = spans[name][0] if spans[name] else (None, None)
        columns |= {f"{name}_start_ms": start, f"{name}_end_ms": end}
    return columns


def _beside_speech(path: str, tiers: list[Tier], turn_end_ms: int | None) -> list[str]:
    """Whether no speech of the user's tier ends where the manifest says that the turn does."""
    ends = [e.end_ms for t in tiers if is_lane(t.name, "user") for e in t.entries]
    if turn_end_ms is None or not ends:
        return []
    nearest = min(ends, key=lambda end: abs(end - turn_end_ms))
    if abs(nearest - turn_end_ms) <= _NEAR_MS:
        return []
    return [
        f"{path}: the manifest's user_turn_end is at {turn_end_ms / 1000} s, where no speech of "
        f"the user ends (nearest at {nearest / 1000} s); correct the one that is wrong"
    ]


def _shown(value: Any) -> str:
    return "none" if value is None or value == [] else brief(value)
