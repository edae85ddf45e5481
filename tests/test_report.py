"""Tables, terminal, Markdown and HTML of a run, and its files: also on hostile and empty runs."""

import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile as sf
from factories import make_run
from hypothesis import given, settings
from hypothesis import strategies as st
from made_archives import make_archive
from polars.testing import assert_frame_equal
from rich.console import Console

import flexi_score
from flexi_score.aggregate import compare_systems, quantiles
from flexi_score.cli import main
from flexi_score.errors import InputError, OutputError
from flexi_score.metrics.registry import Metric
from flexi_score.output import make_folder, write_whole
from flexi_score.report import (
    paper_tables,
    print_comparison,
    print_summary,
    render_html,
    summary_md,
    write_run,
)
from flexi_score.report.archived import encode_envelope
from flexi_score.report.build import build_report
from flexi_score.report.sound import embed_audio, link_audio
from flexi_score.report.tables import DASH, FEW, details_table, metric_finder, plain
from flexi_score.report.timeline import timelines
from flexi_score.schema import EVENTS, FAILURES, HEALTH, RATINGS, RECORDINGS, SCORES, SUMMARY
from flexi_score.scoring.engine import Work
from flexi_score.scoring.pipeline import score as run_score
from flexi_score.scoring.run import Run, find_archive

HOSTILE = "<script>alert(1)</script>|`x`\n\x1b[31m\u202e&amp;\"'"
FILES = {
    "scores.parquet",
    "events.parquet",
    "recordings.parquet",
    "failures.parquet",
    "statistics.parquet",
    "health.parquet",
    "ratings.parquet",
    "not_judged.parquet",
    "people.parquet",
    "summary.parquet",
    "summary.json",
    "summary.md",
    "report.html",
    "run.json",
}


def metric(scenario, name, label, aggregate="rate", direction="up", unit="", judged=False):
    return Metric("paper", scenario, name, label, unit, direction, aggregate, "d", "s", "n", judged)


METRICS = [
    metric("turn_taking", "tor", "TOR"),
    metric("turn_taking", "latency", "Latency", "mean", "down", "s"),
    metric("turn_taking", "floor_offset", "Floor offset", "mean", "none", "s"),
    metric("turn_taking", "jir", "JIR", "rate", "down"),
    metric("pause_handling", "tor", "TOR", "rate", "down"),
    metric("user_interrupt", "ttr", "TTR"),
    metric("user_interrupt", "stop_latency", "Latency", "mean", "down", "s"),
    metric("user_interrupt", "tss", "TSS", "mean", "up", "0-5", True),
    metric("model_interrupt", "tor", "TOR"),
    metric("model_interrupt", "eds", "EDS", "mean", "up", "0-5", True),
    metric("user_backchannel", "ttr", "TTR", "rate", "down"),
    metric("user_backchannel", "coherence", "Coh.", "mean", "up", "0-5", True),
    metric("model_backchannel", "tor", "TOR", "rate", "down"),
    metric("model_backchannel", "bcr", "BCR", "mean", "up", "1/s"),
    metric("model_backchannel", "backchannels", "Backchannels", "sum", "none"),
    metric("model_backchannel", "jsd", "JSD", "mean", "down"),
]


def score(recording, name, value, scenario="turn_taking", system="calm", **more):
    row = {"status": "scored", "reason": f"because {name}", "margin_s": 0.5, "source": "detected"}
    row |= {"recording": recording, "system": system, "scenario": scenario, "metric": name}
    return row | {"value": value} | more


def event(recording, speaker, kind, start_ms, end_ms, **more):
    row = {"recording": recording, "speaker": speaker, "kind": kind}
    return row | {"start_ms": start_ms, "end_ms": end_ms} | more


def failure(recording, reason="x.wav: not audio", system="calm", scenario="turn_taking"):
    row = {"recording": recording, "system": system, "scenario": scenario}
    return row | {"stage": "audio", "error": "AudioError", "reason": reason}


