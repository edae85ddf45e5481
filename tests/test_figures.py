"""Figures and LaTeX tables of a run folder, timelines, and the verb that writes them."""

import re
import shutil
import subprocess
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from conftest import SAMPLES, Cli
from factories import Dialogue, random_dialogue, tracks_of
from hypothesis import given, settings
from hypothesis import strategies as st

from flexi_score.aggregate import summarize
from flexi_score.config import Settings
from flexi_score.errors import InputError, SettingsError
from flexi_score.metrics import profile_metrics
from flexi_score.report.figures import read_scenes, write_figures
from flexi_score.report.latex import escape, tables_tex
from flexi_score.report.plots.style import drawing
from flexi_score.report.plots.svg import svg_text
from flexi_score.report.plots.timeline import Scene, draw_timeline, moments, sentences, strips
from flexi_score.schema import FAILURES, SCORES
from flexi_score.scoring import pipeline
from flexi_score.scoring.run import Run

PAPER = profile_metrics("paper")
NASTY = ["</text><script>x", "$\\frac$/../../b", "\u05d0\u05d1\u202e", "A", "a", "%&#_{}~^\\"]


def made_run(
    folder,
    names=("one", "two"),
    seed=0,
    scenarios=("turn_taking", "user_interrupt", "conversation"),
):
    """A run folder of random recordings of all scenarios, without an archive."""
    rng = np.random.default_rng(seed)
    dialogues = []
    for name in names:
        for scenario in scenarios:
            one = random_dialogue(rng, scenario)
            one.duration = max(one.duration, 4000)
            one.row |= {"recording": f"{name} {scenario}", "system": name}
            dialogues.append(one)
    run = pipeline.score_tracks(tracks_of(dialogues), FAILURES.to_frame(), Settings())
    run.write(folder)
    return folder


@pytest.fixture(scope="module")
def nasty_run(tmp_path_factory):
    return made_run(tmp_path_factory.mktemp("nasty") / "run", NASTY)


