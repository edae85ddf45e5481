"""When to ask again: one policy for questions and for the calls of batches.

Whatever went wrong, the same count of attempts holds: a fault that costs nothing (429, 5xx, a lost
connection), or a paid reply that is of no use (cut, refused, not valid). The wait doubles with each
attempt; a server that asks for a longer one gets it, up to the longest.
"""

import random
from typing import Final

from flexi_score.config import JudgeSettings

#: Stop asking once so many questions in a row found no server that works.
GIVE_UP_AFTER: Final = 20
#: The longest wait, in first waits: a minute where the first is half a second.
_LONGEST: Final = 120


def may_retry(settings: JudgeSettings, attempts: int) -> bool:
    """Whether there may be another attempt after so many."""
    return attempts <= settings.retries


def longest_wait_s(settings: JudgeSettings) -> float:
    """The longest wait between two attempts, without its jitter."""
    return settings.backoff_s * _LONGEST


def wait_s(settings: JudgeSettings, attempts: int, server_s: float | None = None) -> float:
    """Seconds to wait after so many attempts, with jitter so that not all ask at once.

    ``server_s`` is what the server asks for: not less than that, but for the longest wait.
    """
    draw, longest = random.random(), longest_wait_s(settings)
    if server_s is not None:
        return min(server_s, longest) * (1 + draw / 10) + draw / 20
    return min(settings.backoff_s * 2.0 ** min(attempts - 1, 30), longest) * (0.5 + draw / 2)