class Made:
    """A run, from partial rows."""

    def __init__(self, scores=(), events=(), failures=(), settings=None, **tables):
        scores = pl.DataFrame(list(scores), schema=SCORES)
        keys = scores.select("recording", "system", "scenario").unique(maintain_order=True)
        rows = [dict.fromkeys(RECORDINGS.names()) | row for row in keys.to_dicts()]
        self.run = make_run(
            scores,
            settings,
            {"signature": "profile:paper|a:1", "profile": "paper", "versions": {"x": "1"}},
            events=pl.DataFrame(list(events), schema=EVENTS),
            failures=pl.DataFrame(list(failures), schema=FAILURES),
            recordings=pl.DataFrame(rows, schema=RECORDINGS),
            **tables,
        )

    def __getattr__(self, name):
        return getattr(self.run, name)

    def with_tables(self, **tables):
        return Made.of(self.run.with_tables(**tables))

    @classmethod
    def of(cls, run):
        made = cls.__new__(cls)
        made.run = run
        return made

    def html(self, **more):
        return render_html(self.run, **more)

    def markdown(self, **more):
        return summary_md(self.run, **more)

    def terminal(self, width=100, **more):
        out = StringIO()
        console = Console(file=out, width=width)
        print_summary(console, self.summary, METRICS, self.failures, "profile:paper|a:1", **more)
        return out.getvalue()

    def write(self, out):
        return write_run(self.run, out)


def usual(n=12):
    """Two systems; turn_taking and model_backchannel, with one silent model and one failure."""
    scores, events = [], []
    for system, latency in (("calm", 0.7), ("eager", 0.2)):
        for i in range(n):
            name = f"{system}-{i}"
            at = {"reference_ms": 2000, "decided_ms": 2000 + int(1000 * latency)}
            scores += [
                score(name, "tor", 1.0, system=system, **at),
                score(name, "latency", latency + i / 100, system=system, margin_s=0.03, **at),
                score(name, "floor_offset", latency + i / 100, system=system, **at),
                score(name, "jir", 0.0, system=system, **at),
            ]
            events += [
                event(name, "user", "ipu", 0, 2000, text="hello there"),
                event(name, "user", "turn", 0, 2000, text="hello there"),
                event(name, "none", "gap", 2000, 2700),
                event(name, "model", "ipu", 2700, 4000, text="good day"),
                event(name, "model", "turn", 2700, 4000, text="good day", latency_ms=700),
                event(name, "user", "backchannel", 3000, 3300),
                event(name, "both", "overlap", 3000, 3300),
                event(name, "user", "interruption", 3500, 4000, success=True),
                event(name, "none", "silence", 4000, 5000),
            ]
    more = {"scenario": "model_backchannel"}
    scores += [
        score("b0", "tor", 0.0, status="silent", **more),
        score("b0", "bcr", 0.0, status="silent", **more),
        score("b0", "backchannels", 3.0, status="silent", **more),
        score("b0", "jsd", None, status="not_applicable", **more),
    ]
    return Made(scores, events, [failure("broken")])


