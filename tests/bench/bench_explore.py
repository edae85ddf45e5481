"""How long ``flexi-score explore`` takes for one move of each setting.

``python tests/bench/bench_explore.py [recordings]``, by default 1 200. Milliseconds of the server
from a request's settings to its answer: by the clock, and of the processor, which other work on the
machine does not change as much. "First" values were not there before; "again" were.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from bench_rescore import build  # noqa: E402

import flexi_score  # noqa: E402
from flexi_score.explore.session import open_session  # noqa: E402

MOVES = 7


def main(size: int) -> None:
    """Print a row per setting."""
    with tempfile.TemporaryDirectory() as place:
        archive = build(Path(place) / "archive", size, audio=True)
        session = open_session(flexi_score.score(archive).write(Path(place) / "a.run"))
        session.values({})
        print(
            f"{size} recordings              first, clock   processor    again, clock   processor"
        )
        for slider in session.sliders():
            start = slider["value"] or slider["min"]
            values = [start + (k + 1) * slider["step"] for k in range(MOVES)]
            cells = []
            for _ in range(2):
                took = [timed(session, {slider["name"]: value}) for value in values]
                cells += [statistics.median(side) * 1000 for side in zip(*took, strict=True)]
            name = slider["name"]
            print(f"{name:36}" + "{:6.0f} {:11.0f} {:15.0f} {:11.0f}".format(*cells), flush=True)


def timed(session: object, changes: dict[str, float]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    session.values(changes)  # type: ignore[attr-defined]
    return time.perf_counter() - clock, time.process_time() - processor


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_200)
