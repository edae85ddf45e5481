"""The handbook: every command and block of code is run, every link leads somewhere."""

import contextlib
import doctest
import io
import json
import re
import shlex
import shutil
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import soundfile
import yaml
from conftest import ROOT, SAMPLES, read_jsonl

from flexi_score.cli import app, main
from flexi_score.formats.contract import parse_row
from flexi_score.handbook import build_site, handbook_pages, read_page

BOOK = ROOT / "flexi_score" / "handbook"
PAGES = sorted(p.relative_to(BOOK).as_posix() for p in BOOK.rglob("*.md"))
#: A block, with the comment above that says why it is not run, if there is one.
BLOCK = re.compile(r"(?:<!-- not run: (.*?) -->\n)?```(\w+)\n(.*?)```", re.DOTALL)


class Block(NamedTuple):
    not_run: str
    language: str
    text: str


def blocks_of(text: str) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(text)]


#: The demo runs once: what it makes, the pages start from.
DEMO = "flexi-score demo"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages start from: finished runs, calls, clips, a benchmark's folder."""
    folder = tmp_path_factory.mktemp("handbook")
    opened: list[str] = []
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patched:
        patched.setattr("webbrowser.open", opened.append)
        patched.setenv("COLUMNS", "80")
        code, printed = run(DEMO)
    assert (code, opened) == (0, [(folder / "flexi_demo.run" / "report.html").as_uri()])
    (folder / "demo.txt").write_text(printed)
    for name in ("my", "baseline", "candidate"):
        shutil.copytree(folder / "flexi_demo.run", folder / f"{name}.run")
    (folder / "my_calls").mkdir()
    call, rate = soundfile.read(SAMPLES / "eager_turn_taking_1.flac", 64_000, 48_000)
    soundfile.write(folder / "my_calls" / "call-17.flac", call, rate)
    truth = read_jsonl(SAMPLES / "truth.jsonl")[0]
    samples, rate = soundfile.read(SAMPLES / f"{truth['id']}.flac")
    for channel, who in enumerate(("user", "model")):
        (folder / "clips" / who).mkdir(parents=True)
        start, end = (truth[f"{who}_speech"][k][k] * rate // 1000 for k in (0, -1))
        soundfile.write(folder / "clips" / who / "said.wav", samples[start:end, channel], rate)
    sample = folder / "flexi" / "turn_taking" / "1"
    sample.mkdir(parents=True)
    for file, who in (("input", "user"), ("output", "model")):
        words = folder / "flexi_demo" / f"prompt_turn_taking_{who}.json"
        shutil.copy(words, sample / f"{file}.json")
    (sample / "turn_taking.json").write_text(json.dumps([{"timestamp": [3.4, 3.5]}]))
    return folder


def run(line: str) -> tuple[int, str]:
    """A line of shell: exit code and standard output of the command line, in this process."""
    tokens = shlex.split(line, comments=True)
    if tokens[0] == "flexi-score":
        tokens = tokens[1:]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as done:
        main(tokens)
    return done.value.code, out.getvalue()


def commands(text: str) -> list[str]:
    joined = re.sub(r"\\\n\s*", "", text)
    return [line for line in joined.splitlines() if line and not line.startswith("#")]


def check_output(shown: str, got: str) -> None:
    """Every line shown was printed, in this order; ``...`` leaves lines out."""
    # Seconds taken differ; so does the version that a signature names before it is installed.
    plain = [re.sub(r"\s+\d+:\d\d$", "", line).rstrip() for line in got.splitlines()]
    at, anywhere = 0, False
    for line in (re.sub(r"\s+\d+:\d\d$", "", line).rstrip() for line in shown.splitlines()):
        if line == "...":
            anywhere = True
            continue
        found = plain.index(line, at) if anywhere and line in plain[at:] else at
        assert plain[found : found + 1] == [line], f"shown: {line!r}; printed:\n{got}"
        at, anywhere = found + 1, False


@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says(
    page: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    names: dict[str, Any] = {}
    printed = ""
    for block in blocks_of((BOOK / page).read_text("utf-8")):
        if block.language == "sh" and block.not_run:
            check_parsed(block.text)
        elif block.language == "sh":
            for line in commands(block.text):
                code, printed = (0, Path("demo.txt").read_text()) if line == DEMO else run(line)
                wanted = re.search(r"# exit code (\d+)", line)
                assert code == (int(wanted[1]) if wanted else 0), line
        elif block.language == "text" and not block.not_run:
            check_output(block.text, printed)
        elif block.language == "python" and not block.not_run:
            exec(compile(block.text, page, "exec"), names)
        elif block.language == "pycon":
            example = doctest.DocTestParser().get_doctest(block.text, names, page, None, None)
            outcome = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(
                example, clear_globs=False
            )
            names = example.globs
            assert outcome.failed == 0
        elif block.language == "json":
            parse_row(json.loads(block.text), tmp_path)
        elif block.language == "yaml":
            for command in re.findall(r"run: (flexi-score .*)", block.text):
                check_parsed(command)
            assert yaml.safe_load(block.text)
        else:
            assert block.not_run, block


def check_parsed(text: str) -> None:
    """Commands that need a key, a network or more machines: their arguments are understood."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for line in commands(text):
        tokens = shlex.split(line, comments=True)
        if tokens[0] == "flexi-score":
            app.parse_args(tokens[1:], exit_on_error=False, print_error=False)
        for extra in re.findall(r"\.\[([\w,-]+)\]", line):
            assert set(extra.split(",")) <= set(extras["optional-dependencies"]), line


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_what_leads_into_the_handbook_is_there(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (ROOT / link).is_file(), link
    for block in blocks_of(text):
        if block.language == "sh":
            check_parsed(block.text)
    for page in re.findall(r"`flexi-score handbook ([a-z-]+)`", text):
        assert read_page(app, page)


def test_the_reference_names_everything_there_is() -> None:
    from flexi_score import __all__ as public
    from flexi_score.config import setting_names
    from flexi_score.metrics import METRICS

    pages = {path: page() for path, page in handbook_pages(app).items()}
    for name in setting_names():
        assert f"| `{name}` |" in pages["reference/settings.md"]
    for metric in METRICS:
        text = pages[f"reference/metrics-{metric.profile}.md"]
        assert f".{metric.name}\n" in text
        assert re.sub(r"\W", "", metric.null_means) in re.sub(r"\W", "", text)
    for name in public:
        assert name.startswith("_") or f"## {name}\n" in pages["reference/python.md"]
    columns = pages["reference/columns.md"]
    for file, meanings in tomllib.loads((BOOK / "columns.toml").read_text("utf-8")).items():
        table = columns if file == "anywhere" else columns.partition(f"### {file}\n")[2]
        for column in meanings.keys() - {"about"}:
            assert f"| `{column}` |" in table.partition("\n### ")[0] or file == "anywhere"
    for verb in app:
        assert verb.startswith("-") or f"## flexi-score {verb}\n" in pages["reference/verbs.md"]


def test_the_site_is_built_without_a_dead_link(tmp_path: Path) -> None:
    keep = tmp_path / "site" / "mine.txt"
    keep.parent.mkdir()
    keep.write_text("mine")
    # Strict: a link or an anchor that leads nowhere, or a page outside the contents, stops it.
    first = build_site(app, keep.parent, drawn=["paper"])
    assert keep.read_text() == "mine"
    page = (keep.parent / "reference" / "metrics-paper.html").read_text("utf-8")
    drawn = re.findall(r'<img [^>]*src="([^"]+)"', page)
    assert len(drawn) >= 15
    for file in drawn:
        assert "<svg" in (keep.parent / "reference" / file).read_text("utf-8")
    text = first.read_text("utf-8")
    assert re.search(r'<script src="[^"]*iframe-worker.js"', text)
    assert not re.search(r'<(script|img)\b[^>]*\bsrc="https?:', text)
    assert not re.search(r'<link\b[^>]*\bhref="https?:[^>]*\bstylesheet', text)


def test_a_page_is_printed_and_a_misspelt_one_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = run("handbook tutorial")
    assert (code, text.rstrip()) == (0, (BOOK / "tutorial.md").read_text("utf-8").rstrip())
    assert run("handbook tutorail") == (2, "")
    assert "did you mean 'tutorial'?" in capsys.readouterr().err
