"""``flexi-score explore``: what it shows is what scoring finds, and only its own page may ask.

Tests in a browser need Chromium and Playwright (extra ``browser-test``); skipped without.
"""

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import AXE, ROOT, Cli, serious_faults
from hypothesis import given
from hypothesis import strategies as st
from made_archives import make_archive
from polars.testing import assert_frame_equal

import flexi_score
from flexi_score.aggregate.labels import read_labels
from flexi_score.archive import store
from flexi_score.archive.corrections import FILE, add_correction, read_corrections, read_lines
from flexi_score.config import load_settings, parse_assignments
from flexi_score.errors import ArchiveError, InputError
from flexi_score.explore.correct import move_edge, save_correction
from flexi_score.explore.rate import rate
from flexi_score.explore.session import Session, open_session
from flexi_score.scoring.corrected import channel_key

testclient = pytest.importorskip("starlette.testclient", reason="needs the extra explore")

PORT, TOKEN = 8765, "a-secret"
HOST = f"127.0.0.1:{PORT}"
OWN = {"origin": f"http://{HOST}", "content-type": "application/json"}
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explore")
    archive = make_archive(folder / "archive")
    return flexi_score.score(archive).write(folder / "scored.run")


@pytest.fixture(scope="module")
def session(run: Path) -> Session:
    return open_session(run)


@pytest.fixture
def client(session: Session) -> Any:
    from flexi_score.explore.server import build_app, cookie_name

    app = build_app(session, PORT, TOKEN)
    return testclient.TestClient(
        app, base_url=f"http://{HOST}", cookies={cookie_name(PORT): TOKEN}, headers=OWN
    )


KEY = ["system", "scenario", "metric"]
CHANGES = [{}, {"yield.hold_ms": 900}, {"speech.threshold": 0.7, "ipu.min_silence_ms": 350}, {}]


def test_values_are_those_of_scoring_again(run: Path, session: Session) -> None:
    """Whatever was shown before: values, intervals, counts and every score but its sentence."""
    archive = session.archive
    for changes in CHANGES:
        scores, summary = session.scores(changes)
        again = flexi_score.score(archive, settings=load_settings("paper", changes))
        assert_frame_equal(summary.sort(KEY), again.summary.sort(KEY), rel_tol=1e-12)
        drop, order = pl.exclude("reason"), ["recording", "scenario", "metric"]
        assert_frame_equal(
            scores.select(drop).sort(order), again.scores.select(drop).sort(order), rel_tol=1e-12
        )


def test_changes_are_counted_against_the_run(session: Session) -> None:
    assert session.values({})["recordings"] == 0
    found = session.values({"yield.hold_ms": 900})
    now = session.scores({"yield.hold_ms": 900})[0]
    before = {(r["recording"], r["metric"]): r for r in session.run.scores.to_dicts()}
    changed = set()
    for row in now.to_dicts():
        was = before[row["recording"], row["metric"]]
        if (row["value"], row["status"]) != (was["value"], was["status"]):
            changed.add(row["recording"])
    assert found["recordings"] == len(changed) > 0
    assert {row["recording"] for row in found["changed"]} == changed
    moved = [
        (metric["key"], row["system"])
        for block in found["blocks"]
        for metric in block["metrics"]
        for row in metric["rows"]
        if row["moved"]
    ]
    assert moved
    assert all(key.startswith(("user_interrupt.", "user_backchannel.")) for key, _ in moved)


@pytest.mark.parametrize(
    "changes",
    [{}, {"summary.cluster": "null", "health.copied.refuse": "null", "yield.hold_ms": "700"}],
)
def test_its_command_sets_what_the_run_had(session: Session, changes: dict[str, str]) -> None:
    settings = load_settings("paper", changes)
    run = flexi_score.score(session.archive, settings=settings)
    _, verb, archive, *sets = shlex.split(Session(run, session.archive).command())
    assert (verb, Path(archive)) == ("score", session.archive)
    assert load_settings("paper", parse_assignments(sets[1::2])) == settings


def test_a_recording_is_drawn_under_the_settings_of_the_moment(session: Session) -> None:
    r = session.names.index("r2")
    merged = session.detail(r, {"ipu.min_silence_ms": 3000})
    apart = session.detail(r, {"ipu.min_silence_ms": 10})
    ipus = [sum(kind == 0 for kind in found["ev"]["k"]) for found in (merged, apart)]
    assert ipus[0] < ipus[1]