@pytest.fixture(scope="module")
def nasty_figures(nasty_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("figures")
    return out, write_figures(nasty_run, out, formats=["svg"])


def test_every_plot_and_a_timeline_of_each_scenario_are_written(nasty_figures) -> None:
    out, written = nasty_figures
    names = [path.name for path in written]
    assert len(names) == len({name.casefold() for name in names})
    assert sorted(names) == sorted(path.name for path in out.iterdir())
    assert {"systems.svg", "margins.svg", "tables.tex", "captions.txt"} <= set(names)
    assert sum(name.startswith("timeline_") for name in names) == 3 * len(NASTY)
    for path in written:
        assert path.parent == out
        if path.suffix == ".svg":
            root = ElementTree.fromstring(path.read_bytes())
            assert root.get("role") == "img"
            for node in root.iter():
                assert node.tag.rpartition("}")[2] not in ("script", "image", "a", "style")
                for key, value in node.attrib.items():
                    assert "http" not in value
                    assert "href" not in key or value.startswith("#")
    captions = (out / "captions.txt").read_text("utf-8")
    for name in names:
        stem = name.removesuffix(".svg")
        assert name.endswith((".tex", ".txt")) or f"{stem}: " in captions


def test_the_same_run_gives_the_same_files(nasty_run, nasty_figures, tmp_path) -> None:
    _, written = nasty_figures
    chosen = ["A turn_taking"]
    again = write_figures(nasty_run, tmp_path, formats=["svg"], recordings=chosen)
    before = {path.name: path.read_bytes() for path in written}
    assert [path.name for path in again if path.name.startswith("timeline_")] == [
        "timeline_A_turn_taking.svg"
    ]
    for path in again:
        assert path.name == "captions.txt" or before[path.name] == path.read_bytes()


def test_every_format_is_written_and_can_be_opened(tmp_path) -> None:
    run = made_run(tmp_path / "run", ["A"])
    again = write_figures(run, tmp_path, recordings=["A turn_taking"])
    timelines = [path.name for path in again if path.name.startswith("timeline_")]
    assert timelines == [f"timeline_A_turn_taking.{kind}" for kind in ("svg", "pdf", "png")]
    assert (tmp_path / timelines[1]).read_bytes().startswith(b"%PDF-")
    assert b"%%EOF" in (tmp_path / timelines[1]).read_bytes()[-32:]
    from PIL import Image

    with Image.open(tmp_path / timelines[2]) as picture:
        assert picture.width == pytest.approx(520 / 72 * 220, abs=1)
        assert picture.getpixel((0, 0))[:3] == (255, 255, 255)


def test_what_is_not_there_is_refused(nasty_run, tmp_path) -> None:
    with pytest.raises(SettingsError, match=r"'gif'.*svg, pdf, png"):
        write_figures(nasty_run, tmp_path, formats=["gif"])
    with pytest.raises(InputError, match="no scored recording 'nobody'"):
        write_figures(nasty_run, tmp_path, recordings=["nobody"])
    with pytest.raises(InputError):
        write_figures(tmp_path, tmp_path / "out")


def test_an_empty_run_still_has_its_tables(tmp_path) -> None:
    failures = pl.DataFrame(
        [("x", "a", "turn_taking", "audio", "AudioError", "gone")], schema=FAILURES, orient="row"
    )
    run = pipeline.score_tracks(tracks_of([]), failures, Settings())
    run.write(tmp_path / "run")
    names = {path.name for path in write_figures(tmp_path / "run", tmp_path / "out")}
    assert {"tables.tex", "captions.txt"} <= names


def test_the_command_line_writes_figures(cli: Cli, tmp_path) -> None:
    folder = made_run(tmp_path / "run", ["a,b", "c"])
    done = cli(
        "report",
        folder,
        "--figures",
        tmp_path / "out",
        "--formats",
        "svg",
        "--recordings",
        "a,b turn_taking",
        "--recordings",
        "c turn_taking,c conversation",
    )
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {
        "timeline_a_b_turn_taking.svg",
        "timeline_c_turn_taking.svg",
        "timeline_c_conversation.svg",
        "tables.tex",
    } <= names
    assert not any(name.endswith((".pdf", ".png")) for name in names)
    wrong = cli("report", folder, "--figures", tmp_path / "out", "--formats", "gif")
    assert wrong.returncode == 2
    assert "gif" in wrong.stderr


def test_timelines_of_real_audio_have_energy_and_words(tmp_path) -> None:
    pytest.importorskip("silero_vad")
    source = tmp_path / "one.jsonl"
    row = next(
        line
        for line in (SAMPLES / "manifest.jsonl").read_text("utf-8").splitlines()
        if "user_interrupt" in line
    )
    source.write_text(row + "\n", "utf-8")
    for name in re.findall(r'"([^"]*\.(?:flac|wav|ogg|opus|mp3))"', row):
        shutil.copy(SAMPLES / name, tmp_path / name)
    chosen = pipeline.load_settings("paper", {"extract.asr": "none"})
    run = pipeline.score(source, settings=chosen, archive=tmp_path / "run" / "archive")
    run.write(tmp_path / "run")
    stored = Run.open(tmp_path / "run")
    (scene,) = read_scenes(stored, [run.recordings["recording"][0]])
    assert set(scene.envelopes) == {"user", "model"}
    for start, level in scene.envelopes.values():
        assert start == 0
        assert len(level) == pytest.approx(scene.duration_ms / 10, abs=3)
    with drawing(scene.texts):
        svg = svg_text(draw_timeline(scene), "t", "t")
    assert "interruption starts" in svg
    reasons = [reason for row in scene.scores if (reason := row["reason"])]
    assert reasons[0].split()[0] in svg


@given(st.integers(1, 4_000_000))
def test_strips_are_the_recording(duration) -> None:
    parts = strips(duration)
    assert parts[0][0] == 0
    assert parts[-1][1] == duration
    assert len(parts) <= 8
    assert all(a[1] == b[0] for a, b in pairwise(parts))
    assert all(end > start for start, end in parts)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=8, deadline=None)
