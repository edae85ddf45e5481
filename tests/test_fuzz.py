"""Damage to every kind of input ends in an error, a note, or what the damaged bytes say."""

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits the time of a try by a signal")

#: Damaged copies of each of the 42 inputs. tests/bench/fuzz.py tries more.
TRIES = 6


@pytest.fixture(scope="module")
def outcomes():
    options = ["--minutes", "0", "--tries", str(TRIES), "--seed", "1", "--json"]
    ran = subprocess.run(
        [sys.executable, "tests/bench/fuzz.py", *options],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    return json.loads(ran.stdout)


def test_no_damage_ends_in_a_traceback_a_hang_or_a_silent_number(outcomes):
    assert outcomes["faults"] == []


def test_damage_was_done_and_seen(outcomes):
    assert len(outcomes["counts"]) >= 40
    for name, tally in outcomes["counts"].items():
        assert sum(tally.values()) == TRIES, name
        # Damage is rarely without effect; a reader that notices none checks nothing.
        assert tally.get("same", 0) < TRIES or name == "run-summary.json"


def test_damage_needs_less_than_a_gigabyte(outcomes):
    assert outcomes["peak_mb"] < 1000