def post(client: Any, path: str, body: Any, **headers: str | None) -> Any:
    sent = {k: v for k, v in (OWN | headers).items() if v is not None}
    for name in OWN:
        client.headers.pop(name, None)
    content = body if isinstance(body, bytes) else None
    return client.post(path, headers=sent, **({"content": body} if content else {"json": body}))


def test_the_page_opens_with_its_secret_alone(client: Any) -> None:
    client.cookies.clear()
    assert client.get("/").status_code == 403
    assert client.get("/?token=wrong").status_code == 403
    assert client.get("/audio/0/0?token=a-secret").status_code == 403
    assert post(client, "/api/values", {}).status_code == 403
    opened = client.get(f"/?token={TOKEN}")
    assert opened.status_code == 200
    cookie = opened.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    policy = opened.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy.replace("style-src 'unsafe-inline'", "")
    assert client.get("/").status_code == 200  # the cookie stands for it from then on


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1", "localhost:1", ""]
)
def test_a_foreign_host_is_refused(client: Any, host: str) -> None:
    """A name that resolves to this machine (DNS rebinding) is not ours."""
    assert client.get("/", headers={"host": host}).status_code == 400
    assert client.get("/", headers={"host": f"localhost:{PORT}"}).status_code == 200


def test_only_the_own_page_may_post(client: Any) -> None:
    assert post(client, "/api/values", {}).status_code == 200
    for origin in (None, "http://evil.example", "null", "http://127.0.0.1:1"):
        assert post(client, "/api/values", {}, origin=origin).status_code == 403
    form = {"content-type": "text/plain"}  # what a form of another page can send
    assert post(client, "/api/values", {}, **form).status_code == 403
    assert client.get("/api/values").status_code == 405


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{", "is not JSON"),
        (b'{"changes": {"yield.hold_ms": NaN}}', "NaN"),
        ([], "expected a JSON object"),
        ({"changes": []}, "settings by name"),
        ({"changes": {"yield.hold_ms": "900"}}, "expected a number"),
        ({"changes": {"yield.hold_ms": True}}, "expected a number"),
        ({"changes": {"yield.hold_ms": -1}}, "yield.hold_ms"),
        ({"changes": {"judge.base_url": 1}}, "no setting of this page"),
        ({"changes": {"extract.beam_size": 1}}, "no setting of this page"),
        ({"changes": {}, "more": "x" * 200_000}, "more than"),
    ],
)
def test_what_is_sent_is_checked(client: Any, body: Any, told: str) -> None:
    answer = post(client, "/api/values", body)
    assert answer.status_code == 422
    assert told in answer.json()["problem"]


def test_no_text_of_a_request_is_a_path(client: Any) -> None:
    for path in (
        "/audio/0/../../etc/passwd",
        "/audio/..%2f..%2fetc/0",
        "/audio/-1/0",
        "/audio/9999/0",
    ):
        assert client.get(path).status_code == 404
    for r in ("0", -1, 9999, None, True):
        assert post(client, "/api/recording", {"r": r}).status_code == 422


@pytest.fixture
def own(run: Path, tmp_path: Path) -> Session:
    """A session whose archive may be changed."""
    shutil.copytree(run.parent / "archive", tmp_path / "archive")
    return open_session(run, tmp_path / "archive")


def scored(archive: Path) -> Any:
    return flexi_score.score(archive)


def same_scores(a: Any, b: Any) -> bool:
    return bool(a.scores.equals(b.scores)) and bool(a.summary.equals(b.summary))


def first_ipu(found: Any, name: str, speaker: str) -> tuple[int, int]:
    ipus = found.events.filter(recording=name, speaker=speaker, kind="ipu").sort("start_ms")
    return ipus["start_ms"][0], ipus["end_ms"][0]