class Page(HTMLParser):
    """What a browser would make of a page, as far as the tests ask."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.links, self.open, self.texts = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.links += [v for k, v in attrs if k in ("src", "href", "action", "data") and v]
        void = ("meta", "link", "input", "br", "line", "rect", "circle", "path")
        if tag not in void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        if "script" not in self.open and "style" not in self.open:
            self.texts.append(data)

    def of(self, tag, cls=""):
        return (
            [a for t, a in self.tags if t == tag and cls in (a.get("class") or "").split()]
            if (cls)
            else [a for t, a in self.tags if t == tag]
        )


# ---- tables


def test_paper_tables_have_the_papers_shape():
    scores = [
        score("1", "tor", 1.0),
        score("1", "latency", 0.5),
        score("1", "jir", 0.0),
        score("2", "tor", 0.0, "pause_handling"),
        score("3", "ttr", 1.0, "user_interrupt"),
        score("4", "tor", 1.0, "model_interrupt"),
        score("5", "ttr", 0.0, "user_backchannel"),
        score("6", "tor", 0.0, "model_backchannel"),
    ]
    two, three, four = paper_tables(Made(scores).summary, METRICS, few=1)
    assert [(c.group, c.label) for c in two.columns] == [
        ("", "System"),
        ("Turn-taking", "TOR (↑)"),
        ("Turn-taking", "Latency (s, ↓)"),
        ("Turn-taking", "JIR (↓)"),
        ("Pause handling", "TOR (↓)"),
    ]
    assert two.rows == (("calm", "1.000", "0.500", "0.000", "0.000"),)
    assert [c.label for c in three.columns[1:]] == [
        "TTR (↑)",
        "Latency (s, ↓)",
        "TSS (0-5, ↑)",
        "TOR (↑)",
        "EDS (0-5, ↑)",
    ]
    assert three.rows == (("calm", "1.000", DASH, DASH, "1.000", DASH),)
    assert [c.label for c in four.columns[1:]] == [
        "TTR (↓)",
        "Coh. (0-5, ↑)",
        "TOR (↓)",
        "BCR (1/s, ↑)",
        "JSD (↓)",
    ]
    assert not any(table.notes for table in (two, three, four))


def test_few_recordings_are_marked_and_further_measures_kept():
    tables = paper_tables(usual().summary, METRICS, few=10)
    assert [t.title for t in tables] == [
        "Turn-taking and pause handling",
        "User and model backchannel",
        "Further measures",
    ]
    assert tables[0].rows[0][1] == "1.000"  # 12 recordings
    assert tables[1].rows[0][3] == f"0.000{FEW}"
    assert tables[1].notes == (f"{FEW} on fewer than 10 recordings",)
    further = {row[:2]: row[2:] for row in tables[2].rows}
    assert further["Turn-taking", "Floor offset (s)"] == ("0.755", "0.255")
    assert further["Model backchannel", "Backchannels"] == (f"3{FEW}", DASH)


def test_a_row_for_every_metric_in_the_details():
    run = usual()
    table = details_table(run.summary, METRICS)
    assert len(table.rows) == len(run.summary)
    row = dict(zip([c.label for c in table.columns], table.rows[0], strict=True))
    assert row["Sum / n"] == "12 / 12"
    assert row["Interval"].startswith("[0.75")
    assert row["failed"] == "1"
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_metric_finder_knows_quantiles_and_conversation():
    find = metric_finder([*METRICS, metric("conversation", "gaps", "Gaps", "ratio", "none", "s")])
    assert find("turn_taking", "gaps").label == "Gaps"
    assert find("turn_taking", "latency.p90").label == "Latency p90"
    assert find("turn_taking", "gaps.p50").aggregate == "mean"
    assert find("turn_taking", "nothing") is None
    assert find("turn_taking", "nothing.p50") is None


def test_plain_text_cannot_steer():
    assert plain("a\x1b[31m\nb\u202ec\x00") == "a [31m b c"
    assert plain(None) == plain("") == plain("\n") == DASH
    assert plain("été – 日本") == "été – 日本"


# ---- terminal


def test_terminal_shows_values_counts_failures_and_signature():
    text = usual().terminal()
    assert "\x1b" not in text  # no terminal, no colours
    assert re.search(
        r"latency +0\.755 +\[0\.7\d\d, 0\.7\d\d\] +9\.060 / 12 +12 scored, 1 failed", text
    )
    assert "1 recording failed" in text
    assert "broken: x.wav: not audio" in text
    assert text.rstrip().endswith("profile:paper|a:1")


def test_terminal_lists_ten_failures():
    run = Made(failures=[failure(f"f{i}") for i in range(13)])
    text = run.terminal()
    assert "13 recordings failed" in text
    assert "f9:" in text
    assert "f10:" not in text
    assert "… and 3 more, see scores.parquet" in text


@pytest.mark.parametrize("width", [40, 60, 80])
def test_narrow_terminals_get_no_wider_lines(width):
    lines = usual().terminal(width).splitlines()
    tables = [line for line in lines if "─" in line]
    assert tables
    assert max(map(len, tables)) <= width


def test_terminal_comparison():
    run = usual()
    out = StringIO()
    table = compare_systems(run.scores, METRICS, run.settings.summary)
    print_comparison(Console(file=out, width=100), table, METRICS)
    text = out.getvalue()
    assert "eager against calm" in text
    assert re.search(r"latency +0\.755 +0\.255 +-0\.500 .* 12 +better", text)
    assert "recording without system" in text


# ---- markdown


def cells(line):
    return [c.strip() for c in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def test_markdown_tables_are_rectangular():
    run = usual()
    text = run.markdown(quantiles=quantiles(run.scores, METRICS, run.settings.summary))
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.M)
    assert len(blocks) == 5
    for block in blocks:
        assert len({len(cells(line)) for line in block.splitlines()}) == 1
    assert "| calm | 1.000 | 0.755 | 0.000 | – |" in text
    assert "## Quantiles (s)" in text
    assert "- **broken** (audio): x.wav: not audio" in text
    assert "```\nprofile:paper|a:1\n```" in text


def test_markdown_escapes_names():
    run = Made([score(HOSTILE, "tor", 1.0, system=HOSTILE)], failures=[failure(HOSTILE, HOSTILE)])
    text = run.markdown()
    assert "<script>" not in text
    assert "\x1b" not in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert len({len(cells(line)) for line in block.splitlines()}) == 1
    row = next(line for line in text.splitlines() if line.startswith("| &lt;script"))
    assert r"\|\`x\`" in row
    run.info["signature"] = "a```b"
    fenced = run.markdown()
    assert "````\na```b\n````" in fenced


def test_markdown_bounds_failures():
    run = Made(failures=[failure(f"f{i}") for i in range(5)])
    assert "… and 3 more" in run.markdown(max_failures=2)


# ---- html


def test_html_asks_nothing_of_a_network():
    page = usual().html()
    parsed = Page(page)
    assert all(link.startswith(("#", "data:")) for link in parsed.links)
    assert "url(" not in page
    assert "@import" not in page
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|import)\s*\(", page)
    policy = next(a["content"] for a in parsed.of("meta") if "http-equiv" in a)
    assert "default-src 'none'" in policy
    assert "sha256-" in policy
    assert "http" not in policy


def test_html_policy_lets_its_own_script_run():
    import base64
    import hashlib

    page = usual().html()
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page


def index_of(page):
    return json.loads(re.search(r'id="index">(.*?)</script>', page, re.S)[1])


def details_of(page):
    """Each recording's JSON, by its id."""
    names = index_of(page)["id"]
    found = re.findall(r'class="detail" data-r="(\d+)">(.*?)</script>', page, re.S)
    return {names[int(r)]: json.loads(text) for r, text in found}


