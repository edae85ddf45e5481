"""What a judge has answered, stored permanently in the archive: ``judge.sqlite``.

Everything that was paid for is in one table, in the order in which it came: replies that can be
read, and those that cannot (cut, refused, not valid). Whether a reply is of use is found out
whenever it is read, never noted: so a failure is never taken for an answer, and a better reader
finds its answers in what has been paid for already.

Any number of processes may use it at once, and may be killed at any moment. A question that one of
them is asking is claimed, so that no other pays for it too; the claim of a process that died is
void.
"""

import os
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Final

from flexi_score.config import JudgeSettings
from flexi_score.errors import ArchiveError, InputError
from flexi_score.judge.request import Request, server_of

FILE: Final = "judge.sqlite"

_VERSION: Final = 1
_BUSY_S: Final = 60.0

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS received (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, server TEXT NOT NULL, source TEXT NOT NULL,
    model TEXT NOT NULL, rubric TEXT NOT NULL, rubric_version TEXT NOT NULL,
    question TEXT NOT NULL, repeat INTEGER NOT NULL,
    raw TEXT, refusal TEXT, finish_reason TEXT, answered_model TEXT, fingerprint TEXT,
    response_id TEXT, prompt_tokens INTEGER, cached_tokens INTEGER, completion_tokens INTEGER,
    cost_usd REAL, latency_s REAL, created TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS received_key ON received (key);
CREATE TABLE IF NOT EXISTS claims (
    key TEXT NOT NULL, server TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL,
    until REAL NOT NULL, PRIMARY KEY (key, server)
);
CREATE TABLE IF NOT EXISTS batches (
    label TEXT PRIMARY KEY, server TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL,
    file TEXT, remote TEXT, state TEXT NOT NULL, detail TEXT, created REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS waiting (
    key TEXT NOT NULL, server TEXT NOT NULL, source TEXT NOT NULL, model TEXT NOT NULL,
    rubric TEXT NOT NULL, rubric_version TEXT NOT NULL, question TEXT NOT NULL,
    repeat INTEGER NOT NULL, label TEXT NOT NULL, PRIMARY KEY (key, server)
);
"""


@dataclass(frozen=True)
class About:
    """What a reply answers."""

    key: str
    server: str
    source: str  # openai | openai-batch
    model: str  # asked for
    rubric: str
    rubric_version: str
    question: str
    repeat: int

    @staticmethod
    def of(request: Request, settings: JudgeSettings, source: str) -> "About":
        """That of a request."""
        rubric, question = request.rubric, request.body["messages"][-1]["content"]
        model, server = settings.model, server_of(settings)
        about = (request.key, server, source, model, rubric.name, rubric.version, question)
        return About(*about, request.repeat)


@dataclass(frozen=True)
class Received(About):
    """A reply that was paid for, whatever it is worth."""

    raw: str | None
    refusal: str | None
    finish_reason: str | None
    answered_model: str | None  # that says it has answered
    fingerprint: str | None
    response_id: str | None
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    latency_s: float | None
    created: str  # UTC, ISO 8601


_COLUMNS: Final = ", ".join(field.name for field in fields(Received))
_MARKS: Final = ", ".join("?" for _ in fields(Received))


class Store:
    """An open ``judge.sqlite``, for one thread at a time; close it, or use it with ``with``.

    ``path``: the file. ``write``: whether to write; if not, a file that does not exist is like an
    empty one, and nothing is made or changed.
    """

    def __init__(self, path: Path, *, write: bool) -> None:
        self.path = path
        self.host = socket.gethostname()
        try:
            self._db = _connect(path, write)
            try:
                self._check(write)
            except BaseException:
                self._db.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise self._explain(error) from error

    def _check(self, write: bool) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and write:
            self._make()
        elif version not in (0, _VERSION):
            raise ArchiveError(
                f"{self.path}: is of version {version}, this flexi_score reads {_VERSION}; "
                "upgrade it"
            )

    def _make(self) -> None:
        began = time.monotonic()
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError:
                # Two processes that make it at once: SQLite does not wait for this by itself.
                if time.monotonic() - began > _BUSY_S:
                    raise
                time.sleep(0.01)
        self._db.executescript(f"BEGIN IMMEDIATE;{_TABLES}PRAGMA user_version={_VERSION};COMMIT;")

    def close(self) -> None:
        """Close it; the log of writes is folded in by whoever closes last."""
        self._db.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def received(self, keys: Iterable[str]) -> dict[str, list[Received]]:
        """What came back for these keys, oldest first."""
        replies: dict[str, list[Received]] = {}
        wanted = sorted(set(keys))
        for part in (wanted[i : i + 500] for i in range(0, len(wanted), 500)):
            marks = ",".join("?" * len(part))
            query = f"SELECT {_COLUMNS} FROM received WHERE key IN ({marks}) ORDER BY id"
            for row in self.rows(query, part):
                replies.setdefault(row[0], []).append(Received(*row))
        return replies

    def add(self, replies: Sequence[Received]) -> None:
        """Keep replies: they are on the disk when this returns."""
        with self.changing(lasting=True) as db:
            insert_received(db, replies)

    def claim(self, key: str, server: str, seconds: float) -> bool:
        """Claim a question, or go on claiming it; whether no other process has."""
        with self.changing() as db:
            return self.claim_within(db, key, server, seconds)

    def claim_within(self, db: sqlite3.Connection, key: str, server: str, seconds: float) -> bool:
        """:meth:`claim`, within a change."""
        query = "SELECT host, pid, until FROM claims WHERE key = ? AND server = ?"
        row = db.execute(query, (key, server)).fetchone()
        if row is not None and not self.is_void(*row):
            return False
        until = time.time() + seconds
        db.execute(
            "INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?)",
            (key, server, self.host, os.getpid(), until),
        )
        return True

    def release_within(self, db: sqlite3.Connection, key: str, server: str) -> None:
        """Give a claim up, within a change."""
        db.execute(
            "DELETE FROM claims WHERE key = ? AND server = ? AND host = ? AND pid = ?",
            (key, server, self.host, os.getpid()),
        )

    def drop_void_claims(self) -> None:
        """Remove claims of processes that have ended, and those that have run out."""
        with self.changing() as db:
            rows = db.execute("SELECT key, server, host, pid, until FROM claims").fetchall()
            db.executemany(
                "DELETE FROM claims WHERE key = ? AND server = ?",
                [
                    (key, server)
                    for key, server, host, pid, until in rows
                    if until < time.time() or self.is_gone(host, pid)
                ],
            )

    def is_void(self, host: str, pid: int, until: float) -> bool:
        """Whether a claim holds no more, or is our own."""
        own = (host, pid) == (self.host, os.getpid())
        return own or until < time.time() or self.is_gone(host, pid)

    def is_gone(self, host: str, pid: int) -> bool:
        """Whether a process of this machine has ended."""
        if host != self.host or os.name != "posix":
            return False
        try:
            os.kill(pid, 0)  # signal 0: only asks whether it is there
        except ProcessLookupError:
            return True
        except OSError:
            return False
        try:  # one that nobody has buried is there, too (Linux)
            stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[:1] == ["Z"]

    def waiting(self, server: str) -> dict[str, str]:
        """Keys that wait in a batch, and the batch's label."""
        rows = self.rows("SELECT key, label FROM waiting WHERE server = ?", [server])
        return {str(key): str(label) for key, label in rows}

    def waits(self, key: str, server: str) -> bool:
        """Whether a key waits in a batch."""
        query = "SELECT 1 FROM waiting WHERE key = ? AND server = ?"
        return bool(self.rows(query, [key, server]))

    def rows(self, query: str, values: Sequence[str]) -> list[tuple[Any, ...]]:
        """Rows that a query finds; none in a file that has not been made."""
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            if "no such table" in str(error):  # an empty file, opened to read
                return []
            raise self._explain(error) from error

    @contextmanager
    def changing(self, *, lasting: bool = False) -> Iterator[sqlite3.Connection]:
        """One change, made as a whole or not at all.

        ``lasting``: it outlives a power cut. All others outlive only the process, which is enough
        for claims, and spares a flush of the disk.
        """
        try:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk has ended it already
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> ArchiveError:
        text = str(error)
        if "not a database" in text or "malformed" in text:
            hint = "is damaged; move it away to start anew, and what it held is asked again"
        elif "locked" in text or "busy" in text:
            hint = f"another process has kept it locked for {_BUSY_S:.0f} s"
        else:
            hint = "cannot be used; what it holds is whole: make room, or allow access, and go on"
        return ArchiveError(f"{self.path}: {hint} ({text})")


def insert_received(db: sqlite3.Connection, replies: Sequence[Received]) -> None:
    """Add replies, within a change (:meth:`Store.changing`)."""
    rows = [astuple(reply) for reply in replies]
    db.executemany(f"INSERT INTO received ({_COLUMNS}) VALUES ({_MARKS})", rows)


def received_from(store: Store, keys: Iterable[str], server: str) -> dict[str, list[Received]]:
    """What one server has answered, oldest first."""
    received = store.received(keys)
    return {key: [r for r in replies if r.server == server] for key, replies in received.items()}


def _connect(path: Path, write: bool) -> sqlite3.Connection:
    if write:
        return _open(path, "mode=rwc")
    if not path.exists():
        return sqlite3.connect(":memory:", isolation_level=None)
    # Opened to write even where it is only read: who closes last folds the log of writes in, so
    # that one file is left. On a medium that cannot be written neither is possible, nor needed.
    for options in ("mode=rw", "mode=ro", "immutable=1"):
        db = _open(path, options)
        try:
            db.execute("PRAGMA query_only = 1")
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            break
        except sqlite3.OperationalError as error:
            problem = error
            db.close()
    else:
        raise problem
    return db


def _open(path: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{options}",
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )


def gather_replies(paths: Iterable[Path]) -> list[Received]:
    """All that these files (``judge.sqlite``; those that exist) ever received, oldest first."""
    replies: list[Received] = []
    for path in paths:
        with Store(path, write=False) as store:
            waiting = store.rows("SELECT count(*) FROM waiting", [])
            if waiting and waiting[0][0]:
                raise InputError(
                    f"{path}: {waiting[0][0]} questions wait in a batch; collect them first: "
                    f"flexi-score score {path.parent} --judge openai-batch"
                )
            rows = store.rows(f"SELECT {_COLUMNS} FROM received ORDER BY id", [])
            replies += [Received(*row) for row in rows]
    return sorted(replies, key=lambda reply: reply.created)


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
