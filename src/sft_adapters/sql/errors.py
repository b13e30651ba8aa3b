"""
The one place where the database's errors become ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from sft_core.errors import Conflict, DatabaseUnavailable


@contextmanager
def translated() -> Iterator[None]:
    """
    Turn what the driver raises into the core's errors; the detail names the kind and no value.
    """
    try:
        yield
    except IntegrityError as error:
        raise Conflict(_kind(error)) from None
    except (PoolTimeoutError, DBAPIError) as error:
        raise DatabaseUnavailable(_kind(error)) from None
    except SQLAlchemyError as error:
        raise DatabaseUnavailable(type(error).__name__) from None


def _kind(error: SQLAlchemyError) -> str:
    """
    The error's class and, where the driver has one, its code; never its text, which may quote rows.
    """
    cause = getattr(error, "orig", None)
    code = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or ""
    return f"{type(cause or error).__name__} {code}".strip()
