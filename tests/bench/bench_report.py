"""report.html: what it costs to write, its size, and how fast a browser opens it.

``python tests/bench/bench_report.py [sizes ...]`` (24, 1 200 and 100 000 recordings). Archives are
made up: recordings of 20 s with ten IPUs a channel, with probabilities and envelopes. Each is
scored by the command line, then ``report`` draws every timeline up to 1 200. A headless Chromium
opens each page five times; *opened* is when the table of recordings is there and drawn, *timeline*
from a click until the canvas is drawn, *search* from a key until the table has changed: medians.
"""

import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import bench_rescore
from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[2]))

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]
#: Two frames later whatever was changed has been drawn.
_DRAWN = "await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));"
_OPENED = f"async () => {{ {_DRAWN} return performance.now(); }}"
_TIMELINE = f"""async () => {{
  const start = performance.now();
  document.querySelector(".list .open").click();
  {_DRAWN}
  const took = performance.now() - start;
  document.querySelector("#detail").close();
  return took;
}}"""
_SEARCH = f"""async () => {{
  const start = performance.now(), box = document.getElementById("f-q");
  box.value = "r7";
  box.dispatchEvent(new Event("input"));
  const before = document.getElementById("shown").textContent;
  while (document.getElementById("shown").textContent === before) {{
    await new Promise((done) => setTimeout(done, 1));
  }}
  {_DRAWN}
  return performance.now() - start;
}}"""


def open_page(browser: Browser, file: Path, times: int = 5) -> tuple[float, float, float]:
    """Median milliseconds until it is open, until a timeline is drawn, until a search is done."""
    taken = []
    for _ in range(times):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.goto(file.as_uri(), wait_until="load")
        taken.append([page.evaluate(code) for code in (_OPENED, _TIMELINE, _SEARCH)])
        context.close()
    opened, timeline, search = (statistics.median(column) for column in zip(*taken, strict=True))
    return opened, timeline, search


def main() -> None:
    """Print a row for each size, of the page that score writes and that report writes."""
    sizes = [int(word) for word in sys.argv[1:]] or [24, 1_200, 100_000]
    print("recordings  page of   processor s     MB   opened ms   timeline ms   search ms")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for size in sizes:
            with tempfile.TemporaryDirectory() as place:
                archive = bench_rescore.build(Path(place) / "archive", size, audio=True)
                run = Path(place) / "run"
                more = ["report", str(run), "--archive", str(archive)]
                more += ["--timelines", "1200", "--rows", str(size)]
                commands = {"score": ["score", str(archive), "--out", str(run)], "report": more}
                for verb, command in commands.items():
                    _, processor_s, _ = bench_rescore.run(*command)
                    page = run / "report.html"
                    opened, timeline, search = open_page(browser, page)
                    size_mb = page.stat().st_size / 1e6
                    print(
                        f"{size:10,}  {verb:7} {processor_s:13.2f} {size_mb:6.1f} {opened:11.0f}"
                        f" {timeline:13.0f} {search:11.0f}",
                        flush=True,
                    )
        browser.close()


if __name__ == "__main__":
    main()