def test_a_corrected_boundary_counts_as_if_it_had_been_detected(own: Session) -> None:
    """As in an archive of which detection had found the corrected speech; undone, as before."""
    from flexi_score.archive.reader import ArchiveReader
    from flexi_score.speech.archived import speech_version

    before = scored(own.archive)
    name = "r2"  # user_interrupt
    start, end = first_ipu(before, name, "user")
    body = {"what": "user", "edge": "end", "from_ms": end, "to_ms": end + 137}
    save_correction(own, own.names.index(name), body, {})
    after = scored(own.archive)
    assert first_ipu(after, name, "user")[0] == start
    assert end + 137 in after.events.filter(recording=name, speaker="user")["end_ms"]
    assert not after.events.equals(before.events)
    changed = after.scores.join(
        before.scores, on=after.scores.columns, how="anti", nulls_equal=True
    )
    assert set(changed["recording"]) <= {name}
    # Named wherever the numbers are: signature, notes, health.
    assert " | corrected 1 | " in after.info["signature"]
    assert any(name in note for note in after.info["notes"] if "Corrected by hand" in note)
    assert after.health.filter(recording=name, check="corrected")["detail"].to_list() == [
        "speech of the user corrected by hand"
    ]
    line = read_lines(own.archive)[0]
    other = own.archive.parent / "detected"
    shutil.copytree(own.archive, other, ignore=shutil.ignore_patterns("corrections.jsonl"))
    spans = [{"start_ms": a, "end_ms": b} for a, b in line["speech_ms"]]
    key = f"{line['key']}#{speech_version(before.settings.speech)}"
    store.append(other, "speech", [{"key": key, "speech": spans}])
    reference = scored(other)
    # What failed names the folder that it failed in.
    assert reference.scores.drop("reason").equals(after.scores.drop("reason"))
    assert reference.events.equals(after.events)
    # The page's own values are those of the corrected archive.
    assert_frame_equal(own.scores({})[1].sort(KEY), after.summary.sort(KEY), rel_tol=1e-12)
    assert ArchiveReader(other).recordings().equals(ArchiveReader(own.archive).recordings())
    assert own.undo(own.names.index(name))
    assert not own.undo(own.names.index(name))
    undone = scored(own.archive)
    assert same_scores(undone, before)
    assert undone.info["signature"] == before.info["signature"]


def test_a_corrected_annotation_is_that_of_the_manifest(own: Session) -> None:
    before = scored(own.archive)
    r = own.names.index("r0")  # turn_taking, annotated at 6 s
    body = {"what": "user turn ends", "edge": "start", "from_ms": 6000, "to_ms": 5600}
    save_correction(own, r, body, {})
    after = scored(own.archive)
    assert after.recordings.filter(recording="r0")["user_turn_end_ms"].to_list() == [5600]
    moments = after.scores.filter(recording="r0").drop_nulls("reference_ms")["reference_ms"]
    assert set(moments) == {5600}
    assert after.info["signature"] != before.info["signature"]
    with pytest.raises(InputError, match="6000"):
        save_correction(own, r, body, {})  # it is no longer there
    own.undo(r)
    assert same_scores(scored(own.archive), before)


def test_a_correction_of_other_audio_is_not_used_and_that_is_told(own: Session) -> None:
    before = scored(own.archive)
    line = {"recording": "r1", "speaker": "model", "key": "other", "speech_ms": [[0, 500]]}
    add_correction(own.archive, line)
    after = scored(own.archive)
    assert same_scores(after, before)
    assert after.info["signature"] == before.info["signature"]
    told = after.health.filter(recording="r1", check="corrected").row(0, named=True)
    assert told["verdict"] == "warn"
    assert "other audio" in told["detail"]


ADD = """
import sys
from pathlib import Path
from flexi_score.archive.corrections import add_correction
sys.stdin.readline()
for n in range(60):
    line = {"recording": sys.argv[2], "annotations": {"pause_end_ms": n}}
    add_correction(Path(sys.argv[1]), line)
"""


def test_two_processes_that_correct_at_once_lose_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ADD, tmp_path]
    both = [
        subprocess.Popen(
            [*command, name], stdin=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        for name in ("a", "b")
    ]
    for process in both:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    assert [process.wait() for process in both] == [0, 0]
    found = [
        (line["recording"], line["annotations"]["pause_end_ms"]) for line in read_lines(tmp_path)
    ]
    assert sorted(found) == [(name, n) for name in "ab" for n in range(60)]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"recording": "r1"}',
        '{"recording": "r1", "speaker": "user", "key": "k", "speech_ms": [[5, 2]]}',
        '{"recording": "r1", "speaker": "user", "key": "k", "speech_ms": [[-5, 2]]}',
        '{"recording": "r1", "speaker": "user", "key": "k", "speech_ms": [[1, 2.5]]}',
        '{"recording": "r1", "annotations": {"user_turn_end_ms": "late"}}',
        '{"recording": "r1", "annotations": {"metadata": 1}}',
    ],
)
def test_a_line_that_is_no_correction_stops_scoring(own: Session, line: str) -> None:
    """Left out in silence, it would change numbers."""
    good = '{"recording": "r1", "annotations": {"user_turn_end_ms": 5}}\n'
    (own.archive / FILE).write_text(good + line + "\n")
    with pytest.raises(ArchiveError, match=r"corrections\.jsonl, line 2"):
        read_corrections(own.archive)


