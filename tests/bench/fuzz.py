"""Damage every kind of input for some minutes: ``python tests/bench/fuzz.py --minutes 10``.

One row per input: tries, clean errors, and what else came of them (:mod:`fuzzing`). Copies that
end in a fault are kept in ``--keep``. Exits 1 if there is one. ``tests/test_fuzz.py`` runs one
round, and reads what came of it from ``--json``, which exits 0.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import fuzzing


def table(counts: dict[str, Counter[str]]) -> str:
    """One row per input, one column per outcome, and their sum."""
    columns = ("refused", "same", "noted", "one value", *fuzzing.FAULTS)
    total = sum(counts.values(), Counter())
    rows = [f"{'input':<24}{'tries':>8}" + "".join(f"{column:>11}" for column in columns)]
    for name, tally in [*counts.items(), ("all", total)]:
        cells = "".join(f"{tally[column]:>11}" for column in columns)
        rows.append(f"{name:<24}{tally.total():>8}{cells}")
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help="0: one round")
    parser.add_argument("--tries", type=int, default=20, help="copies of each input in a round")
    parser.add_argument("--seed", type=int, default=0, help="first seed; each round takes the next")
    parser.add_argument("--only", default="", help="names that contain this")
    parser.add_argument("--keep", type=Path, help="folder for copies that end in a fault")
    parser.add_argument("--json", action="store_true", help="print counts and faults, exit 0")
    options = parser.parse_args()
    totals: dict[str, Counter[str]] = {}
    faults: list[str] = []
    end = time.monotonic() + options.minutes * 60
    seed = options.seed
    with tempfile.TemporaryDirectory() as scratch:
        chosen = [t for t in fuzzing.targets(Path(scratch)) if options.only in t.name]
        while not totals or time.monotonic() < end:
            result = fuzzing.run(chosen, options.tries, seed, options.keep)
            faults += result["faults"]
            for name, tally in result["counts"].items():
                totals.setdefault(name, Counter()).update(tally)
            seed += 1
            print(f"seed {seed}: {sum(map(Counter.total, totals.values()))} tries", file=sys.stderr)
    if options.json:
        print(json.dumps(result | {"counts": totals, "faults": faults}))
        return 0
    print(table(totals))
    print(f"peak memory {result['peak_mb']} MB")
    for fault in faults[:20]:
        print(f"\n{fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