def test_index_lists_each_recording():
    page = usual().html()
    index = index_of(page)
    assert len(index["id"]) == index["total"] == 26  # 24, b0 and the broken one
    r = index["id"].index("calm-3")
    assert index["systems"][index["sys"][r]] == "calm"
    assert index["scenarios"][index["sce"][r]][:2] == ["turn_taking", "Turn-taking"]
    assert index["margin"][r] == 0.03
    assert index["states"][r] == 1  # scored
    broken, silent = index["id"].index("broken"), index["id"].index("b0")
    assert index["failed"] == {str(broken): "x.wav: not audio"}
    assert index["states"][broken] == 16
    assert index["states"][silent] == 2 | 4  # silent, and a metric that is not applicable
    labels = [m["label"] for m in index["metrics"]]
    (latency,) = [c for c in index["scores"] if labels[c["m"]] == "Latency" and r in c["r"]]
    assert latency["v"][latency["r"].index(r)] == pytest.approx(0.73)
    assert latency["s"][latency["r"].index(r)] == 0  # scored
    assert index["said"][str(r)] == "hello there good day"


def test_details_hold_what_is_drawn():
    run = usual()
    health = pl.DataFrame(
        [
            {
                "recording": "calm-0",
                "check": "snr",
                "channel": "user",
                "value": 3.0,
                "unit": "dB",
                "threshold": 20.0,
                "verdict": "warn",
                "detail": "3 dB",
                "remedy": "move closer",
            }
        ],
        schema=HEALTH,
    )
    rating = {
        "recording": "calm-0",
        "metric": "tss",
        "question": '{"query": "why?"}',
        "reply": "4, for it answers",
        "value": 4.0,
        "status": "rated",
    }
    page = run.with_tables(health=health, ratings=pl.DataFrame([rating], schema=RATINGS)).html()
    index, detail = index_of(page), details_of(page)["calm-0"]
    assert detail["d"] == 5000  # the last event ends there
    kinds = [index["kinds"][k] for k in detail["ev"]["k"]]
    assert "silence" not in kinds
    assert kinds.count("ipu") == 2
    assert detail["ev"]["ok"][kinds.index("interruption")] is True
    assert [index["metrics"][m]["name"] for m in detail["sc"]["m"]] == [
        "tor",
        "latency",
        "floor_offset",
        "jir",
    ]
    assert set(detail["sc"]["f"]) == {2000}
    assert set(detail["sc"]["t"]) == {2700}
    assert detail["sc"]["y"][0] == "because tor"
    assert detail["h"]["remedy"] == ["move closer"]
    assert detail["j"]["reply"] == ["4, for it answers"]
    text = " ".join(Page(page).texts)
    assert "move closer" in text
    assert "4, for it answers" in text
    assert "why?" in text


