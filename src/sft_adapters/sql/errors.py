"""
Map errors of the databases to the core's errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from sft_core.errors import Conflict, DatabaseUnavailable, InvalidInput, RowDamaged

_EXPLANATIONS: Final = {
    # PostgreSQL's SQLSTATEs (its documentation, appendix A); two characters stand for a whole class.
    "08": "the connection was lost",
    "25006": "the server or this role is read-only",
    "28": "the server rejected the user or the password",
    "3D": "the server does not have this database",
    "3F": "the database does not have this schema",
    "40": "the transaction conflicted with another one",
    "42501": "this role lacks a privilege, such as creating tables",
    "53": "the server has no connection, memory or disk space left",
    "55P03": "another transaction held a lock for too long",
    "57": "the server is starting or stopping",
    "57014": "a statement took too long",
    # SQLite's names (sqlite.org/rescode.html).
    "SQLITE_BUSY": "another process locked the database for too long",
    "SQLITE_CANTOPEN": "the file cannot be opened",
    "SQLITE_CORRUPT": "the file is damaged",
    "SQLITE_FULL": "the disk is full",
    "SQLITE_IOERR": "the file cannot be read or written",
    "SQLITE_NOTADB": "the file is not a database",
    "SQLITE_PERM": "the file is not accessible",
    "SQLITE_READONLY": "the file is read-only",
}
_MISCONFIGURATION_CODES: Final = ("25006", "28", "3D", "3F", "42501")


class DatabaseMisconfigured(DatabaseUnavailable):
    """
    The database is reachable but rejects this service until an operator changes a setting.
    """


@contextmanager
def map_database_errors() -> Iterator[None]:
    """
    Map what a driver raises to the core's errors.

    The detail names the kind of error and no value. Nothing is applied in part, so a retry does no
    harm; only after an error of a commit it is unknown whether all of it was applied.

    Raises:
        Conflict: A constraint of the schema is violated.
        DatabaseMisconfigured: The error lasts until an operator changes a setting: the server is
            read-only, rejects the login, or lacks the database, the schema or a privilege.
        DatabaseUnavailable: Any other error: no connection, a lost one or none free in time, a timeout
            of a statement, a lock or the server, a deadlock, a server that is full, starting or stopping.
    """
    try:
        yield
    except IntegrityError as error:
        raise Conflict(_describe(error)) from None
    except PoolTimeoutError:
        raise DatabaseUnavailable("every connection is in use") from None
    except SQLAlchemyError as error:
        raise (DatabaseMisconfigured if _needs_operator(error) else DatabaseUnavailable)(_describe(error)) from None


@contextmanager
def map_decoding_errors() -> Iterator[None]:
    """
    Raise `RowDamaged` for the errors of decoding a row with invalid values.
    """
    try:
        yield
    except (InvalidInput, TypeError, ValueError, OverflowError) as error:
        # The detail contains neither the row's values nor the error's text, which may quote them.
        raise RowDamaged(f"a row cannot be read ({type(error).__name__})") from None


def _describe(error: SQLAlchemyError) -> str:
    # With its code, SQLite's name of it or PostgreSQL's SQLSTATE. Its own text is never used: it may quote rows.
    cause = getattr(error, "orig", None)
    code, kind = _code(cause), getattr(cause, "kind", "")
    if kind and not code:
        return str(kind)
    candidates = (code, "_".join(code.split("_")[:2]), code[:2])
    explanations = (_EXPLANATIONS[name] for name in candidates if name in _EXPLANATIONS)
    return f"{next(explanations, 'a statement or the connection failed')} ({code or type(cause or error).__name__})"


def _needs_operator(error: SQLAlchemyError) -> bool:
    cause = getattr(error, "orig", None)
    return getattr(cause, "needs_operator", False) or _code(cause).startswith(_MISCONFIGURATION_CODES)


def _code(cause: object) -> str:
    return getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None) or ""
