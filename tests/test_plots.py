"""Plots of a run: their data against the frames, their SVG as a page gets it, hostile names."""

import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from factories import make_run
from hypothesis import given, settings
from hypothesis import strategies as st

from flexi_score.aggregate import quantiles, summarize
from flexi_score.config import Settings, load_settings
from flexi_score.metrics import profile_metrics
from flexi_score.report.plots import page_css, report_plots, run_drawings
from flexi_score.report.plots.backchannels import positions
from flexi_score.report.plots.kinds import MOST_STEPS, distribution, nice_ticks, thinned
from flexi_score.report.plots.latency import offset_values
from flexi_score.report.plots.margins import margins, within
from flexi_score.report.plots.ratings import rating_counts
from flexi_score.report.plots.style import NAME, VARIABLES, drawing, label, labels, look
from flexi_score.report.plots.svg import save_figure, svg_text
from flexi_score.schema import EVENTS, RECORDINGS, SCENARIOS, SCORES, SUMMARY

PAPER = profile_metrics("paper")
RTL = "\u05e9\u05dc\u05d5\u05dd \u202egnp.exe"
HOSTILE = [
    "$\\frac{a}{$ _x^2",
    "<script>alert(1)</script>&\"'",
    RTL,
    "a" * 300,
    "",
    "\x1b[31m\n",
    "_nolegend_",
    "#0072b2 url(#x)",
    "语音模型",
    "]]>",
    "C0",
    "none",
]


def score(recording, system, scenario, metric, value, status="scored", margin=None):
    row = dict.fromkeys(SCORES.names())
    return row | {
        "recording": recording,
        "system": system,
        "scenario": scenario,
        "metric": metric,
        "value": value,
        "status": status,
        "margin_s": margin,
    }