def test_timelines_stop_where_events_become_too_many():
    events = [
        event(f"r{i}", "user", "ipu", k * 1000, k * 1000 + 400) for i in range(3) for k in range(10)
    ]
    names = pl.DataFrame({"recording": ["r0", "r1", "r2"]})
    drawn = timelines(names, Made(events=events).events, Made().scores, METRICS, most_events=25)
    assert list(drawn) == ["r0", "r1"]
    assert len(json.loads(drawn["r1"])["ev"]["a"]) == 10


def test_annotations_and_texts_of_the_manifest():
    row = dict.fromkeys(RECORDINGS.names()) | {
        "recording": "a",
        "user_turn_end_ms": 100,
        "pause_start_ms": 5,
        "pause_end_ms": 9,
        "backchannels": [{"start_ms": 1, "end_ms": 2}],
        "reference_backchannels_ms": [7],
        "text_query": "what?",
        "metadata": '{"voice": "x", "n": 3}',
    }
    table = pl.DataFrame([row], schema=RECORDINGS)
    found = json.loads(timelines(table, Made().events, Made().scores, METRICS)["a"])
    assert found["an"] == [
        ["user turn ends", 100, None],
        ["pause", 5, 9],
        ["backchannel", 1, 2],
        ["a listener would answer", 7, None],
    ]
    assert found["tx"] == [["query", "what?"], ["voice", "x"], ["n", "3"]]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 14_000), st.integers(0, 2**32 - 1))
