"""Kept replies of several archives in one."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path

from flexi_score.errors import InputError
from flexi_score.judge.store import Received, Store


def gather_replies(paths: Iterable[Path]) -> list[Received]:
    """All that these files (``judge.sqlite``; those that exist) ever received, oldest first.

    Raises InputError if questions of one wait in a batch: without it, they would be asked and paid
    for again. Raises ArchiveError if a file cannot be read.
    """
    columns = ", ".join(field.name for field in fields(Received))
    found: list[Received] = []
    for path in paths:
        with Store(path, write=False) as store:
            waiting = store.rows("SELECT count(*) FROM waiting", [])
            if waiting and waiting[0][0]:
                raise InputError(
                    f"{path}: {waiting[0][0]} questions wait in a batch; collect them first: "
                    f"flexi-score score {path.parent} --judge openai-batch"
                )
            rows = store.rows(f"SELECT {columns} FROM received ORDER BY id", [])
            found += [Received(*row) for row in rows]
    return sorted(found, key=lambda reply: reply.created)


def keep_replies(replies: Sequence[Received], into: Path) -> int:
    """Add replies to a file, made where it does not exist; how many it had not.

    Those that it has stay the older ones: merging changes no score of the archive merged into.
    """
    if not replies:
        return 0
    with Store(into, write=True) as store:
        known = store.received(reply.key for reply in replies)
        held = {reply for received in known.values() for reply in received}
        new = [reply for reply in dict.fromkeys(replies) if reply not in held]
        store.add(new)
    return len(new)
