"""``flexi-score simulate``: recordings with exact truth, and the user's side of the benchmark."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from flexi_score.cli.app import OK, Quiet, app
from flexi_score.cli.progress import WorkProgress
from flexi_score.cli.show import print_rows

if TYPE_CHECKING:
    from flexi_score.simulate.clips import Clips as Library
    from flexi_score.simulate.scene import Scene

simulate = App(
    name="simulate",
    help="Make recordings with exact truth, or the user channels of all six scenarios.",
    help_format="plaintext",
)
app.command(simulate)

Clips = Annotated[Path, Parameter(help="Folder of clips of one voice each (WAV, FLAC, ...).")]
Out = Annotated[
    Path,
    Parameter(
        help="Folder to write; with several conditions, one in it each, and a manifest of all."
    ),
]
Conditions = Annotated[
    list[str] | None,
    Parameter(
        name="--condition",
        negative="",
        help="Terms joined by +, as crosstalk:-20+babble:15+ulaw; repeatable. "
        "`simulate conditions` lists them.",
    ),
]
Scenarios = Annotated[list[str] | None, Parameter(negative="", help="Only this one; repeatable.")]
Seed = Annotated[int, Parameter(help="The same seed gives the same bytes.")]
Noises = Annotated[Path | None, Parameter(help="Folder of noise recordings, for `files`.")]


@simulate.command
def scenes(
    plan: Annotated[Path, Parameter(name="PLAN")],
    /,
    *,
    clips: Clips,
    out: Out,
    condition: Conditions = None,
    seed: Seed = 0,
    noises: Noises = None,
    quiet: Quiet = False,
) -> int:
    """Make the recordings of a plan, with manifest and truth.

    A plan is YAML, JSON or JSON Lines; a row is a scene:

        - id: answer_1
          scenario: turn_taking
          says:
            - {who: user, name: q, clip: anna/question, at: 0.6}
            - {who: model, name: r, clip: bob/answer, at: q.end+0.4}
          annotate: [user_turn_end]

    A clip is called by its path below CLIPS, without extension. A moment is a
    number of seconds, or a point of another clip and an offset: q.start,
    q.end+0.4, q.pause1-0.1; a clip with `cut: i.start+0.6` stops there.

    Try:

        flexi-score simulate scenes plan.yaml --clips clips --out made
        flexi-score simulate scenes plan.yaml --clips clips --out made \\
            --condition echo:-20+ulaw
    """
    from flexi_score.simulate.plan import read_plan

    return _write(read_plan(plan), _read_clips(clips), out, condition, seed, noises, quiet)


@simulate.command
def random(
    n: Annotated[int, Parameter(name="N")],
    /,
    *,
    clips: Clips,
    out: Out,
    scenario: Scenarios = None,
    condition: Conditions = None,
    seed: Seed = 0,
    noises: Noises = None,
    annotate: Annotated[
        bool, Parameter(help="Whether the manifest gives the scenarios' moments away.")
    ] = True,
    system: Annotated[str, Parameter(help="Name of the system in the manifest.")] = "simulated",
    quiet: Quiet = False,
) -> int:
    """Make N random recordings with the timing of natural talk: all six scenarios in turn.

    Try:

        flexi-score simulate random 60 --clips clips --out made
        flexi-score simulate random 60 --clips clips --out made --condition clean \\
            --condition crosstalk:-20 --condition user.babble:10+ulaw
        flexi-score score made --out run
        flexi-score validate run made/truth.jsonl --by name
        flexi-score simulate random 20 --clips clips --out talk \\
            --scenario conversation
    """
    from flexi_score.simulate.scenarios import random_scenes

    library = _read_clips(clips)
    made = random_scenes(n, library, seed, scenario, system=system, annotate=annotate)
    return _write(made, library, out, condition, seed, noises, quiet)


@simulate.command
def queries(
    *,
    texts: Annotated[Path, Parameter(help="FLEXI's text files: a folder, or one file.")],
    out: Annotated[Path, Parameter(help="Folder to write.")],
    tts: Annotated[
        str | None,
        Parameter(help="Command that speaks the file {txt} into the file {wav}; no shell."),
    ] = None,
    clips: Annotated[
        Path | None, Parameter(help="Clips instead, named ID_PART as OUT/clips has them.")
    ] = None,
    scenario: Scenarios = None,
    limit: Annotated[int | None, Parameter(help="At most so many dialogs a scenario.")] = None,
    system: Annotated[str, Parameter(help="Name of the system in the manifest.")] = "model",
    quiet: Quiet = False,
) -> int:
    """Speak the texts of all six scenarios into user channels, ready to be played to a model.

    OUT/user/ID.wav is what to play, OUT/model/ID.wav where the manifest expects
    what the model said meanwhile, from the same start.

    Try:

        flexi-score simulate queries --texts texts --out queries \\
            --tts 'espeak-ng -w {wav} -f {txt}'
        flexi-score simulate queries --texts texts --out queries --clips recorded
        flexi-score score queries
    """
    from flexi_score.errors import InputError
    from flexi_score.schema import SCENARIOS
    from flexi_score.simulate.queries import write_queries
    from flexi_score.simulate.texts import read_texts

    dialogs = read_texts(texts)
    for name in scenario or []:
        if name not in SCENARIOS[:6]:
            raise InputError(f"--scenario {name!r}: expected one of {', '.join(SCENARIOS[:6])}")
    chosen = []
    for name in SCENARIOS:
        if not scenario or name in scenario:
            chosen += [dialog for dialog in dialogs if dialog.scenario == name][:limit]
    with WorkProgress("dialogs", quiet) as progress:
        folder = write_queries(chosen, out, tts=tts, clips=clips, system=system, progress=progress)
    print(
        f"{folder}: {len(chosen)} user channels; play {folder / 'user'}, and record the model "
        f"into {folder / 'model'}"
    )
    return OK


@simulate.command
def conditions() -> int:
    """List the terms of conditions: their default values and meanings.

    Try:

        flexi-score simulate conditions
    """
    from rich.console import Console

    from flexi_score.simulate.channel import TERMS

    terms = (
        (name, "" if default is None else f"{default:g}", unit, meaning)
        for name, (default, unit, meaning) in TERMS.items()
    )
    console = Console()
    print_rows(console, ("term", "default", "unit", "meaning"), terms)
    console.print("\nJoin terms with +; user. or model. before a term means that channel alone.")
    return OK


def _read_clips(folder: Path) -> "Library":
    from flexi_score.simulate.clips import read_clips

    library = read_clips(folder)
    for reason in library.rejected.values():
        print(f"left out: {reason}", file=sys.stderr)
    return library


def _write(
    made: list["Scene"],
    library: "Library",
    out: Path,
    condition: list[str] | None,
    seed: int,
    noises: Path | None,
    quiet: bool,
) -> int:
    from flexi_score.output import writing_together
    from flexi_score.report.tables import counted
    from flexi_score.simulate.channel import parse_condition
    from flexi_score.simulate.write import MANIFEST, write_index, write_scenes

    # All are parsed before anything is made: a typing error must not cost the work.
    parsed = [parse_condition(text) for text in condition or ["clean"]]
    several = len(parsed) > 1
    folders = [re.sub(r"[^\w.+-]", "_", one.name) if several else "" for one in parsed]
    with writing_together(out, MANIFEST) as aside:
        for one, folder in zip(parsed, folders, strict=True):
            with WorkProgress("recordings", quiet) as progress:
                write_scenes(
                    made, library, aside / folder, one, seed=seed, noises=noises, progress=progress
                )
        if several:
            write_index(aside, [aside / folder for folder in folders])
    for one, folder in zip(parsed, folders, strict=True):
        n = counted(len(made), "recording")
        print(f"{out / folder}: {n}, manifest.jsonl, truth.jsonl ({one.name})")
    if several:
        print(f"{out}: manifest.jsonl, truth.jsonl of all {len(folders) * len(made)} recordings")
    return OK