def test_merged_archives_keep_their_corrections(own: Session, tmp_path: Path) -> None:
    from flexi_score.scoring.merge import merge_archives

    lines = [{"recording": "r1", "annotations": {"user_turn_end_ms": at}} for at in (700, 800, 700)]
    for line in lines:
        add_correction(own.archive, line)
    merge_archives([own.archive], tmp_path / "merged")
    assert read_lines(tmp_path / "merged") == lines
    merge_archives([own.archive], tmp_path / "merged")
    assert read_lines(tmp_path / "merged") == lines


@given(
    st.sets(st.integers(0, 40), min_size=2, max_size=8),
    st.sampled_from(["start", "end"]),
    st.integers(0, 7),
    st.integers(0, 40),
)
def test_a_moved_edge_adds_or_takes_what_lies_between(
    cuts: set[int], edge: str, which: int, end: int
) -> None:
    """Against a set of milliseconds."""
    at = sorted(cuts)[: len(cuts) // 2 * 2]
    speech = list(zip(at[::2], at[1::2], strict=True))
    start = speech[which % len(speech)][edge == "end"]
    held = {ms for a, b in speech for ms in range(a, b)}
    between = set(range(min(start, end), max(start, end)))
    grows = (end > start) if edge == "end" else (end < start)
    expected = held | between if grows else held - between
    found = move_edge(speech, edge, start, end)
    assert {ms for a, b in found for ms in range(a, b)} == expected
    ends = [ms for span in found for ms in span]
    assert ends == sorted(ends)


@pytest.mark.parametrize(
    "more",
    [
        {"what": "user", "edge": "end", "from_ms": 1, "to_ms": 50},
        {"what": "user", "edge": "middle", "from_ms": 1, "to_ms": 50},
        {"what": "nobody", "edge": "end", "from_ms": 1, "to_ms": 50},
        {"what": "pause", "edge": "end", "from_ms": 1, "to_ms": 50},
        {"what": "user", "edge": "end", "from_ms": 1.5, "to_ms": 50},
        {"what": "user", "edge": "end", "from_ms": 1, "to_ms": 50_000_000},
        {"what": ["user"], "edge": "end", "from_ms": 1, "to_ms": 50},
    ],
)
def test_what_cannot_be_corrected_is_refused(client: Any, session: Session, more: Any) -> None:
    answer = post(client, "/api/correct", {"r": 0, **more})
    assert answer.status_code == 422
    assert "correction" in answer.json()["problem"]
    assert read_lines(session.archive) == []


@pytest.fixture(scope="module")
def rated_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with ratings: those that came with its recordings."""
    folder = tmp_path_factory.mktemp("rated")
    archive = make_archive(folder / "archive", count=28)
    settings = load_settings("paper", {"judge.mode": "replay"})
    return flexi_score.score(archive, settings=settings).write(folder / "a.run")


@pytest.fixture
def judged(rated_run: Path) -> Iterator[Session]:
    yield open_session(rated_run)
    (rated_run / "labels.csv").unlink(missing_ok=True)


def test_a_rater_sees_the_question_alone(judged: Session) -> None:
    shown = rate(judged, {"rater": "ann"})
    assert set(shown) == {"done", "total", "item", "rubric", "question", "sound"}
    asked = judged.run.ratings.filter(pl.col("value").is_not_null())
    assert shown["total"] == len(asked.unique(["recording", "metric"])) > 1
    seen = [shown]
    for _ in range(shown["total"] - 1):
        seen.append(rate(judged, {"rater": "ann", "after": seen[-1]["item"]}))
    assert sorted(one["item"] for one in seen) == list(range(shown["total"]))
    text = str(seen)
    for row in judged.run.ratings.iter_rows(named=True):
        assert f"'{row['recording']}'" not in text
        assert row["reason"] is None or row["reason"] not in text


def test_ratings_are_labels_that_agree_reads(judged: Session, cli: Cli) -> None:
    assert judged.run.folder is not None
    item = rate(judged, {"rater": "ann"})
    while item["item"] is not None:
        body = {"rater": "ann", "item": item["item"], "value": item["item"] % 6}
        item = rate(judged, body)
    assert item["done"] == item["total"]
    again = rate(judged, {"rater": "ann", "item": 0, "value": 5})  # thought better of it
    assert again["done"] == item["total"]
    rate(judged, {"rater": "bob, jr", "item": 0, "value": 3})
    file = judged.run.folder / "labels.csv"
    labels = read_labels(file)
    assert len(labels) == item["total"] + 1
    first = labels.filter(rater="bob, jr").select("recording", "metric")
    assert set(labels.join(first, on=first.columns, how="semi")["value"]) == {5.0, 3.0}
    found = cli("agree", judged.run.folder, file, "--json")
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""  # every label has a rating
    overall = [row for row in json.loads(found.stdout) if row["system"] in ("a", "b")]
    assert sum(row["labels"] for row in overall) == len(labels)


def test_a_rating_is_of_what_was_shown_whatever_is_corrected_meanwhile(
    rated_run: Path, tmp_path: Path
) -> None:
    """A correction may take a question away; the numbers of the others stay."""
    shutil.copytree(rated_run.parent, tmp_path / "copy")
    session = open_session(tmp_path / "copy" / rated_run.name)
    before = [rate(session, {"rater": "ann"})]
    for _ in range(before[0]["total"] - 1):
        before.append(rate(session, {"rater": "ann", "after": before[-1]["item"]}))
    shown = session.questions
    assert shown is not None
    silenced = shown["recording"][0]
    key = session.stages.rows.filter(recording=silenced).select(channel_key("model")).item()
    line = {"recording": silenced, "speaker": "model", "key": key, "speech_ms": []}
    add_correction(session.archive, line)
    session.begin()
    now = open_session(tmp_path / "copy" / rated_run.name)
    assert rate(now, {"rater": "ann"})["total"] < len(before)
    for one in before:
        rate(session, {"rater": "ann", "item": one["item"], "value": one["item"] % 6})
    labels = read_labels(tmp_path / "copy" / rated_run.name / "labels.csv")
    own = shown.with_columns(value=(pl.col("item") % 6).cast(pl.Float64))
    columns = ["recording", "metric", "value"]
    assert labels.select(columns).sort(columns).equals(own.select(columns).sort(columns))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"rater": ""},
        {"rater": "x" * 81},
        {"rater": "ann", "item": -1, "value": 1},
        {"rater": "ann", "item": 0, "value": 6},
        {"rater": "ann", "item": 0, "value": 2.5},
        {"rater": "ann", "item": "0", "value": 1},
        {"rater": "ann", "after": 9999},
    ],
)
def test_what_is_no_rating_is_refused(judged: Session, body: Any) -> None:
    with pytest.raises(InputError):
        rate(judged, body)
    assert judged.run.folder is not None
    assert not (judged.run.folder / "labels.csv").exists()


def test_without_the_extra_it_says_what_to_install(run: Path) -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        f"from flexi_score.cli import main; main(['explore', {str(run)!r}])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert found.returncode == 2
    assert "pip install '.[explore]'" in found.stderr


@contextlib.contextmanager
def served(run: Path) -> Iterator[str]:
    """The page, by the command line; its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flexi_score", "explore", str(run)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the extra browser-test")
    if CHROMIUM is None:
        pytest.skip("needs Chromium, which is not installed here")
    with sync_api.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address(run: Path, browser: Any) -> Iterator[str]:
    with served(run) as url:
        yield url


