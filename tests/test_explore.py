"""``flexi-score explore``: what it shows is what scoring finds, and only its own page may ask.

Tests in a browser need Chromium and Playwright (extra ``browser-test``); skipped without.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import ROOT
from made_archives import make_archive
from polars.testing import assert_frame_equal

import flexi_score
from flexi_score.config import load_settings
from flexi_score.explore.session import Session, open_session

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


CHANGES = [{}, {"yield.hold_ms": 900}, {"speech.threshold": 0.7, "ipu.min_silence_ms": 350}, {}]


def test_values_are_those_of_scoring_again(run: Path, session: Session) -> None:
    """Whatever was shown before: values, intervals, counts and every score but its sentence."""
    archive = session.archive
    for changes in CHANGES:
        scores, summary = session.scores(changes)
        again = flexi_score.score(archive, settings=load_settings("paper", changes))
        key = ["system", "scenario", "metric"]
        assert_frame_equal(summary.sort(key), again.summary.sort(key), rel_tol=1e-12)
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


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
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
        shown = page.locator(
            f'tbody[data-metric="{row["scenario"]}.{row["metric"]}"] '
            f'tr[data-system="{row["system"]}"]'
        ).get_attribute("data-number")
        assert (None if shown == "" else float(shown)) == row["value"]
    page.locator("#changed .link").first.click()
    page.wait_for_selector("#detail[open] .stage")
    page.keyboard.press("Escape")
    page.locator("#reset").click()
    page.wait_for_selector(SHOWN)
    assert page.locator(".live .moved").count() == 0
