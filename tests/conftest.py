"""Paths and fixtures that several test modules share."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from flexi_score.config import load_settings
from flexi_score.scoring import pipeline

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "sample_recordings"
SHARED_DATA = ROOT.parent / "shared" / "data"

# Machines are shared: no test asserts a time, and the suite ends within 15 minutes on two cores.
settings.register_profile(
    "shared", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("shared")

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Run the command line as a process of its own."""

    def run(*arguments: str | Path, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "flexi_score.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "160"},
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def sample_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample recordings, extracted without words once for all test processes. Read only."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    archive, making = shared / "sample_archive", shared / "sample_archive.making"
    try:
        making.mkdir()
    except FileExistsError:
        wait_until(archive.exists, 600)  # another test process is at it
        return archive
    pipeline.extract(
        SAMPLES, making / "archive", settings=load_settings("paper", {"extract.asr": "none"})
    )
    os.replace(making / "archive", archive)
    return archive


def wait_until(holds: Callable[[], object], seconds: float = 300.0) -> None:
    """Wait for a condition; the limit is only there for what hangs, not for what is slow."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.005)


AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"


def serious_faults(page: Any) -> list[Any]:
    """What axe finds serious or worse in a page of Playwright: rule, element, explanation."""
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run().then((r) => r.violations)")
    return [
        (v["id"], v["nodes"][0]["html"], v["nodes"][0]["failureSummary"])
        for v in found
        if v["impact"] in ("serious", "critical")
    ]


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path
