"""report.html in a real browser: what readers do with it, and that it asks nothing of a network.

Needs Chromium and Playwright (extra ``browser-test``); skipped where either is missing.
"""

import contextlib
import json
import math
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile as sf
from conftest import AXE, serious_faults

from flexi_score.archive import store
from flexi_score.archive.tables import ARCHIVED, ENVELOPE_MS, FRAME_MS
from flexi_score.report.build import build_report
from flexi_score.schema import HEALTH, RATINGS
from flexi_score.scoring.pipeline import score
from flexi_score.scoring.run import Run

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
sync_api = pytest.importorskip(
    "playwright.sync_api", reason="needs Playwright: pip install '.[browser-test]'"
)
if CHROMIUM is None:
    pytest.skip("needs Chromium, which is not installed here", allow_module_level=True)

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--autoplay-policy=no-user-gesture-required",
]
HOSTILE = "<script>alert(1)</script><!-- \"'\u202e&amp;</title>"
SPEECH = {"user": [(300, 1800)], "model": [(2100, 3600), (3900, 5200)]}
DURATION_MS = 6000


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


def tone(path: Path) -> Path:
    """Six seconds, user left and model right: tones where SPEECH says."""
    time = np.arange(DURATION_MS * 8) / 8000
    sound = np.zeros((len(time), 2), np.float32)
    for side, (name, pitch) in enumerate((("user", 220.0), ("model", 330.0))):
        for start, end in SPEECH[name]:
            inside = (time >= start / 1000) & (time < end / 1000)
            sound[inside, side] = 0.3 * np.sin(2 * math.pi * pitch * time[inside])
    sf.write(path, sound, 8000)
    return path