@contextlib.contextmanager
def opened_page(browser: Any, address: str) -> Iterator[Any]:
    """The page, open; it must ask nothing of anybody else, and raise nothing."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    asked: list[str] = []
    faults: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.goto(address)
    opened.wait_for_selector(SHOWN)
    yield opened
    context.close()
    own = address.partition("?")[0]
    assert faults == []
    assert [url for url in asked if not url.startswith((own, "data:"))] == []


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    with opened_page(browser, address) as opened:
        yield opened


def shown_number(page: Any, row: dict[str, Any]) -> float | None:
    """The value that the page shows of a row of the summary."""
    shown = page.locator(
        f'tbody[data-metric="{row["scenario"]}.{row["metric"]}"] tr[data-system="{row["system"]}"]'
    ).get_attribute("data-number")
    return None if shown == "" else float(shown)


#: Middle of the user's lane from the top of the timeline, below marks and words.
LANE_PX = 17 + 19 + 30

#: The values, when nothing is under way.
SHOWN = "body:not([data-busy]) #blocks[aria-busy=false] table"


def set_to(page: Any, name: str, value: str) -> None:
    field = page.locator(f'input[aria-label="{name}, exactly"]')
    field.fill(value)
    field.press("Tab")
    page.wait_for_selector(SHOWN)


def test_a_moved_threshold_shows_what_scoring_with_it_finds(page: Any, session: Session) -> None:
    assert "token" not in page.url
    assert page.locator(".live .moved").count() == 0
    slider = page.locator('input[type=range][id="yield.hold_ms"]')
    slider.focus()
    for _ in range(40):
        page.keyboard.press("ArrowRight")  # 10 ms each
    page.wait_for_selector(f"{SHOWN} .moved")
    assert page.locator('input[aria-label="yield.hold_ms, exactly"]').input_value() == "900"
    again = flexi_score.score(
        session.archive, settings=load_settings("paper", {"yield.hold_ms": 900})
    )
    for row in again.summary.iter_rows(named=True):
        assert shown_number(page, row) == row["value"]
    page.locator("#changed .link").first.click()
    page.wait_for_selector("#detail[open] .stage")
    page.keyboard.press("Escape")
    page.locator("#reset").click()
    page.wait_for_selector(SHOWN)
    assert page.locator(".live .moved").count() == 0


def test_a_dragged_boundary_is_saved_scored_and_undone(
    browser: Any, run: Path, tmp_path: Path
) -> None:
    """In its own copy, by mouse; every later score of the archive uses it until it is undone."""
    shutil.copytree(run.parent, tmp_path / "copy")
    mine = tmp_path / "copy" / run.name
    archive = tmp_path / "copy" / "archive"
    before = scored(archive)
    _, end = first_ipu(before, "r2", "user")
    with served(mine) as url, opened_page(browser, url) as page:
        page.locator("#f-q").fill("r2")
        page.locator('.list .open:text-is("r2")').click()
        stage = page.locator("#detail[open] .stage")
        stage.wait_for()
        page.locator('.transport button:text-is("Correct")').click()
        box = stage.bounding_box()
        duration = 12_000
        x = box["x"] + box["width"] * end / duration
        y = box["y"] + LANE_PX
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 30, y, steps=4)
        page.mouse.up()
        moved = page.locator('input[aria-label="Moved to, in ms"]')
        moved.fill(str(end + 150))
        assert not AXE.is_file() or serious_faults(page) == []
        page.locator('button:text-is("Save correction")').click()
        undo = page.locator(".transport .undo")
        undo.wait_for()
        again = scored(archive)
        assert end + 150 in again.events.filter(recording="r2", speaker="user")["end_ms"]
        assert "corrected 1" in again.info["signature"]
        page.wait_for_selector(SHOWN)
        for row in again.summary.iter_rows(named=True):
            assert shown_number(page, row) == row["value"]
        undo.click()
        undo.wait_for(state="detached")
    assert read_lines(archive) == []
    assert same_scores(scored(archive), before)


def test_a_rating_in_the_page_is_a_label(browser: Any, judged: Session) -> None:
    assert judged.run.folder is not None
    with served(judged.run.folder) as url, opened_page(browser, url) as page:
        page.locator("#rater input").fill("ann")
        page.locator("#rater button").click()
        item = page.locator("#item")
        item.wait_for()
        first = item.get_attribute("data-item")
        item.locator('button[data-value="4"]').click()
        page.wait_for_selector(f'#item:not([data-item="{first}"])')
        assert page.locator("#rated").inner_text().startswith("1 of ")
        assert not AXE.is_file() or serious_faults(page) == []
    labels = read_labels(judged.run.folder / "labels.csv")
    assert labels.select("rater", "value").rows() == [("ann", 4.0)]