def test_envelopes_keep_the_loudest(n, seed):
    levels = np.random.default_rng(seed).integers(-12_000, 500, n).astype(np.int16)
    drawn = encode_envelope(levels)
    data = np.frombuffer(base64.b64decode(drawn["e"]), np.uint8)
    every = drawn["step"] // 10
    assert len(data) == -(-n // every) <= 6000
    assert every == 1 or n > 6000
    for k in (0, len(data) // 2, len(data) - 1):
        loudest = max(levels[k * every : (k + 1) * every].tolist()) / 100
        assert data[k] == round(min(max(1 + loudest / 90, 0), 1) * 255)


def test_html_says_what_it_leaves_out():
    run = usual(30)
    page = run.html(max_timelines=5, max_recordings=20)
    assert len(details_of(page)) == 5
    assert len(index_of(page)["id"]) == 20
    text = re.sub(r"\s+", " ", " ".join(Page(page).texts))
    assert "Of 62 recordings 20 are listed" in text
    assert "5 have a timeline" in text
    assert "--timelines 20" in text


def test_every_system_and_scenario_is_among_those_drawn():
    run = usual(30)
    drawn = details_of(run.html(max_timelines=3))
    assert {name.partition("-")[0] for name in drawn} == {"calm", "eager", "b0"}


def test_html_shows_hostile_text_as_text():
    nasty = "</script><script>alert(3)</script><!--<script>\u2028\u202e"
    run = Made(
        [
            score(HOSTILE, "tor", 1.0, system=HOSTILE, reason=nasty),
            score(HOSTILE, HOSTILE, 1.0, HOSTILE, HOSTILE, source=HOSTILE),
        ],
        [
            event(HOSTILE, "user", "turn", 0, 900, text=HOSTILE),
            event(
                HOSTILE, "user", "ipu", 0, 900, text="</title></svg><img src=x onerror=alert(2)>"
            ),
        ],
        [failure(nasty, HOSTILE, HOSTILE, HOSTILE)],
    )
    run.info |= {"signature": HOSTILE, "profile": HOSTILE, "created": HOSTILE, HOSTILE: nasty}
    rating = {
        "recording": HOSTILE,
        "metric": HOSTILE,
        "question": nasty,
        "reply": nasty,
        "reason": nasty,
        "status": nasty,
    }
    health = {
        "recording": HOSTILE,
        "check": nasty,
        "verdict": "refuse",
        "detail": nasty,
        "remedy": nasty,
    }
    page = run.with_tables(
        ratings=pl.DataFrame([rating], schema=RATINGS), health=pl.DataFrame([health], schema=HEALTH)
    ).html(title=nasty)
    parsed = Page(page)
    kinds = [a.get("type") for a in parsed.of("script")]
    assert kinds == ["application/json"] * 3 + [None]
    assert not parsed.of("img")
    assert not [a for _, a in parsed.tags if any(k.startswith("on") for k in a)]
    assert "<script>alert(1)</script>" in " ".join(parsed.texts)
    assert "\u2028" not in page
    assert "\u202e" not in page
    assert "<!--" not in "".join(re.findall(r"<script.*?</script>", page, re.S))


def test_links_to_sound(tmp_path):
    for name in ("a b#1.wav", "user.wav", "model.wav"):
        (tmp_path / name).write_bytes(b"")
    rows = [
        {
            "recording": "pair",
            "user_audio": str(tmp_path / "user.wav"),
            "model_audio": str(tmp_path / "model.wav"),
            "model_offset_ms": 250,
        },
        {"recording": "one", "audio": str(tmp_path / "a b#1.wav")},
        {"recording": "gone", "audio": str(tmp_path / "gone.wav")},
        {"recording": "scheme", "audio": "javascript:alert(1)"},
        {"recording": "none"},
    ]
    table = pl.DataFrame(rows, schema_overrides=RECORDINGS)
    links = link_audio(table, tmp_path / "run" / "report.html")
    assert links == {
        "pair": [{"src": "./../user.wav", "t": 0}, {"src": "./../model.wav", "t": 250}],
        "one": [{"src": "./../a%20b%231.wav", "t": 0}],
    }


def test_embedded_sound_is_bounded_and_says_so(tmp_path):
    rng = np.random.default_rng(0)
    sf.write(tmp_path / "two.wav", 0.1 * rng.standard_normal((48_000, 2)), 48_000)
    sf.write(tmp_path / "one.wav", 0.1 * rng.standard_normal(16_000), 16_000)
    rows = [
        {"recording": "two", "audio": str(tmp_path / "two.wav")},
        {
            "recording": "pair",
            "user_audio": str(tmp_path / "one.wav"),
            "model_offset_ms": 500,
            "model_audio": str(tmp_path / "one.wav"),
        },
        {"recording": "gone", "audio": str(tmp_path / "gone.wav")},
    ]
    sounds, problems = embed_audio(rows)
    assert list(sounds) == ["two", "pair"]
    assert len(problems) == 1
    assert problems[0].startswith("gone: ")
    shape = {}
    for name, sound in sounds.items():
        data, rate = sf.read(io.BytesIO(base64.b64decode(sound)), always_2d=True)
        shape[name] = (round(len(data) / rate, 1), data.shape[1])
    assert shape == {"two": (1.0, 2), "pair": (1.5, 2)}
    few, problems = embed_audio(rows[:2], most_bytes=len(sounds["two"]) * 3 // 4)
    assert list(few) == ["two"]
    assert "pair: its sound" in problems[0]


def test_report_verb(cli, tmp_path, capsys):
    archive = make_archive(tmp_path / "run" / "archive", 14)
    run_score(archive).write(tmp_path / "run")
    before = index_of((tmp_path / "run" / "report.html").read_text("utf-8"))
    out = tmp_path / "more.html"
    done = cli("report", tmp_path / "run", "--out", out, "--timelines", "3", "--rows", "5")
    assert done.returncode == 0, done.stderr
    assert f"{out}: " in done.stdout
    page = out.read_text("utf-8")
    assert len(before["id"]) == 15
    assert len(index_of(page)["id"]) == 5
    details = details_of(page)
    assert len(details) == 3
    assert all(set(one["env"]) == {"user", "model"} for one in details.values())
    assert all("word" in one["w"]["t"] for one in details.values())
    for name, code, told in (("r3", 1, "r3: the recording has no audio"), ("x", 2, "'x'")):
        with pytest.raises(SystemExit) as left:
            main(["report", str(tmp_path / "run"), "--embed-audio", name, "--out", str(out)])
        assert left.value.code == code
        assert told in capsys.readouterr().err


def test_a_page_without_its_archive_says_what_is_missing(tmp_path):
    run = run_score(make_archive(tmp_path / "archive", 7))
    run.write(tmp_path / "run")
    (tmp_path / "archive").rename(tmp_path / "away")
    flexi_score.build_report(tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "Waveforms and the times of words are missing: the run has no archive" in page
    assert not any("env" in one or "w" in one for one in details_of(page).values())
    (tmp_path / "away" / "archive.json").write_text("{")
    build_report(tmp_path / "run", archive=tmp_path / "away")
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "are missing: " in page
    assert "archive.json" in page


def test_large_runs_draw_words_and_waveforms(tmp_path, monkeypatch):
    monkeypatch.setattr("flexi_score.report.write._WHOLE", 5)
    archive = make_archive(tmp_path / "archive", 14)
    run_score(archive, work=Work(batch=5)).write(tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    details = details_of(page)
    assert len(details) == 15  # of the lost one, what failed
    assert sum("w" in one for one in details.values()) == 14
    assert sum("env" in one for one in details.values()) == 14
    assert index_of(page)["len"].count(12.0) == 14


# ---- odd runs


@pytest.mark.parametrize(
    "run",
    [
        Made(),
        Made(failures=[failure("f", system=None, scenario=None)]),
        Made([score("one", "tor", 1.0)]),
        Made([score("one", "tor", None, status="failed", reason=None, margin_s=None, source=None)]),
        Made([score("one", "unheard_of", float("nan"), "nowhere", None)]),
        Made([score("one", "floor_offset", 0.0)], [event("one", "user", "ipu", 0, 1)]),
        Made([score("one", "floor_offset", 1e9), score("two", "floor_offset", -1e9)]),
        Made(events=[event("stray", "none", "silence", 0, 0)]),
    ],
    ids=["empty", "failure", "single", "nulls", "unknown", "instant", "extremes", "no length"],
)
def test_odd_runs_have_a_report(run, tmp_path):
    paths = run.write(tmp_path / "run")
    assert {p.name for p in paths} == FILES == {p.name for p in (tmp_path / "run").iterdir()}
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert not re.search(
        r"\b(nan|None|inf)\b",
        re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S)
        .replace("default-src 'none'", "")
        .replace("'none'", ""),
    )
    assert run.terminal()
    json.loads((tmp_path / "run" / "summary.json").read_text("utf-8"))


# ---- files


def test_write_run_round_trip(tmp_path):
    run = usual()
    run.info["loss"] = float("nan")
    run.write(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == FILES  # no temporary files
    assert_frame_equal(pl.read_parquet(tmp_path / "summary.parquet"), run.summary)
    assert_frame_equal(pl.read_parquet(tmp_path / "events.parquet"), run.events)
    scores = pl.read_parquet(tmp_path / "scores.parquet")
    assert_frame_equal(scores, run.scores)
    assert set(scores.tail(4)["recording"]) == {"broken"}
    assert set(scores.tail(4)["status"]) == {"failed"}
    rows = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    assert pl.DataFrame(rows, schema=SUMMARY).equals(run.summary)
    info = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert info["signature"] == "profile:paper|a:1"
    assert info["loss"] is None
    run.write(tmp_path)  # again, over what is there


def test_a_run_is_written_the_same_twice(tmp_path):
    for name in ("a", "b"):
        usual().write(tmp_path / name / "run")
    for file in FILES:
        assert (tmp_path / "a" / "run" / file).read_bytes() == (
            tmp_path / "b" / "run" / file
        ).read_bytes()


def test_unwritable_places_are_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(OutputError, match=re.escape(str(blocked / "run")) + ".*is a file"):
        usual().write(blocked / "run")
    with pytest.raises(OutputError, match=r"file: cannot be written .*expected a folder"):
        make_folder(blocked)
    (tmp_path / "run" / "summary.md").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"summary\.md: cannot be written"):
        usual().write(tmp_path / "run")
    assert os.listdir(tmp_path / "run") == ["summary.md"]


def test_a_run_folder_is_one_run_or_the_other(tmp_path, monkeypatch):
    out = tmp_path / "run"
    usual().write(out)
    first = Run.open(out).scores
    other = usual(3)
    # Killed while it writes aside: the old run is whole. (The label is written last of all.)
    with monkeypatch.context() as broken:
        broken.setattr("flexi_score.report.write.hash_files", interrupt)
        with pytest.raises(KeyboardInterrupt):
            other.write(out)
    assert Run.open(out).scores.equals(first)
    # Killed while the files are put in place: no run at all, and it says so.
    with monkeypatch.context() as broken:
        broken.setattr("flexi_score.output.os.replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            other.write(out)
    with pytest.raises(InputError, match=r"run\.json: no such file.*interrupted; score again"):
        Run.open(out)
    other.write(out)
    assert Run.open(out).scores.equals(other.scores)
    usual(4).write(tmp_path / "another")
    (tmp_path / "another" / "events.parquet").rename(out / "events.parquet")
    with pytest.raises(InputError, match=r"events\.parquet: is not the file that"):
        Run.open(out)


def test_a_disk_that_is_full_keeps_the_old_run_and_says_what_to_do(tmp_path):
    """Files that may not grow stand in for a disk without room."""
    out = tmp_path / "run"
    usual(3).write(out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    code = (
        "import resource, sys\n"
        f"sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[1])!r}]\n"
        "from test_report import usual\n"
        "from flexi_score.errors import OutputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
        f"try: usual(200).write({str(out)!r})\n"
        "except OutputError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "run: cannot be written (" in done.stdout, done.stderr
    assert re.search("make room .*--out", done.stdout)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def interrupt(*_):
    raise KeyboardInterrupt


def test_run_json_names_the_page_that_was_built_again(tmp_path):
    usual().write(tmp_path / "run")
    build_report(tmp_path / "run", max_timelines=1)
    page = (tmp_path / "run" / "report.html").read_bytes()
    build_report(tmp_path / "run", max_timelines=1)
    assert (tmp_path / "run" / "report.html").read_bytes() == page
    noted = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))["files"]
    assert set(noted) == FILES - {"run.json"}
    for name, digest in noted.items():
        assert hashlib.sha256((tmp_path / "run" / name).read_bytes()).hexdigest() == digest


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("before")

    def breaks(temporary):
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, breaks)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_run_scored_from_an_archive_elsewhere_finds_it_again(tmp_path) -> None:
    archive, out = tmp_path / "kept.archive", tmp_path / "runs" / "one"
    make_archive(archive, 3)
    flexi_score.write(flexi_score.score(archive), out)
    run = Run.open(out)
    assert run.info["archive"] == "../../kept.archive"
    assert find_archive(run) == out / "../../kept.archive"
    assert find_archive(run, "other") == Path("other")
    archive.rename(tmp_path / "moved.archive")
    assert find_archive(Run.open(out)) is None
