"""
The base of the repositories: the connection of a unit of work, and its errors.
"""

from __future__ import annotations

import inspect
from typing import Any

import attrs
from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from sft_adapters.sql.errors import map_database_errors


@attrs.frozen
class Repository:
    """
    Rows of a unit of work; public methods map the driver's errors to the core's.
    """

    connection: Connection

    def __init_subclass__(cls) -> None:
        for name, method in list(vars(cls).items()):
            if inspect.isfunction(method) and not name.startswith("_"):
                if inspect.isgeneratorfunction(method):
                    raise TypeError(f"{name}: a generator's body runs after its call, so its errors are not mapped")
                setattr(cls, name, map_database_errors()(method))

    def _insert(self, table: Table) -> Any:  # noqa: ANN401 (each dialect has a class of its own, with ON CONFLICT)
        return (postgresql if self.connection.dialect.name == "postgresql" else sqlite).insert(table)
