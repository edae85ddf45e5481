"""The judge's questions, recording by recording and word by word: slow and obvious."""

from collections.abc import Callable
from typing import Any, NamedTuple

from flexi_score.config import Settings
from flexi_score.metrics import profile_metrics, score_structure
from flexi_score.metrics.registry import FOLLOWERS, PENDING
from flexi_score.segment.tracks import Tracks
from flexi_score.segment.types import USER, Structure

NEVER = float("inf")
OPTIONAL = ("context", "query", "said_after")

Test = Callable[[float, float], bool]


class Word(NamedTuple):
    start: float  # of its IPU under profile paper
    end: float
    text: str
    own_end: int


def questions_by_hand(structure: Structure, settings: Settings) -> dict[tuple[str, str], Any]:
    """Questions by recording and metric."""
    scores = score_structure(structure, settings, {}).to_dicts()
    found = {}
    for number, row in enumerate(structure.tracks.recordings.to_dicts()):
        one = _One(structure, number, row, paper=settings.profile == "paper")
        wanted = one.reference(settings)
        for score in scores:
            waits = score["status"] == PENDING and score["metric"] not in FOLLOWERS
            if score["recording"] == row["recording"] and waits:
                wanted[score["metric"].replace("judged_respond", "behaviour")] = one.question(score)
        for metric, question in wanted.items():
            if all(text for name, text in question.items() if name not in OPTIONAL):
                blank = {name: "" for name in question if question[name] is None}
                found[row["recording"], metric] = question | blank
    return found


class _One:
    """One recording; times in its own milliseconds."""

    def __init__(self, structure: Structure, number: int, row: dict[str, Any], paper: bool) -> None:
        self.row, self.paper = row, paper
        zero = int(structure.origin[number])
        tracks: Tracks = structure.tracks
        self.said: dict[str, list[Word] | None] = {}
        sides = (
            ("user", structure.user, tracks.user_words),
            ("model", structure.model, tracks.model_words),
        )
        for name, side, words in sides:
            mine = []
            for k in range(len(words.rec)):
                start, end = float(words.start_ms[k]), float(words.end_ms[k])
                ipu = int(side.ipu_word[k])
                if words.rec[k] != number or (paper and ipu < 0):
                    continue
                if paper:
                    start, end = side.ipus.start[ipu] - zero, side.ipus.end[ipu] - zero
                mine.append(Word(start, end, words.text[k], int(words.end_ms[k])))
            self.said[name] = mine if words.known[number] else None
        spans, turns = structure.turns.spans, structure.turns
        self.turns = [
            (int(spans.start[k]) - zero, int(spans.end[k]) - zero, bool(turns.took_floor[k]))
            for k in range(len(spans))
            if spans.rec[k] == number and turns.speaker[k] == USER
        ]
        ipus = structure.model.ipus
        self.model_starts = [
            int(ipus.start[k]) - zero for k in range(len(ipus)) if ipus.rec[k] == number
        ]

    def text(self, side: str, test: Test) -> str | None:
        words = self.said[side]
        if words is None:
            return None
        return " ".join(word.text for word in words if test(word.start, word.end))

    def user(self, names: tuple[str, ...], test: Test) -> str | None:
        given = [self.row[f"text_{name}"] for name in names if self.row[f"text_{name}"]]
        return given[0] if given else self.text("user", test)

    def user_floor(self, after: float) -> float:
        starts = [start for start, _, took in self.turns if took and start > after]
        return min(starts, default=NEVER)

    def reference(self, settings: Settings) -> dict[str, Any]:
        scored = any(metric.name == "jsd" for metric in profile_metrics(settings.profile))
        if self.row["scenario"] != "model_backchannel" or not scored:
            return {}
        if self.row["reference_backchannels_ms"]:
            return {}
        words = self.said["user"] or []
        ends = [[word.text, word.own_end / 1000] for word in words if word.own_end > 0]
        return {"reference_backchannels": {"words": ends}}

    def question(self, score: dict[str, Any]) -> dict[str, Any]:
        return {
            "eds": self.eds,
            "coherence": self.coherence,
            "tss": self.answer,
            "rating": self.answer,
            "judged_respond": self.behaviour,
        }[score["metric"]](score)

    def eds(self, score: dict[str, Any]) -> dict[str, Any]:
        return {
            "statement": self.user(("statement", "query"), lambda start, end: True),
            "response": self.text("model", lambda start, end: True),
        }

    def coherence(self, score: dict[str, Any]) -> dict[str, Any]:
        said, cut, until = score["reference_ms"], score["decided_ms"], NEVER
        if self.paper:
            again = min((start for start in self.model_starts if start > cut), default=NEVER)
            until = self.user_floor(again)
        return {
            "query": self.user(("query", "context"), lambda start, end: end <= said),
            "before": self.text("model", lambda start, end: start < cut),
            "after": self.text("model", lambda start, end: cut <= start < until),
        }

    def behaviour(self, score: dict[str, Any]) -> dict[str, Any]:
        s, e = score["reference_ms"], self.row["interrupt_end_ms"]
        if e is None:
            e = self.row["backchannels"][0]["end_ms"]
        return {
            "query": self.user(("context", "query"), lambda start, end: end <= s),
            "said_before": self.text("model", lambda start, end: start < s),
            "overlap": self.user(("interrupt",), lambda start, end: start < e and end > s),
            "said_after": self.text("model", lambda start, end: start >= s),
        }

    def answer(self, score: dict[str, Any]) -> dict[str, Any]:
        s, e = self.row["interrupt_start_ms"], self.row["interrupt_end_ms"]
        if self.paper and s is None:
            s = score["reference_ms"]
            e = next(end for start, end, _ in self.turns if start == s)
        response: Test = lambda start, end: True  # noqa: E731
        if score["metric"] == "tss" and self.paper:
            answer = score["decided_ms"]
            until = self.user_floor(answer)
            response = lambda start, end: answer <= start < until  # noqa: E731
        elif score["metric"] == "tss":
            response = lambda start, end: start >= e + 150  # noqa: E731
        known = s is not None
        return {
            "context": self.user(("context", "query"), lambda start, end: known and end <= s),
            "interrupt": self.user(
                ("interrupt",), lambda start, end: known and start < e and end > s
            ),
            "response": self.text("model", response),
        }
