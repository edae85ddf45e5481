"""What results show in a notebook: readable tables, nothing of the user's as markup."""

from html.parser import HTMLParser

import numpy as np
import pytest
from factories import Dialogue, tracks_of
from test_figures import NASTY, made_run
from test_sweep import make_table

from flexi_score.config import Settings
from flexi_score.errors import InputError
from flexi_score.report.notebook import MOST_ROWS, frame_table, notebook_html
from flexi_score.report.plots import report_plots, run_drawings
from flexi_score.report.tables import Column, Table
from flexi_score.schema import FAILURES
from flexi_score.scoring import pipeline
from flexi_score.scoring.run import Run
from flexi_score.sweep import Sweep
from flexi_score.validate import read_truth, validate

VOID = {"br", "meta", "path", "use", "rect"}


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.text.append(data.strip())


def parse(html: str) -> _Page:
    page = _Page()
    page.feed(html)
    page.close()
    assert page.open == []
    assert not {"script", "img", "a", "iframe", "link"} & set(page.tags)
    assert "http:" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "\u202e" not in html
    return page


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return made_run(tmp_path_factory.mktemp("notebook") / "<b>run", NASTY[:3])


def test_a_run_shows_the_papers_tables(run_folder) -> None:
    stored = Run.open(run_folder)
    page = parse(stored._repr_html_())
    assert "flexi_score: <b>run" in page.text
    for name in NASTY[:3]:
        assert name.replace("\u202e", " ").strip() in page.text
    assert "Turn-taking and pause handling" in page.text
    assert any("9 recordings scored, 0 failed" in text for text in page.text)
    assert "details" in page.tags


def test_a_fresh_run_and_an_empty_one_show_themselves() -> None:
    one = Dialogue(5000, [(500, 1500)], [(1800, 4000)], row={"scenario": "turn_taking"})
    run = pipeline.score_tracks(tracks_of([one]), FAILURES.to_frame(), Settings())
    page = parse(run._repr_html_())
    assert "0.300\u2020" in page.text
    empty = pipeline.score_tracks(tracks_of([]), FAILURES.to_frame(), Settings())
    assert "flexi_score" in parse(empty._repr_html_()).text


def test_plots_show_themselves(run_folder) -> None:
    stored = Run.open(run_folder)
    assert "svg" in parse(report_plots(stored)[0]._repr_html_()).tags
    drawing = run_drawings(stored)[0]
    assert "svg" in parse(drawing._repr_html_()).tags
    assert drawing._repr_png_().startswith(b"\x89PNG")


def test_a_run_plots_itself_and_tab_completes(run_folder) -> None:
    run = Run.open(run_folder)
    names = [name for name in dir(run.plot) if not name.startswith("_")]
    assert {"latency", "floor_offsets", "margins", "backchannels"} <= set(names)
    drawn = {one.title for one in run_drawings(run)}
    shown = set()
    for name in names:
        html = getattr(run.plot, name)()._repr_html_()
        shown |= {title for title in drawn if title in html}
        assert ("<svg" in html) or "Nothing of this kind" in html
    assert shown == drawn  # the pictures of the page and of figures, no others


def test_a_run_shows_one_timeline(run_folder) -> None:
    run = Run.open(run_folder)
    name = run.recordings["recording"][0]
    html = run.timeline(name)._repr_html_()
    assert html.count("<svg") == 1
    assert parse(html)
    with pytest.raises(InputError, match="no scored recording 'nobody'"):
        run.timeline("nobody")


def test_a_sweep_shows_what_moves() -> None:
    table, metrics = make_table(np.arange(12.0).reshape(3, 2, 2))
    info = {"combinations": 6, "profile": "paper", "archive": "<i>x"}
    page = parse(Sweep(table, ("x", "y"), tuple(metrics), info)._repr_html_())
    assert "How far each metric moves" in page.text
    assert "profile paper, archive <i>x" in page.text
    assert "svg" in page.tags


def test_a_validation_shows_its_errors(tmp_path) -> None:
    from conftest import write_jsonl

    said = Dialogue(6000, [(500, 1500)], [(1800, 4000)], row={"audio": "x.wav"})
    row = {
        "id": "r0",
        "duration_ms": 6000,
        "user_speech": [[500, 1500]],
        "model_speech": [[1800, 4000]],
    }
    run = pipeline.score_tracks(tracks_of([said]), FAILURES.to_frame(), Settings())
    truth = read_truth(write_jsonl(tmp_path / "truth.jsonl", [row]))
    page = parse(validate(run, truth)._repr_html_())
    assert "Detection error (%)" in page.text
    assert "svg" in page.tags


def test_long_tables_are_bounded() -> None:
    rows = tuple((str(i),) for i in range(1000))
    page = parse(notebook_html("t", tables=[Table("long", (Column("n"),), rows)]))
    assert page.tags.count("td") == MOST_ROWS
    assert "and 940 rows more" in page.text


def test_frames_become_text() -> None:
    import polars as pl

    frame = pl.DataFrame({"a": [1.0, None, float("nan")], "b": ["x\n", "<", None]})
    assert frame_table("t", frame).rows == (("1.000", "x"), ("–", "<"), ("–", "–"))
