"""
The one place where the database's errors become ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from sft_core.errors import Conflict, DatabaseUnavailable, InvalidInput, RowDamaged

_MEANINGS: Final = {
    # PostgreSQL's SQLSTATEs (its documentation, appendix A), and the classes of the others.
    "08": "the connection was lost",
    "25006": "the server, or this role, may only read",
    "28": "the server refused the user or the password",
    "3D": "the server does not have this database",
    "3F": "the database does not have this schema",
    "40": "another transaction was in the way",
    "42501": "this role may not do what was asked, such as making tables",
    "53": "the server has no connection, memory or room left",
    "55P03": "another transaction held a lock for too long",
    "57": "the server is starting or stopping",
    "57014": "a statement took too long",
    # SQLite's names (sqlite.org/rescode.html).
    "SQLITE_BUSY": "another process holds it for too long",
    "SQLITE_CANTOPEN": "the file cannot be opened",
    "SQLITE_CORRUPT": "the file is damaged",
    "SQLITE_FULL": "there is no room left",
    "SQLITE_IOERR": "the file cannot be read or written",
    "SQLITE_NOTADB": "the file is not a database",
    "SQLITE_PERM": "the file may not be used",
    "SQLITE_READONLY": "the file may only be read",
}
_TO_BE_MENDED: Final = ("25006", "28", "3D", "3F", "42501")


class DatabaseRefused(DatabaseUnavailable):
    """
    The database is there and refuses what we ask, until somebody mends its settings or ours.
    """


@contextmanager
def translated() -> Iterator[None]:
    """
    Turn what a driver raises into the core's errors; the detail names the kind and no value.

    A broken rule of the schema is a `Conflict`. Everything else is `DatabaseUnavailable`: no
    connection or a lost one, none free in time, a wait for a statement, a lock or a server that
    took too long, a deadlock, a server that is read-only, full, starting or stopping; one that
    somebody has to mend is a `DatabaseRefused` on top of that. Whether it
    may help to try again is not told apart: nothing was half-done, so it never harms. Only an
    error out of a commit leaves open whether the whole of it was done.
    """
    try:
        yield
    except IntegrityError as error:
        raise Conflict(_kind(error)) from None
    except PoolTimeoutError:
        raise DatabaseUnavailable("every connection is in use") from None
    except SQLAlchemyError as error:
        raise (DatabaseRefused if _must_be_mended(error) else DatabaseUnavailable)(_kind(error)) from None


@contextmanager
def decoded() -> Iterator[None]:
    """
    Turn what is raised by reading a row that holds no value of its kind into `RowDamaged`.
    """
    try:
        yield
    except (InvalidInput, TypeError, ValueError, OverflowError) as error:
        # Neither the row's values nor the error's text, which may quote them.
        raise RowDamaged(f"a row cannot be read ({type(error).__name__})") from None


def _kind(error: SQLAlchemyError) -> str:
    """
    What it means, with its code: SQLite's name for it or PostgreSQL's SQLSTATE.

    Never its text, which may quote rows.
    """
    cause = getattr(error, "orig", None)
    code = _code(cause)
    named = (code, "_".join(code.split("_")[:2]), code[:2])
    meaning = next((_MEANINGS[name] for name in named if name in _MEANINGS), getattr(cause, "kind", ""))
    meaning = meaning or "a statement failed, or the connection did"
    return f"{meaning} ({code or type(cause or error).__name__})" if code or not hasattr(cause, "kind") else meaning


def _must_be_mended(error: SQLAlchemyError) -> bool:
    cause = getattr(error, "orig", None)
    return getattr(cause, "must_be_mended", False) or _code(cause).startswith(_TO_BE_MENDED)


def _code(cause: object) -> str:
    return getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None) or ""
