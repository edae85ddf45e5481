"""The batches of an archive that have been submitted, in ``judge.sqlite``.

A batch is noted, with the keys in it, before anything is sent; and its keys are set free in the
same change that keeps its replies. Killed in between, the next run finds it again by its label,
which the server is told, too. A key waits in one batch at most.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import Final

from flexi_score.judge.store import About, Received, Store, insert_received

#: States of a batch of ours, before the server has given it one, and after all is done.
PREPARING: Final = "preparing"
CLOSED: Final = "closed"

_COLUMNS: Final = ", ".join(field.name for field in fields(About))


@dataclass(frozen=True)
class Batch:
    """A batch that has not been collected."""

    label: str  # our name for it, which is also in its metadata
    #: host, pid: of the process that submits it
    host: str
    pid: int
    file: str | None  # name of its input at the server, once uploaded
    remote: str | None  # its name at the server, once submitted
    state: str  # ``preparing``, or what the server said last
    detail: str | None  # how many questions had been answered then
    created: float  # unix time, s


def prepare(store: Store, label: str, server: str, rows: Sequence[About]) -> set[str]:
    """Note a batch before it is submitted; which of the keys it may ask.

    Left out are keys that wait in another batch, or that another process is asking right now.
    """
    with store.changing(lasting=True) as db:
        claims = db.execute("SELECT key, host, pid, until FROM claims WHERE server = ?", [server])
        taken = {key for key, *claim in claims.fetchall() if not store.is_void(*claim)}
        marks = ", ".join("?" for _ in range(len(fields(About)) + 1))
        db.executemany(
            f"INSERT OR IGNORE INTO waiting ({_COLUMNS}, label) VALUES ({marks})",
            [(*astuple(row), label) for row in rows if row.key not in taken],
        )
        claimed = {key for (key,) in db.execute("SELECT key FROM waiting WHERE label = ?", [label])}
        if claimed:
            db.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?, NULL, NULL, ?, NULL, ?)",
                (label, server, store.host, os.getpid(), PREPARING, time.time()),
            )
    return claimed


def note(store: Store, label: str, **values: str | None) -> None:
    """Note ``file``, ``remote``, ``state`` or ``detail`` of a batch."""
    assert set(values) <= {"file", "remote", "state", "detail"}
    names = ", ".join(f"{name} = ?" for name in values)
    with store.changing(lasting=True) as db:
        db.execute(f"UPDATE batches SET {names} WHERE label = ?", [*values.values(), label])


def open_batches(store: Store, server: str) -> list[Batch]:
    """Batches that have not been collected, oldest first."""
    columns = ", ".join(field.name for field in fields(Batch))
    query = f"SELECT {columns} FROM batches WHERE server = ? AND state != ? ORDER BY created"
    return [Batch(*row) for row in store.rows(query, [server, CLOSED])]


def waiting_in(store: Store, label: str) -> dict[str, About]:
    """What waits in a batch, by key."""
    rows = store.rows(f"SELECT {_COLUMNS} FROM waiting WHERE label = ?", [label])
    return {row[0]: About(*row) for row in rows}


def close(store: Store, label: str, detail: str, replies: Sequence[Received] = ()) -> bool:
    """Keep a batch's replies and set its keys free; whether no other process had done so."""
    with store.changing(lasting=True) as db:
        row = db.execute("SELECT state FROM batches WHERE label = ?", [label]).fetchone()
        if row is None or row[0] == CLOSED:
            return False
        insert_received(db, replies)
        db.execute("DELETE FROM waiting WHERE label = ?", [label])
        db.execute(
            "UPDATE batches SET state = ?, detail = ? WHERE label = ?", [CLOSED, detail, label]
        )
    return True