def test_timelines_of_any_recording_can_be_drawn(seed) -> None:
    rng = np.random.default_rng(seed)
    one = random_dialogue(
        rng, str(rng.choice(["turn_taking", "model_backchannel", "conversation"]))
    )
    run = pipeline.score_tracks(tracks_of([one]), FAILURES.to_frame(), Settings())
    scene = Scene(
        run.recordings.row(0, named=True),
        run.events.to_dicts(),
        run.scores.to_dicts(),
        {"user": one.user_words or []},
        {"model": (0, rng.integers(-9000, 0, one.duration // 10).astype(np.int16))},
    )
    with drawing(scene.texts):
        ElementTree.fromstring(svg_text(draw_timeline(scene), "t", "t"))


def test_moments_and_sentences_are_those_of_the_scores() -> None:
    row = dict.fromkeys(SCORES.names()) | {"scenario": "turn_taking", "status": "scored"}
    scores = [
        row
        | {
            "metric": "tor",
            "value": 1.0,
            "reference_ms": 900,
            "decided_ms": 1200,
            "reason": "takes over",
        },
        row
        | {
            "metric": "latency",
            "value": 0.3,
            "reference_ms": 900,
            "decided_ms": 1200,
            "reason": "takes over",
        },
        row | {"metric": "jir", "value": None, "decided_ms": 1300, "status": "excluded"},
    ]
    scene = Scene({}, [], scores, labels={("turn_taking", "tor"): "TOR"})
    assert [(m.at_ms, m.kind, m.text) for m in moments(scene)] == [
        (900, "reference", "user turn ends"),
        (1200, "decided", "TOR, latency"),
    ]
    assert sentences(scene) == [("TOR 1, latency 0.3", "takes over"), ("jir –", "excluded")]


def test_a_long_conversation_is_bounded() -> None:
    spans = [(t, t + 900) for t in range(0, 3_600_000, 2000)]
    one = Dialogue(3_600_000, spans, [(a + 1000, b + 1000) for a, b in spans][:-1])
    run = pipeline.score_tracks(tracks_of([one]), FAILURES.to_frame(), Settings())
    scene = Scene(run.recordings.row(0, named=True), run.events.to_dicts(), [])
    with drawing():
        figure = draw_timeline(scene)
        assert figure.get_size_inches()[1] * 72 < 2000
        assert len(svg_text(figure, "t", "t")) < 1_000_000


def unescape(text: str) -> str:
    """What LaTeX would set."""
    names = {
        "textbackslash": "\\",
        "textasciicircum": "^",
        "textasciitilde": "~",
        "textless": "<",
        "textgreater": ">",
        "textbar": "|",
        "textquotedbl": '"',
        "textasciigrave": "`",
        "textquotesingle": "'",
        "textdagger": "†",
        "textendash": "–",
        "dots": "…",
    }
    text = re.sub(r"\\texttt\{U\+([0-9A-F]+)\}", lambda m: chr(int(m[1], 16)), text)
    text = re.sub(r"\\(text[a-z]+|dots)\{\}", lambda m: names[m[1]], text)
    text = text.replace(r"$\uparrow$", "↑").replace(r"$\downarrow$", "↓")
    text = text.replace("$-$", "\N{MINUS SIGN}")
    text = re.sub(r"(?<!\\)\{([-\[\]*])\}", r"\1", text)
    return re.sub(r"\\([{}$&#%_])", r"\1", text)


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp", "Cs"]), max_size=40)
)
@settings(max_examples=75)
def test_text_for_latex_has_no_markup_left(text) -> None:
    from flexi_score.report.tables import plain

    safe = escape(text)
    assert unescape(safe) == plain(text) or "\\" in text  # what it says is kept ...
    bare = re.sub(r"\\(text[a-z]+|dots)(\{\}|\{U\+[0-9A-F]+\})|\\[{}$&#%_]", "", safe)
    bare = re.sub(r"\$(\\(up|down)arrow|-)\$|\{[-\[\]*]\}", "", bare)
    assert not set(bare) & set("\\{}$&#%_^~[]*")  # ... and nothing else is a command
    assert all(letter < "\u0180" for letter in safe)


def made_tables(names) -> str:
    rows = [
        dict.fromkeys(SCORES.names())
        | {
            "recording": f"{name}{k}",
            "system": name,
            "scenario": m.scenario,
            "metric": m.name,
            "value": -0.25 if m.unit == "s" else 1.0,
            "status": "scored",
        }
        for name in names
        for m in PAPER
        for k in range(2)
    ]
    summary = summarize(pl.DataFrame(rows, schema=SCORES), PAPER, Settings().summary)
    return tables_tex(summary, PAPER, 10, "signature|a%b\nc")


def test_tables_have_the_shape_of_the_papers() -> None:
    tex = made_tables(["calm", "eager"])
    assert tex.count(r"\begin{table}") == tex.count(r"\end{table}") >= 4
    first = tex[: tex.index(r"\end{table}")]
    assert r"\multicolumn{3}{c}{Turn{-}taking} & \multicolumn{1}{c}{Pause handling}" in first
    assert r"\cmidrule(lr){2-4}\cmidrule(lr){5-5}" in first
    assert r"calm & 1.000\textdagger{} & $-$0.250\textdagger{} & 1.000\textdagger{}" in first
    body = [line for line in tex.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    for table in tex.split(r"\begin{table}")[1:]:
        (spec,) = re.findall(r"begin\{tabular\}\{@\{\}([lr]+)@\{\}\}", table)
        rows = [line for line in table.splitlines() if line in body]
        assert all(len(re.findall(r"(?<!\\)&", row)) == len(spec) - 1 for row in rows)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex with booktabs")
def test_tables_compile(tmp_path) -> None:
    (tmp_path / "tables.tex").write_text(made_tables([*NASTY, "[x", "*", "é ß ½"]), "utf-8")
    (tmp_path / "main.tex").write_text(
        "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage[utf8]{inputenc}"
        "\\usepackage{booktabs,graphicx,textcomp}\\begin{document}\\input{tables}\\end{document}"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "main.pdf").read_bytes().startswith(b"%PDF")
