"""Files that are put in place together: killed before any step, old or new or refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, write_jsonl

from flexi_score.errors import InputError
from flexi_score.manifest import read_input
from flexi_score.output import write_together

#: Writes version "new" in forked processes, each killed before one of the steps that change files.
PROGRAM = """
import os, signal, sys
from pathlib import Path
from flexi_score.output import writing_together
for step in range(1, 40):
    folder = Path(sys.argv[1]) / str(step)
    child = os.fork()
    if not child:
        seen = []
        def look(event, args):
            if event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "open"):
                seen.append(event)
                if len(seen) == step:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(look)
        with writing_together(folder, "manifest.jsonl") as aside:
            (aside / "in").mkdir()
            for name in ("a.txt", "in/b.txt", "manifest.jsonl"):
                (aside / name).write_text("new")
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_stands_there_is_old_or_new_or_unfinished(tmp_path: Path) -> None:
    names = ("a.txt", "in/b.txt", "manifest.jsonl")
    for step in range(1, 40):
        (tmp_path / str(step) / "in").mkdir(parents=True)
        for name in names:
            (tmp_path / str(step) / name).write_text("old")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", PROGRAM, tmp_path], env=environment, check=True)
    stood = []
    for step in range(1, 40):
        folder = tmp_path / str(step)
        found = {(folder / name).read_text() for name in names if (folder / name).exists()}
        if not (folder / "manifest.jsonl").exists():
            found = {"unfinished"}
            with pytest.raises(InputError, match="writing them was interrupted"):
                read_input(folder)
        assert len(found) == 1, (step, found)
        stood.append(found.pop())
    assert set(stood) == {"old", "unfinished", "new"}


def test_a_folder_with_its_manifest_is_read_beside_what_was_left_over(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "manifest.jsonl", [{"id": "x", "audio": "x.wav"}])
    (tmp_path / ".writing.1").mkdir()
    assert len(read_input(tmp_path).rows) == 1


def test_a_folder_in_the_way_of_a_file_is_named_and_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "label").write_text("old")
    files = {name: lambda path: path.write_text("new") for name in ("a", "b")}
    with pytest.raises(Exception, match=r"/b: cannot be written .*expected a file"):
        write_together(tmp_path, files, label="label", describe=lambda _: "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "label"]
    assert (tmp_path / "label").read_text() == "old"
