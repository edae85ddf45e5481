"""Damage every kind of input for some minutes: ``python tests/bench/fuzz.py --minutes 10``.

One row per input: tries, clean errors, and what else came of them (:mod:`fuzzing`). Copies that
end in a fault are kept in ``--keep``. Exits 1 if there is one.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import fuzzing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0, help="first seed; each round takes the next")
    parser.add_argument("--only", default="", help="names that contain this")
    parser.add_argument("--keep", type=Path, help="folder for copies that end in a fault")
    options = parser.parse_args()
    totals: dict[str, Counter[str]] = {}
    faults: list[str] = []
    end = time.monotonic() + options.minutes * 60
    seed = options.seed
    with tempfile.TemporaryDirectory() as scratch:
        chosen = [t for t in fuzzing.targets(Path(scratch)) if options.only in t.name]
        while not totals or time.monotonic() < end:
            result = fuzzing.run(chosen, 20, seed, options.keep)
            faults += result["faults"]
            for name, tally in result["counts"].items():
                totals.setdefault(name, Counter()).update(tally)
            seed += 1
            print(f"seed {seed}: {sum(map(Counter.total, totals.values()))} tries", file=sys.stderr)
    print(fuzzing.table(totals))
    print(f"peak memory {result['peak_mb']} MB")
    for fault in faults[:20]:
        print(f"\n{fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
