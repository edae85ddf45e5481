"""What the health gate says of one example of every defect, as a table; a script, not a test.

    python tests/bench/health_table.py

The examples are those of ``tests/test_health.py``, with a dead channel and two models that say
nothing: one on a line that carries a room's noise, one on a line of digital silence.
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def row(cells: list[str]) -> str:
    """A line of Markdown."""
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table as Markdown."""
    import polars as pl
    from conftest import write_jsonl
    from test_health import DEFECTS, SETTINGS, dead_model, silent_model

    from flexi_score.scoring import pipeline

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [make(folder) for make in (*(d[0] for d in DEFECTS), dead_model, silent_model)]
        manifest = write_jsonl(folder / "manifest.jsonl", rows)
        health, failures = pipeline.check(manifest, settings=SETTINGS)
        reasons = dict(failures.select("recording", "reason").iter_rows())
    print(
        row(
            [
                "recording",
                "check",
                "channel",
                "number",
                "limit",
                "verdict",
                "what it says",
                "remedy",
            ]
        )
    )
    print(row(["---"] * 3 + ["---:"] * 2 + ["---"] * 3))
    for name in (r["id"] for r in rows):
        mine = health.filter(pl.col("recording") == name)
        for found in mine.filter(pl.col("verdict") != "fine").iter_rows(named=True):
            number, limit = f"{found['value']:.4g}", f"{found['threshold']:g}"
            print(
                row(
                    [
                        name,
                        found["check"],
                        found["channel"] or "",
                        f"{number} {found['unit']}",
                        limit,
                        found["verdict"],
                        found["detail"],
                        found["remedy"],
                    ]
                )
            )
        for found in mine.filter(pl.col("verdict") == "fine").iter_rows(named=True):
            if found["check"] == "silent":
                print(
                    row(
                        [
                            name,
                            "silent",
                            found["channel"],
                            f"{found['value']:.4g} dBFS",
                            f"{found['threshold']:g}",
                            "fine",
                            found["detail"],
                            "",
                        ]
                    )
                )
        if name in reasons:
            print(
                row(
                    [name, "(failed)", "", "", "", "failed", reasons[name].replace(name, "..."), ""]
                )
            )


if __name__ == "__main__":
    main()