def made_scores(systems, n=12, seed=0):
    """Every metric of profile paper, with every status and some values that are null or NaN."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, system in enumerate(systems):
        for metric in PAPER:
            for k in range(n):
                status = ["scored"] * 6 + ["silent", "not_applicable", "excluded", "failed"]
                chosen = status[int(rng.integers(len(status)))]
                value = float(rng.integers(2)) if metric.aggregate == "rate" else None
                if value is None:
                    value = (
                        float(rng.gamma(2, 0.4)) - 0.2
                        if metric.unit == "s"
                        else (
                            float(rng.integers(6)) if metric.unit == "0-5" else float(rng.random())
                        )
                    )
                if chosen not in ("scored", "silent"):
                    value = None
                elif rng.random() < 0.05:
                    value = float("nan")
                margin = float(rng.gamma(1, 0.2)) if metric.aggregate == "rate" else None
                name = f"{number}-{metric.scenario}-{k}"
                rows.append(
                    score(name, system, metric.scenario, metric.name, value, chosen, margin)
                )
    return pl.DataFrame(rows, schema=SCORES)


def made_events(systems, n=6):
    rows, recordings = [], []
    for number, system in enumerate(systems):
        for scenario in ("conversation", "model_backchannel"):
            for k in range(n):
                name = f"{number}-{scenario}-{k}"
                recordings.append(
                    dict.fromkeys(RECORDINGS.names())
                    | {
                        "recording": name,
                        "system": system,
                        "scenario": scenario,
                        "reference_backchannels_ms": [1500, 2500],
                    }
                )
                for kind, speaker, a, b, latency in (
                    ("ipu", "user", 1000, 3000, None),
                    ("turn", "model", 3200, 5000, 100 * k - 50),
                    ("turn", "user", 5100, 6000, 100),
                    ("backchannel", "model", 1200 + k, 1500, None),
                ):
                    rows.append(
                        dict.fromkeys(EVENTS.names())
                        | {
                            "recording": name,
                            "kind": kind,
                            "speaker": speaker,
                            "start_ms": a,
                            "end_ms": b,
                            "latency_ms": latency,
                        }
                    )
    return pl.DataFrame(rows, schema=EVENTS), pl.DataFrame(recordings, schema=RECORDINGS)


def plots_of(scores, **more):
    chosen = Settings()
    summary = summarize(scores, PAPER, chosen.summary)
    spread = quantiles(scores, PAPER, chosen.summary)
    return report_plots(make_run(scores, chosen, summary=summary, **more), spread)


def texts(svg):
    return [
        node.text or "" for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("text")
    ]


@pytest.fixture(scope="module")
def hostile_plots():
    scores = made_scores(HOSTILE, n=2)
    events, recordings = made_events(HOSTILE, n=2)
    return plots_of(scores, events=events, recordings=recordings)


@pytest.mark.parametrize("names", [["one"], [f"system {i}" for i in range(20)]])
def test_one_system_or_twenty_can_be_embedded(names) -> None:
    events, recordings = made_events(names, n=1)
    plots = plots_of(made_scores(names, n=1), events=events, recordings=recordings)
    check_embeddable(plots)


def test_hostile_names_can_be_embedded(hostile_plots) -> None:
    check_embeddable(hostile_plots)


def check_embeddable(plots) -> None:
    assert {plot.scenario for plot in plots} >= {None, "turn_taking", "conversation"}
    ids: list[str] = []
    for plot in plots:
        root = ElementTree.fromstring(plot.svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.get("role") == "img"
        assert root[0].text == plot.title
        assert root[1].text == plot.caption
        assert root.get("aria-labelledby", "").split() == [root[0].get("id"), root[1].get("id")]
        tags = {node.tag.rpartition("}")[2] for node in root.iter()}
        assert tags <= {
            "svg",
            "title",
            "desc",
            "g",
            "path",
            "text",
            "use",
            "defs",
            "clipPath",
            "rect",
        }
        mine = [node.get("id") for node in root.iter() if node.get("id")]
        for node in root.iter():
            for name, value in node.attrib.items():
                assert "http" not in value
                assert not name.startswith("on")
                if "href" in name:
                    assert value.removeprefix("#") in mine
                for target in re.findall(r"url\((.*?)\)", value):
                    assert target.removeprefix("#") in mine
        ids += mine
    assert len(ids) == len(set(ids)), "two plots of a page share an id"


def test_names_are_shown_as_they_are(hostile_plots) -> None:
    shown = [text for plot in hostile_plots for text in texts(plot.svg)]
    for name in labels(HOSTILE, NAME).values():
        assert name in shown
    assert not any("\u202e" in text or "\x1b" in text for text in shown)


def test_colours_are_the_pages_own(hostile_plots) -> None:
    css = page_css()
    for plot in hostile_plots:
        for node in ElementTree.fromstring(plot.svg).iter():
            style = node.get("style", "")
            for found in re.findall(r"(?<!, )#[0-9a-f]{6}", style):
                assert found not in VARIABLES
            for name in re.findall(r"var\((--plot[a-z0-9-]*)", style):
                assert css.count(f"{name}:") == 2  # light and dark
            assert "font-family" not in style
            assert "DejaVu" not in style


def test_the_same_data_gives_the_same_bytes() -> None:
    scores = made_scores(["a", "b"], n=3)
    assert plots_of(scores) == plots_of(scores)


def test_a_run_of_nothing_has_no_plots() -> None:
    assert report_plots(make_run(summary=SUMMARY.to_frame())) == []
    failed = pl.DataFrame([score("x", "a", "turn_taking", "tor", None, "failed")], schema=SCORES)
    assert plots_of(failed) == []  # the page's table counts what failed


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_one_recording_is_enough(scenario) -> None:
    scores = made_scores(["only"], n=1, seed=4).filter(pl.col("scenario") == scenario)
    scores = scores.with_columns(status=pl.lit("scored"), value=pl.lit(1.0))
    summary = summarize(scores, profile_metrics("paper"), Settings().summary)
    assert run_drawings(make_run(scores, Settings(), summary=summary))


@pytest.mark.parametrize("profile", ["release", "fdb-v1", "tau"])
def test_other_profiles_have_plots_too(profile) -> None:
    metrics = profile_metrics(profile)
    rows = [
        score(f"{m.scenario}-{k}", "a", m.scenario, m.name, float(k % 2))
        for m in metrics
        for k in range(3)
    ]
    scores, chosen = pl.DataFrame(rows, schema=SCORES), load_settings(profile)
    summary = summarize(scores, metrics, chosen.summary)
    titles = {one.title for one in run_drawings(make_run(scores, chosen, summary=summary))}
    assert "Systems side by side" in titles


finite = st.floats(-50, 50).map(lambda x: round(x, 3))


@given(st.lists(finite, min_size=1, max_size=2000))
@settings(max_examples=25, deadline=None)
def test_the_distribution_function_is_that_of_the_values(values) -> None:
    x, share = distribution(np.sort(np.array(values)))
    assert len(x) <= MOST_STEPS
    assert (x[0], x[-1]) == (min(values), max(values))
    for at, found in zip(x, share, strict=True):
        expected = sum(value <= at for value in values) / len(values)
        assert abs(found - expected) < 1e-12
    if len(set(values)) <= MOST_STEPS:
        assert set(x) == set(values)


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4), st.integers(2, 9))
def test_ticks_are_few_round_and_inside(low, span, most) -> None:
    ticks = nice_ticks(low, low + span, most)
    assert len(ticks) <= most + 1
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) for tick in ticks)


@given(st.integers(0, 5000), st.integers(2, 300))
def test_thinned_positions_keep_both_ends(count, most) -> None:
    kept = thinned(count, most).tolist()
    assert kept == sorted(set(kept))
    assert len(kept) == min(count, most)
    assert not count or (kept[0], kept[-1]) == (0, count - 1)


def test_margins_within_the_error_are_those_of_the_summary() -> None:
    scores = made_scores(["a", "b"], n=60)
    chosen = Settings()
    summary = summarize(scores, PAPER, chosen.summary)
    for metric, values in margins(scores, PAPER):
        near, total = within(values, chosen.summary.boundary_error_s)
        rows = summary.filter(
            (pl.col("scenario") == metric.scenario) & (pl.col("metric") == metric.name)
        )
        assert near == rows["within_error"].sum()
        assert total == sum(len(margin) for margin in values.values())
        assert all((np.diff(margin) >= 0).all() for margin in values.values())


def test_ratings_go_to_the_nearest_whole_one() -> None:
    assert rating_counts(np.array([0, 0.4, 0.5, 2.5, 4.9, 5.0, 7.0])) == [2, 1, 0, 1, 0, 3]


def test_times_of_events_are_those_of_the_frame() -> None:
    events, recordings = made_events(["a", "b"])
    assert {k: v.round(6).tolist() for k, v in offset_values(events, recordings).items()} == {
        name: [x / 1000 for x in (-50, 50, 150, 250, 350, 450)] for name in "ab"
    }
    found, reference = positions(events, recordings)
    assert found["a"].tolist() == [(200 + k) / 2000 for k in range(6)]
    assert reference.tolist() == [0.25] * 12 + [0.75] * 12


@pytest.mark.parametrize("suffix", ["svg", "pdf", "png"])
def test_files_are_whole_and_the_same_every_time(tmp_path, suffix) -> None:
    scores = made_scores(HOSTILE[:4], n=8)
    chosen = Settings()
    summary = summarize(scores, PAPER, chosen.summary)
    written = []
    for turn in range(2):
        for one in run_drawings(make_run(scores, chosen, summary=summary))[1:2]:
            path = tmp_path / str(turn) / f"{one.name}.{suffix}"
            path.parent.mkdir(exist_ok=True)
            with drawing(one.texts):
                save_figure(one.make(), path, suffix, one.name, one.title, one.caption)
            data = path.read_bytes()
            written.append(data)
            start = {"svg": b"<?xml", "pdf": b"%PDF-", "png": b"\x89PNG"}[suffix]
            assert data.startswith(start)
            if suffix == "svg":
                assert b"var(" not in data
                ElementTree.fromstring(data)
    assert written[0] == written[1]


def test_a_users_own_style_changes_nothing() -> None:
    import matplotlib

    scores = made_scores(["a"], n=4)
    before = plots_of(scores)
    with matplotlib.rc_context(
        {
            "font.size": 30,
            "axes.grid": True,
            "figure.autolayout": True,
            "svg.fonttype": "path",
            "text.usetex": False,
        }
    ):
        assert plots_of(scores) == before
        assert matplotlib.rcParams["font.size"] == 30


def test_looks_of_systems_differ() -> None:
    looks = [look(number) for number in range(24)]
    assert len({(one.colour, str(one.dashes), one.marker) for one in looks}) == 24


def test_scoring_without_a_report_does_not_import_matplotlib() -> None:
    code = (
        "import sys, flexi_score.report.plots, flexi_score.report.plots.svg, flexi_score.cli\n"
        "assert not any(name.partition('.')[0] == 'matplotlib' for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_window_is_ever_opened() -> None:
    code = (
        "import sys, polars as pl\n"
        "from flexi_score.report.plots.style import drawing\n"
        "from flexi_score.report.plots.draw import new_figure\n"
        "from flexi_score.report.plots.svg import svg_text\n"
        "with drawing(): svg_text(new_figure(10), 'x', 'y')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ids_of_a_figure_begin_with_its_name() -> None:
    from flexi_score.report.plots.draw import new_figure, panel

    with drawing():
        figure = new_figure(50)
        panel(figure, 0, 0, 50, 50).scatter([1, 2], [1, 2])
        svg = svg_text(figure, "a/ü b", "t")
    found = re.findall(r'id="([^"]*)"', svg)
    assert found
    assert all(name.startswith("a-b-") for name in found)


@pytest.mark.parametrize("number", [0, 7, 14, 21])
def test_every_dot_shows_in_pixels_too(tmp_path, number) -> None:
    from PIL import Image

    from flexi_score.report.plots.draw import dots, new_figure, panel

    at = np.linspace(0.05, 0.95, 20)
    with drawing():
        figure = new_figure(100, 100)
        axes = panel(figure, 0, 0, 100, 100)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        dots(axes, at, at, look(number))
        save_figure(figure, tmp_path / "x.png", "png", "x")
    with Image.open(tmp_path / "x.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    wanted = [int(look(number).colour[i : i + 2], 16) for i in (1, 3, 5)]
    size = len(pixels)
    for x in at:
        row, column = round((1 - x) * size), round(x * size)
        near = pixels[row - 2 : row + 3, column - 2 : column + 3]
        assert np.abs(near - wanted).sum(axis=-1).min() < 20


names_of_any_kind = st.lists(
    st.one_of(
        st.text(max_size=40),
        st.builds("org/model-{:03d}-instruct-{}".format, st.integers(0, 9), st.text("ab")),
    ),
    unique_by=lambda text: label(text, 1000),
    min_size=1,
    max_size=20,
)


@given(names_of_any_kind, st.integers(8, 30))
def test_short_names_can_be_told_apart(names, most) -> None:
    short = labels(names, most)
    assert list(short) == names
    assert len(set(short.values())) == len(names)
    assert all(len(text) <= most for text in short.values())


def test_short_names_keep_what_differs() -> None:
    names = [f"vendor/model-{number:02d}-2026-11" for number in range(12)]
    short = labels(names, 20)
    for number, name in enumerate(names):
        assert f"model-{number:02d}-" in short[name]
    assert labels(["a", "b"], 20) == {"a": "a", "b": "b"}


@pytest.mark.parametrize("bad", [float("inf"), float("-inf"), float("nan"), 1e300, -1e300])
def test_values_that_are_no_measurements_cost_nothing_else(bad) -> None:
    scores = made_scores(["a", "b"], n=3)
    first = pl.int_range(pl.len()).over("system", "scenario", "metric") == 0
    value = pl.when(first & (pl.col("status") == "scored")).then(bad).otherwise("value")
    scores = scores.with_columns(value=value, margin_s=value)
    chosen = Settings()
    summary = summarize(made_scores(["a", "b"], n=3), PAPER, chosen.summary)
    place = pl.int_range(pl.len())
    summary = summary.with_columns(
        value=pl.when(place % 3 == 0).then(bad).otherwise("value"),
        ci_low=pl.when(place % 5 == 0).then(bad).otherwise("ci_low"),
    )
    for plot in report_plots(make_run(scores, chosen, summary=summary)):
        assert not re.search(r"\b(nan|inf)\b", plot.svg.partition("</desc>")[2])


def test_nothing_is_said_where_there_is_no_home(tmp_path) -> None:
    import os

    code = (
        "from flexi_score.report.plots.style import drawing\n"
        "from flexi_score.report.plots.draw import new_figure\n"
        "from flexi_score.report.plots.svg import svg_text\n"
        "with drawing(['\u8a9e']): svg_text(new_figure(10), 'x', 'y')\n"
    )
    nowhere = {
        "HOME": str(tmp_path / "file"),
        "MPLCONFIGDIR": "",
        "XDG_CONFIG_HOME": "",
        "XDG_CACHE_HOME": "",
    }
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | nowhere,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""


def test_curves_and_rows_are_drawn_at_the_values() -> None:
    scores = made_scores(["a", "b"], n=30)
    chosen = Settings()
    summary = summarize(scores, PAPER, chosen.summary)
    drawings = {one.name: one for one in run_drawings(make_run(scores, chosen, summary=summary))}
    found = scores.filter(
        (pl.col("scenario") == "turn_taking")
        & (pl.col("metric") == "floor_offset")
        & pl.col("value").is_finite()
    )
    with drawing():
        curves, rows = drawings["latency_turn_taking_floor_offset"].make().axes
    for system, line in zip("ab", curves.lines, strict=True):
        values = found.filter(pl.col("system") == system)["value"].sort()
        x, y = line.get_xdata(), line.get_ydata()
        assert x[1:-1].tolist() == values.to_list()
        assert y[1:-1] == pytest.approx([(k + 1) / len(values) for k in range(len(values))])
    # Of each row: the middle half as a line, then the median.
    medians = [line.get_xdata() for line in rows.lines if line.get_color() == "#1c1b1a"]
    expected = found.group_by("system", maintain_order=True).agg(pl.col("value").median())
    assert [at[0] for at in medians] == pytest.approx(expected["value"].to_list())


def test_the_page_sets_every_colour_that_plots_need() -> None:
    from importlib import resources

    from flexi_score.report.plots.style import DARK

    folder = resources.files("flexi_score.report") / "page"
    light, dark = ((folder / name).read_text("utf-8") for name in ("base.css", "dark.css"))
    for colour, name in VARIABLES.items():
        assert f"{name}:" in light or name.startswith("--plot-")  # else the plot's own is taken
        assert f"{name}:" in dark
        if name.startswith("--plot-"):
            assert f"{name}: {DARK[colour]};" in dark
