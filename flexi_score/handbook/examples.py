"""Made conversations: what the demo scores and what rules are drawn on."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from flexi_score.output import writing_together

#: A stretch of speech: start and end in s, and its words.
Said = tuple[float, float, str]

_BOOK: Final = (0.5, 2.4, "Can you book a table for two tonight?")

#: Scenario, annotations in s, what the user says, what each system says, and the length in s.
_Row = tuple[str, dict[str, Any], Sequence[Said], Mapping[str, Sequence[Said]], float]
_ROWS: Final[Sequence[_Row]] = (
    (
        "turn_taking",
        {"user_turn_end": 3.4},
        [(0.6, 3.4, "What time does the museum open on Sunday?")],
        {"prompt": [(3.9, 6.8, "It opens at ten and closes at six.")]},
        8.0,
    ),
    (
        "turn_taking",
        {"user_turn_end": 4.3},
        [(0.6, 1.6, "I would like"), (2.5, 4.3, "to see the new exhibition")],
        {"hasty": [(3.9, 7.0, "The new exhibition is open until the end of May.")]},
        8.0,
    ),
    (
        "pause_handling",
        {"pause": [2.2, 3.4]},
        [(0.5, 2.2, "I need a train to"), (3.4, 5.3, "Lyon on Tuesday morning")],
        {
            "prompt": [(5.9, 8.6, "There is one at seven and one at nine.")],
            "hasty": [
                (2.7, 4.9, "Where would you like to go?"),
                (6.0, 8.6, "There is one at seven."),
            ],
        },
        9.5,
    ),
    (
        "user_interrupt",
        {"interrupt": [6.4, 8.3]},
        [_BOOK, (6.4, 8.3, "Stop, I meant next Friday.")],
        {
            "prompt": [
                (2.9, 7.0, "Of course. There is a table at eight near the window"),
                (8.9, 11.6, "Next Friday at eight, then."),
            ],
            "hasty": [
                (
                    2.6,
                    10.4,
                    "Of course. There is a table at eight near the window, and one at nine.",
                )
            ],
        },
        12.5,
    ),
    (
        "model_interrupt",
        {"user_turn_end": 8.5},
        [(0.5, 8.5, "I put the pan on the stove and then the oil began to smoke so I took water")],
        {
            "prompt": [(9.0, 11.4, "Please do not use water.")],
            "hasty": [(6.6, 10.4, "Do not use water! Cover the pan and turn off the heat.")],
        },
        12.0,
    ),
    (
        "user_backchannel",
        {"backchannels": [[5.2, 5.6]]},
        [_BOOK, (5.2, 5.6, "mhm")],
        {
            "prompt": [
                (2.9, 8.4, "There is a table at eight near the window and one at nine outside.")
            ],
            "hasty": [
                (2.6, 5.9, "There is a table at eight near the window"),
                (6.6, 8.8, "and one at nine."),
            ],
        },
        9.5,
    ),
    (
        "model_backchannel",
        {"reference_backchannels": [3.1, 7.1]},
        [
            (0.5, 2.9, "So yesterday I went to the old market"),
            (3.5, 6.7, "and the man who sells the lamps was there again"),
            (7.4, 10.0, "but this time he would not let me pay"),
        ],
        {
            "prompt": [(3.0, 3.4, "mhm"), (7.0, 7.3, "oh")],
            "hasty": [(3.0, 3.4, "mhm"), (5.6, 7.8, "Which lamps did you buy there?")],
        },
        10.5,
    ),
    (
        "conversation",
        {},
        [
            (0.5, 2.6, "Did anyone call while I was out?"),
            (6.2, 6.6, "uh-huh"),
            (9.6, 10.6, "Sorry, who was"),
            (11.0, 12.2, "the second one?"),
            (17.2, 19.0, "Thank you, I will call her back."),
        ],
        {
            "prompt": [
                (3.1, 5.4, "Two people did. The first was your brother"),
                (5.8, 9.0, "who wants to know when you arrive on Sunday"),
                (9.2, 10.0, "and the second"),
                (12.7, 16.3, "The second was Maria from the office about the printer."),
                (18.8, 20.4, "You are welcome."),
            ]
        },
        22.0,
    ),
)


def write_examples(folder: Path) -> Path:
    """Write the conversations as annotation files and a manifest, and return the manifest.

    Of each recording: ``ID.csv`` with the speech of both parties, and their words as JSON.
    """
    with writing_together(folder, "manifest.jsonl") as aside:
        _write_examples(aside)
    return folder / "manifest.jsonl"


def _write_examples(folder: Path) -> None:
    lines = []
    for scenario, annotations, user, replies, duration in _ROWS:
        for system, model in replies.items():
            name = f"{system}_{scenario}"
            row: dict[str, Any] = {"id": name, "system": system, "scenario": scenario}
            said = {"user": user, "model": model}
            with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(("speaker", "start", "end"))
                rows.writerows((who, a, b) for who, spans in said.items() for a, b, _ in spans)
            for who, spans in said.items():
                (folder / f"{name}_{who}.json").write_text(json.dumps(_words(spans)), "utf-8")
                row |= {f"{who}_speech": f"{name}.csv", f"{who}_words": f"{name}_{who}.json"}
            lines.append(json.dumps(row | {"duration": duration, "annotations": annotations}))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


def _words(spans: Sequence[Said]) -> dict[str, Any]:
    """The words of each stretch, as long as their letters."""
    chunks = []
    for start, end, text in spans:
        words, at = text.split(), start
        for word in words:
            until = at + (end - start) * (len(word) + 1) / (len(text) + 1)
            chunks.append({"text": word, "timestamp": [round(at, 2), round(until, 2)]})
            at = until
    return {"text": " ".join(text for *_, text in spans), "chunks": chunks}