def archived(folder: Path, names: list[str], systems: list[str], text: str) -> Path:
    """An archive of such recordings with sound beside it; the user's words are ``text``."""
    store.open_archive(folder, create=True)
    sound = tone(folder.parent / "two voices #1.wav")
    for side, spans in SPEECH.items():
        frames = np.arange(DURATION_MS // FRAME_MS) * FRAME_MS
        steps = np.arange(DURATION_MS // ENVELOPE_MS) * ENVELOPE_MS
        spoken, loud = (
            np.any([(a <= at) & (at < b) for a, b in spans], axis=0) for at in (frames, steps)
        )
        channel = {
            "key": side,
            "duration_ms": DURATION_MS,
            "dead": False,
            "detector": "made-up",
            "probabilities": np.where(spoken, 65000, 300).astype(np.uint16).tolist(),
            "envelope_cdb": np.where(loud, -2500, -7500).astype(np.int16).tolist(),
            "noise_dbfs": -75.0,
            "active_dbfs": -23.0,
            "peak_dbfs": -10.0,
            "gain_db": 0.0,
            "zero_share": 0.0,
            "clipped_share": 0.0,
            "sample_rate_hz": 8000,
            "encoding": "PCM_16",
        }
        said = text.split("|") if side == "user" else ["well", "then", "let", "us", "see"]
        start, end = spans[0][0], spans[-1][1]
        step = (min(spans[0][1], end) - start) // len(said)
        words = [
            {"start_ms": start + k * step, "end_ms": start + (k + 1) * step, "text": word}
            for k, word in enumerate(said)
        ]
        store.append(folder, "channels", [channel])
        store.append(folder, "frames", [channel])
        store.append(folder, "words", [{"key": side, "source": "asr", "words": words}])
    rows = []
    for k, name in enumerate(names):
        row = dict.fromkeys(ARCHIVED.names()) | {
            "recording": name,
            "system": systems[k % len(systems)],
            "duration_ms": DURATION_MS,
            "scenario": ("turn_taking", "pause_handling")[k % 2],
            "audio": str(sound),
            "user_channel": 0,
            "model_channel": 1,
            "manifest_position": k,
        }
        if k % 2 == 0:
            row["user_turn_end_ms"] = 1800
        for side in SPEECH:
            row[f"{side}_key"] = row[f"{side}_words_key"] = side
        rows.append(row)
    store.append(folder, "recordings", rows)
    return folder


def ratings(recording: str) -> pl.DataFrame:
    row = {
        "recording": recording,
        "metric": "tss",
        "status": "rated",
        "value": 4.0,
        "repeat": 0,
        "question": json.dumps({"query": f"Is this right? {HOSTILE}"}),
        "reply": f"4 {HOSTILE}",
        "reason": "it answers the question",
        "model": "a-judge",
    }
    return pl.DataFrame([row], schema=RATINGS)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The run folder of sixty recordings, with a rating and a warning."""
    place = tmp_path_factory.mktemp("page")
    names = [f"call-{k}" for k in range(60)]
    archive = archived(place / "run" / "archive", names, ["calm", "eager"], "what|is|the|time")
    ill = {
        "recording": "call-1",
        "check": "snr",
        "channel": "user",
        "verdict": "warn",
        "detail": "noise of 40 dB",
        "remedy": "move away from the fan",
        "value": 1.0,
        "threshold": 2.0,
        "unit": "dB",
    }
    made = score(archive).with_tables(
        ratings=ratings("call-0"), health=pl.DataFrame([ill], schema=HEALTH)
    )
    made.write(place / "run")
    build_report(place / "run")
    return place / "run"


@contextlib.contextmanager
def opened(browser, file, **more):
    """A page of the file, which must neither complain nor ask for anything."""
    options = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"} | more
    context = browser.new_context(**options)
    page = context.new_page()
    complaints, asked = [], []
    page.on("console", lambda m: complaints.append(m.text) if m.type != "log" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    page.goto(Path(file).resolve().as_uri())
    yield page
    allowed = (Path(file).resolve().as_uri(), "data:", "blob:")
    foreign = [url for url in asked if not url.startswith(allowed) and not url.endswith(".wav")]
    assert foreign == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    assert complaints == []
    context.close()


def names_shown(page):
    return page.locator(".list .open").all_inner_texts()


def test_opens_with_everything_and_asks_for_nothing(browser, run):
    with opened(browser, run / "report.html") as page:
        assert page.title().startswith("run")
        headings = page.locator("main > section > h2").all_inner_texts()
        assert headings == [
            "Results",
            "What happened",
            "Distributions and outcomes",
            "Sensitivity",
            "Health of the captures",
            "Recordings",
            "Judge",
            "Definitions and run",
        ]
        entries = page.evaluate("performance.getEntriesByType('resource').map((e) => e.name)")
        assert [name for name in entries if not name.startswith("data:")] == []
        assert page.locator("#health").get_by_text("move away from the fan").count() == 1
        assert page.locator("#judge").get_by_text("it answers the question").count() == 1
        assert names_shown(page)[:3] == ["call-0", "call-1", "call-2"]
        assert page.locator(".list tbody tr").count() == 50


def test_search_filters_and_pages(browser, run):
    with opened(browser, run / "report.html") as page:
        page.get_by_role("button", name="Next →").click()
        assert names_shown(page)[0] == "call-50"
        page.get_by_label("System", exact=True).select_option(label="eager")
        assert page.locator("#shown").inner_text() == "30 of 60"
        assert names_shown(page)[0] == "call-1"
        page.get_by_label("Search recordings").fill("call-1")
        sync_api.expect(page.locator("#shown")).to_have_text("6 of 60")
        assert names_shown(page) == [f"call-{k}" for k in (1, 11, 13, 15, 17, 19)]
        page.get_by_role("button", name="Clear").click()
        page.get_by_label("Search recordings").fill("what is the TIME")
        sync_api.expect(page.locator("#shown")).to_have_text("60 recordings")
        page.get_by_label("Search recordings").fill("nobody says this")
        sync_api.expect(page.locator("#shown")).to_have_text("0 of 60")
        assert page.get_by_text("No recording is like that").is_visible()
        page.get_by_role("button", name="Clear").click()
        page.get_by_label("health warnings").check()
        assert names_shown(page) == ["call-1"]


def test_outcomes_are_filtered_and_metrics_sorted(browser, run):
    with opened(browser, run / "report.html") as page:
        page.get_by_label("Scenario", exact=True).select_option(label="Turn-taking")
        headings = page.locator(".list thead th").all_inner_texts()
        assert any(text.startswith("answers after, s") for text in headings)
        assert page.locator("#shown").inner_text() == "30 of 60"
        page.get_by_label("Outcome", exact=True).select_option(label="takes its turn (TOR 1)")
        assert page.locator("#shown").inner_text() == "30 of 60"
        page.get_by_label("Outcome", exact=True).select_option(label="leaves its turn (TOR 0)")
        assert page.locator("#shown").inner_text() == "0 of 60"
        page.get_by_label("Outcome", exact=True).select_option(label="any outcome")
        sort = page.locator("[data-sort=id]")
        sort.click()
        assert names_shown(page)[:2] == ["call-0", "call-2"]
        sort.click()
        assert names_shown(page)[:2] == ["call-58", "call-56"]
        assert page.locator("th[aria-sort=descending]").inner_text().startswith("Recording")
        sort.click()  # as in the run again
        assert page.locator("th[aria-sort]").count() == 0


def test_a_value_lists_its_recordings_and_a_dot_opens_one(browser, run):
    with opened(browser, run / "report.html") as page:
        page.locator("button[data-metric='turn_taking.tor'][data-system=calm]").first.click()
        assert page.locator("#shown").inner_text() == "30 of 60"
        assert set(page.locator(".list tbody td:nth-child(2)").all_inner_texts()) == {"calm"}
        dots = page.locator("svg[data-metric='turn_taking.latency'][data-system=calm] .one")
        assert dots.count() == 30
        dots.first.dispatch_event("click")
        assert page.locator("#detail-title").inner_text() == "call-0"


def test_definitions_open_by_touch(browser, run):
    phone = {"viewport": {"width": 390, "height": 800}, "has_touch": True}
    with opened(browser, run / "report.html", **phone) as page:
        page.locator(".define summary").first.tap()
        assert "takeover rate" in page.locator(".define p").first.inner_text()
        assert page.locator(".define p").first.is_visible()


def test_recordings_are_aligned_where_they_were_decided(browser, run):
    with opened(browser, run / "report.html") as page:
        page.locator("#happened").scroll_into_view_if_needed()
        rows = page.locator("#aligned .row")
        sync_api.expect(rows.first).to_be_attached()
        from_, acted = (
            float(rows.first.locator("xpath=..").locator(name).first.get_attribute("x1")[:-1])
            for name in (".from", ".acted")
        )
        assert (acted - from_) / 100 * 8000 == pytest.approx(300, abs=10)  # 8 s wide
        assert page.locator("#gallery .example").count() > 1
        assert page.locator("#gallery .good").count() > 0
        rows.first.focus()
        page.keyboard.press("Enter")
        assert page.locator("#detail").is_visible()


def test_print_takes_two_pages(browser, run):
    with opened(browser, run / "report.html") as page:
        page.emulate_media(media="print")
        pages = page.pdf(format="A4").count(b"/Type /Page\n")
        assert 1 <= pages <= 2


def test_words_are_found_where_there_is_no_timeline(browser, run, tmp_path):
    made = build_report(run, tmp_path / "few.html", max_timelines=3)
    with opened(browser, made.path) as page:
        page.get_by_label("Search recordings").fill("TIME what")
        sync_api.expect(page.locator("#shown")).to_have_text("60 recordings")


def test_keys_go_from_event_to_event_and_the_caption_keeps_up(browser, run):
    with opened(browser, run / "report.html") as page:
        page.locator(".list").get_by_role("button", name="call-0", exact=True).click()
        stage = page.get_by_role("slider", name="Position in the recording")
        times = []
        for key in (".", ".", ".", ","):
            page.keyboard.press(key)
            times.append(float(stage.get_attribute("aria-valuenow")))
            assert stage.get_attribute("aria-valuetext").startswith(f"{times[-1]:.2f} seconds: ")
            assert page.locator("#detail .readout").first.inner_text() in (
                stage.get_attribute("aria-valuetext")
            )
        assert times == [0.3, 1.8, 2.1, 1.8]


def test_one_recording_opens_on_its_timeline(browser, tmp_path):
    archive = archived(tmp_path / "run" / "archive", ["only"], ["calm"], "what|is|the|time")
    score(archive).write(tmp_path / "run")
    folder = tmp_path / "run"
    with opened(browser, folder / "report.html") as page:
        assert page.locator("#detail-title").inner_text() == "only"


def test_keyboard_alone(browser, run):
    with opened(browser, run / "report.html") as page:
        page.locator(".list").get_by_role("button", name="call-0", exact=True).focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.textContent") == "call-2"
        page.keyboard.press("Enter")
        assert page.locator("#detail-title").inner_text() == "call-2"
        stage = page.get_by_role("slider", name="Position in the recording")
        assert page.evaluate("document.activeElement.className") == "stage"
        for _ in range(3):
            page.keyboard.press("Shift+ArrowRight")
        assert stage.get_attribute("aria-valuenow") == "3.00"
        assert "model speaks" in stage.get_attribute("aria-valuetext")
        page.keyboard.press("n")
        assert page.locator("#detail-title").inner_text() == "call-3"
        page.keyboard.press("p")
        page.keyboard.press("Escape")
        assert not page.locator("#detail").is_visible()
        assert page.evaluate("document.activeElement.textContent") == "call-2"


def pixels(page, shown=lambda blue, orange: min(blue, orange) > 0.02):
    """Share of the canvas in each speaker's colour, once it shows what it should.

    It is drawn with the next frame, which may be late on a busy machine.
    """
    for _ in range(200):
        found = _pixels(page)
        if shown(*found):
            break
        page.wait_for_timeout(50)
    return found


def _pixels(page):
    return page.evaluate(
        """() => {
          const canvas = document.querySelector("#detail canvas");
          const copy = new OffscreenCanvas(canvas.width, canvas.height);
          const ctx = copy.getContext("2d", {willReadFrequently: true});
          ctx.drawImage(canvas, 0, 0);
          const data = ctx.getImageData(0, 0, canvas.width, canvas.height).data;
          let blue = 0, orange = 0;
          for (let k = 0; k < data.length; k += 4) {
            if (data[k + 3] < 200) continue;
            if (data[k + 2] > data[k] + 60) blue++;
            if (data[k] > data[k + 2] + 60) orange++;
          }
          return [blue / data.length * 4, orange / data.length * 4];
        }"""
    )


def test_a_timeline_shows_what_happened(browser, run):
    with opened(browser, run / "report.html") as page:
        page.locator(".list").get_by_role("button", name="call-0", exact=True).click()
        blue, orange = pixels(page)
        assert 0.02 < blue < orange  # the model speaks longer
        detail = page.locator("#detail")
        assert detail.get_by_text("takes over at 2.").first.is_visible()
        assert detail.locator(".said-list").inner_text().split("\n")[1:3] == [
            "user",
            "what is the time",
        ]
        detail.get_by_role("button", name="decided at").first.click()
        assert float(detail.locator(".now").inner_text()) == pytest.approx(2.1, abs=0.05)
        detail.locator("summary", has_text="Events in order of time").click()
        rows = detail.locator(".events tbody tr").all_inner_texts()
        assert any("gap" in row for row in rows)
        detail.locator("summary", has_text="Judge").click()
        assert detail.get_by_text("it answers the question").is_visible()


def test_click_zoom_and_pan(browser, run):
    with opened(browser, run / "report.html") as page:
        page.locator(".list").get_by_role("button", name="call-0", exact=True).click()
        box = page.locator(".stage").bounding_box()
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.click(*middle)
        now = page.locator(".now")
        assert float(now.inner_text()) == pytest.approx(3.0, abs=0.02)
        before = pixels(page)
        for _ in range(4):
            page.get_by_role("button", name="Zoom in").click()
        page.wait_for_timeout(80)
        after = pixels(page, lambda blue, orange: orange > before[1])
        assert after[1] > before[1]  # the model's speech fills the view
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] - 200, middle[1], steps=4)
        page.mouse.up()
        assert float(now.inner_text()) == pytest.approx(3.0, abs=0.02)  # a drag does not seek
        page.mouse.click(*middle)
        assert float(now.inner_text()) > 3.05
        page.keyboard.press("0")
        page.mouse.click(*middle)
        assert float(now.inner_text()) == pytest.approx(3.0, abs=0.02)
        page.mouse.wheel(0, -300)
        page.mouse.click(box["x"] + 2, middle[1])
        assert float(now.inner_text()) > 0.2


def until(page, condition):
    """Wait for what is true of the page, however slow the machine is."""
    for _ in range(1200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"it never became true: {condition}")


def plays(page):
    """Play from 0.25 s, and return the cursor's moments and the words that lit up on the way."""
    page.evaluate(
        """() => {
          window.seen = []; window.lit = new Set();
          const look = () => {
            const stage = document.querySelector(".stage");
            if (!stage) return;
            const place = document.querySelector(".cursor").style.transform;
            window.seen.push([Number(stage.dataset.time), place]);
            const lit = document.querySelectorAll(".word.said");
            for (const word of lit) window.lit.add(word.textContent);
            requestAnimationFrame(look);
          };
          look();
        }"""
    )
    page.get_by_role("button", name="Play", exact=True).click()
    until(page, "Number(document.querySelector('.stage').dataset.time) > 1300")
    page.get_by_role("button", name="Pause", exact=True).click()
    seen = page.evaluate("window.seen")
    return [time for time, _ in seen], {at for _, at in seen}, set(page.evaluate("[...window.lit]"))


@pytest.mark.parametrize("embedded", [False, True], ids=["linked", "embedded"])
def test_sound_plays_and_the_cursor_follows(browser, run, tmp_path, embedded):
    file = run / "report.html"
    if embedded:
        file = tmp_path / "to_share.html"  # far from the sound, which is inside
        made = build_report(run, file, embed=["call-0"])
        assert made.embedded == 1
    with opened(browser, file) as page:
        page.locator(".list").get_by_role("button", name="call-0", exact=True).click()
        times, places, lit = plays(page)
        assert times == sorted(times)
        assert len(places) > 3
        assert {"what", "is"} <= lit
        stopped = page.locator(".now").inner_text()
        page.wait_for_timeout(150)
        assert page.locator(".now").inner_text() == stopped


def test_two_files_play_together_each_from_its_own_start(browser, run, tmp_path):
    copy = tmp_path / "pairs"
    data, rate = sf.read(run / "two voices #1.wav")
    for side, name in enumerate(SPEECH):
        sf.write(tmp_path / f"{name}.wav", data[:, side], rate)
    stored = Run.open(run)
    table = stored.recordings.with_columns(
        audio=pl.lit(None, pl.String),
        model_offset_ms=pl.lit(400, pl.Int64),
        **{f"{name}_audio": pl.lit(str(tmp_path / f"{name}.wav")) for name in SPEECH},
    )
    stored.with_tables(recordings=table).write(copy)
    build_report(copy, archive=run / "archive")
    with opened(browser, copy / "report.html") as page:
        page.evaluate(
            """() => {
              window.started = {};
              const play = HTMLMediaElement.prototype.play;
              HTMLMediaElement.prototype.play = function () {
                const name = this.src.split("/").at(-1);
                window.started[name] = {sound: this, from: this.currentTime, at: performance.now()};
                return play.call(this);
              };
            }"""
        )
        page.locator(".list").get_by_role("button", name="call-0", exact=True).click()
        page.evaluate("addEventListener('click', () => { window.t0 = performance.now(); }, true)")
        page.get_by_role("button", name="Play", exact=True).click()
        files = "Object.entries(window.started)"
        until(page, f"{files}.filter(([_, one]) => one.sound.currentTime > 0.2).length === 2")
        times = f"{files}.map(([name, {{from, at}}]) => [name, from * 1000, at - window.t0])"
        started = {name: (begin, at) for name, begin, at in page.evaluate(times)}
        assert set(started) == {"user.wav", "model.wav"}
        assert started["user.wav"][0] == 0
        begin, at = started["model.wav"]
        assert at >= 400  # a timer may be late, never early
        assert 0 <= begin <= at - 400  # and then it catches up with the cursor


def test_sound_that_is_gone_is_told(browser, run, tmp_path):
    file = tmp_path / "alone" / "report.html"
    file.parent.mkdir()
    shutil.copy(run / "report.html", file)
    context = browser.new_context()
    page = context.new_page()
    page.goto(file.as_uri())
    page.locator(".list").get_by_role("button", name="call-0", exact=True).click()
    page.get_by_role("button", name="Play", exact=True).click()
    sync_api.expect(page.locator("#detail [role=status]")).to_contain_text("cannot be played")
    assert "two voices #1.wav" in page.locator("#detail [role=status]").inner_text()
    context.close()


def test_dark_by_system_and_by_button(browser, run):
    ground = "getComputedStyle(document.body).backgroundColor"

    def bright(page):
        return sum(map(int, page.evaluate(ground).strip("rgba()").split(", ")[:3])) > 380

    with opened(browser, run / "report.html", color_scheme="dark") as page:
        assert not bright(page)
        page.locator(".list").get_by_role("button", name="call-0", exact=True).click()
        assert pixels(page)[0] > 0.02
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Light").click()
        assert bright(page)
    with opened(browser, run / "report.html") as page:
        assert bright(page)
        page.get_by_role("button", name="Dark").click()
        assert not bright(page)


def test_phone_width_without_sideways_scrolling(browser, run):
    wide = "[document.documentElement.scrollWidth, innerWidth]"
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
    with opened(browser, run / "report.html", **phone) as page:
        scroll, screen = page.evaluate(wide)
        assert scroll <= screen
        page.locator(".list").get_by_role("button", name="call-0", exact=True).tap()
        body = page.evaluate(
            "(({scrollWidth, clientWidth}) => [scrollWidth, clientWidth])"
            "(document.querySelector('#detail .body'))"
        )
        assert body[0] <= body[1]
        assert pixels(page)[1] > 0.02
        page.get_by_role("button", name="Close").tap()
        assert not page.locator("#detail").is_visible()


def test_a_link_opens_its_recording(browser, run):
    with opened(browser, run / "report.html") as page:
        page.locator(".list").get_by_role("button", name="call-7", exact=True).click()
        address = page.url
        assert address.endswith("#recording=call-7")
        page.goto("about:blank")
        page.goto(address)
        assert page.locator("#detail-title").inner_text() == "call-7"


def test_hostile_text_is_shown_as_text(browser, tmp_path):
    said = "hello|<img src=x onerror=alert(2)>|</script><script>alert(3)</script>"
    archive = archived(tmp_path / "run" / "archive", [HOSTILE, "b"], [HOSTILE, "b"], said)
    folder = tmp_path / HOSTILE.replace("/", "_")
    ill = dict.fromkeys(HEALTH.names(), HOSTILE) | {
        "value": 1.0,
        "threshold": 2.0,
        "verdict": "warn",
    }
    made = score(archive).with_tables(
        ratings=ratings(HOSTILE), health=pl.DataFrame([ill], schema=HEALTH)
    )
    made.write(folder)
    build_report(folder, archive=archive, embed=1)
    shown = HOSTILE.replace("\u202e", " ")
    with opened(browser, folder / "report.html") as page:
        assert names_shown(page)[0] == shown
        page.locator(".open").first.click()
        assert page.locator("#detail-title").inner_text() == shown
        page.locator("#detail summary", has_text="Judge").click()
        assert shown in page.locator("#detail .asked").first.inner_text()
        assert said.replace("|", " ") in page.locator("#detail .said-list").inner_text()
        assert (
            page.evaluate("[...document.querySelectorAll('script')].filter((s) => !s.type).length")
            == 1
        )
        assert page.locator("img, iframe, object").count() == 0
        page.keyboard.press("Escape")
        page.get_by_label("Search recordings").fill("<script>alert(1)")
        sync_api.expect(page.locator("#shown")).to_have_text("1 of 2")


def test_works_without_script(browser, run):
    with opened(browser, run / "report.html", java_script_enabled=False) as page:
        assert page.locator("#results table").count() > 0
        assert not page.locator("#explorer").is_visible()


@pytest.mark.skipif(not AXE.is_file(), reason="needs axe: npm install axe-core")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, run, scheme):
    context = browser.new_context(color_scheme=scheme, bypass_csp=True, reduced_motion="reduce")
    page = context.new_page()
    page.goto((run / "report.html").as_uri())
    assert serious_faults(page) == []
    page.locator(".open").first.click()
    page.wait_for_timeout(100)
    assert serious_faults(page) == []
    context.close()
