"""The command line: ``flexi-score VERB``. Data on stdout, progress and messages on stderr.

Exit codes: 0 done; 1 some recordings failed, the others' results are written; 2 usage, a bad
manifest or a missing prerequisite; 3 a gate tripped; 130 interrupted.
"""

import sys
from collections.abc import Sequence

from cyclopts import CycloptsError

# Importing the modules of the verbs adds their verbs to the application.
from flexi_score.cli import (  # noqa: F401
    agree,
    check,
    compare,
    explore,
    export,
    extract,
    handbook,
    info,
    naturalness,
    report,
    score,
    simulate,
    sweep,
    turns,
    validate,
)
from flexi_score.cli.app import INTERRUPTED, OK, UNUSABLE, app, set_help
from flexi_score.errors import FlexiScoreError

set_help(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point; exits with the code of the contract."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in tokens
    tokens = [token for token in tokens if token != "--debug"]
    try:
        code = app(tokens, exit_on_error=False, print_error=True)
        sys.exit(code if isinstance(code, int) else OK)
    except CycloptsError:
        sys.exit(UNUSABLE)
    except KeyboardInterrupt:
        text = "interrupted; what was extracted, and what the judge replied, is kept"
        print(text, file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(OK)
    except FlexiScoreError as error:
        if debug:
            raise
        print(f"flexi-score: {error}", file=sys.stderr)
        sys.exit(UNUSABLE)
    except Exception as error:
        if debug:
            raise
        kind = type(error).__name__
        print(
            f"flexi-score: a fault of flexi-score itself ({kind}: {error}); "
            "flexi-score --debug shows where",
            file=sys.stderr,
        )
        sys.exit(UNUSABLE)
