"""
The one place where the database's errors become ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from sft_core.errors import Conflict, DatabaseUnavailable


@contextmanager
def translated() -> Iterator[None]:
    """
    Turn what a driver raises into the core's errors; the detail names the kind and no value.

    A broken rule of the schema is a `Conflict`. Everything else is `DatabaseUnavailable`: no
    connection or a lost one, none free in time, a wait for a statement, a lock or a server that
    took too long, a deadlock, a server that is read-only, full, starting or stopping. Whether it
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
        raise DatabaseUnavailable(_kind(error)) from None


def _kind(error: SQLAlchemyError) -> str:
    """
    The error's class and its code: SQLite's name for it, PostgreSQL's SQLSTATE, or a kind of ours.

    Never its text, which may quote rows.
    """
    cause = getattr(error, "orig", None)
    codes = (getattr(cause, name, None) for name in ("sqlite_errorname", "sqlstate", "kind"))
    return " ".join([type(cause or error).__name__, *(code for code in codes if code)])
